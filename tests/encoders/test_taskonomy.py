"""Taskonomy's architecture against plain functional code, its files, and a run from end to end."""

import pickle

import pytest
import torch
import torch.nn.functional as F

import pyattrx
from pyattrx.encoders import TASKS, TaskonomyEncoder, load_taskonomy
from pyattrx.encoders.loading import expand
from pyattrx.errors import EncoderError, InvalidValueError, UntrustedError

STEPS = {"layer1": (3, 2), "layer2": (4, 2), "layer3": (6, 1), "layer4": (3, 1)}
PLANES = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}


def made_up(seed):
    """Weights in the published layout, made from its description rather than by the module."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name, cout, cin, size):
        scale = (2 / (cin * size * size)) ** 0.5
        state[f"{name}.weight"] = torch.randn(cout, cin, size, size, generator=generator) * scale

    def norm(name, channels):
        state[f"{name}.weight"] = torch.rand(channels, generator=generator) * 0.5 + 0.5
        state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    cin = 64
    for layer, (blocks, _) in STEPS.items():
        planes = PLANES[layer]
        for block in range(blocks):
            name = f"{layer}.{block}"
            conv(f"{name}.conv1", planes, cin, 1)
            norm(f"{name}.bn1", planes)
            conv(f"{name}.conv2", planes, planes, 3)
            norm(f"{name}.bn2", planes)
            conv(f"{name}.conv3", 4 * planes, planes, 1)
            norm(f"{name}.bn3", 4 * planes)
            if block == 0:
                conv(f"{name}.downsample.0", 4 * planes, cin, 1)
                norm(f"{name}.downsample.1", 4 * planes)
            cin = 4 * planes
    conv("compress1", 8, 2048, 3)
    norm("compress_bn", 8)
    return state


def published_forward(state, x):
    """The network in functions, padding and strides where the description has them."""

    def norm(name, x):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    x = F.conv2d(F.pad(x, (3, 3, 3, 3)), state["conv1.weight"], stride=2)
    x = F.max_pool2d(F.relu(norm("bn1", x)), 3, 2, ceil_mode=True)
    for layer, (blocks, last_stride) in STEPS.items():
        for block in range(blocks):
            name, stride = f"{layer}.{block}", last_stride if block == blocks - 1 else 1
            y = F.relu(norm(f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"])))
            y = F.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(norm(f"{name}.bn2", y)), state[f"{name}.conv3.weight"])
            if block == 0:
                short = F.conv2d(x, state[f"{name}.downsample.0.weight"])
                short = norm(f"{name}.downsample.1", short)
            else:
                short = x[..., ::stride, ::stride]
            x = F.relu(norm(f"{name}.bn3", y) + short)
    return F.relu(norm("compress_bn", F.conv2d(x, state["compress1.weight"], padding=1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files as they are published, in half precision to be small."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("normal_encoder-1a2b3c.pth", "autoencoding_encoder-4d5e6f.pth")):
        state = {
            key: value.half() if value.is_floating_point() else value
            for key, value in made_up(seed).items()
        }
        torch.save({"state_dict": state, "epoch": 3}, folder / name)
    (folder / "normal_decoder-1a2b3c.pth").touch()
    (folder / "notes.txt").touch()
    return folder


@pytest.mark.parametrize("size", [64, (70, 33)])
def test_it_computes_what_the_description_says(size):
    height, width = size if isinstance(size, tuple) else (size, size)
    state = made_up(0)
    network = TaskonomyEncoder().eval()
    network.load_state_dict(state, strict=True)
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = published_forward(state, x)
        assert expected.abs().sum() > 0
        torch.testing.assert_close(network(x), expected)


def test_files_without_counters_load_too(tmp_path):
    state = {k: v.half() for k, v in made_up(0).items() if "num_batches" not in k}
    torch.save({"state_dict": state}, tmp_path / "mine.pth")
    encoder = load_taskonomy(tmp_path / "mine.pth")
    assert encoder.name == "mine"
    torch.testing.assert_close(encoder.module.conv1.weight, state["conv1.weight"].float())


def test_twenty_tasks_under_the_names_of_the_tables():
    assert len(TASKS) == len(set(TASKS.values())) == 20
    assert TASKS["normal"] == "rgb2sfnorm"
    assert TASKS["depth_euclidean"] == "rgb2mist"


def test_a_folder_stands_for_its_encoders(folder):
    names = expand(f"taskonomy:{folder}")
    assert names == [
        f"taskonomy:{folder}/autoencoding_encoder-4d5e6f.pth",
        f"taskonomy:{folder}/normal_encoder-1a2b3c.pth",
    ]
    assert expand(names[0]) == names[:1]
    state = torch.get_rng_state()
    encoder = pyattrx.load(names[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert encoder.name == "autoencoder"
    assert encoder.specification == names[0]
    assert encoder.input_size == (256, 256)


def test_images_reach_it_in_its_range(folder, images):
    encoder = load_taskonomy(folder / "normal_encoder-1a2b3c.pth", input_size=32)
    assert encoder.transform(images).min() == pytest.approx(2 * float(images.min()) - 1, abs=1e-6)
    assert encoder.transform(images).max() == pytest.approx(2 * float(images.max()) - 1, abs=1e-6)


def test_affinity_from_end_to_end(folder, images):
    probes = pyattrx.Probes.from_tensor(images[:2])
    files = ("normal_encoder-1a2b3c.pth", "autoencoding_encoder-4d5e6f.pth")
    encoders = [load_taskonomy(folder / file, input_size=64) for file in files]
    result = pyattrx.affinity(encoders, probes, "saliency")
    assert result.names == ["rgb2sfnorm", "autoencoder"]
    # The same by hand: gradients of the mean output at the input that the network sees.
    maps = []
    for encoder in encoders:
        x = F.interpolate(images[:2], (64, 64), mode="bilinear", antialias=True) * 2 - 1
        x.requires_grad_()
        published_forward(encoder.module.state_dict(), x).flatten(1).mean(1).sum().backward()
        small = F.interpolate(x.grad.abs().mean(1, keepdim=True), (24, 24), mode="area")
        maps.append(F.normalize(small.flatten(1).double(), eps=0))
    expected = (maps[0] * maps[1]).sum(1).mean()
    # Fifty layers in float32, with their batch norms folded here and not there.
    assert result.values[0, 1] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("path", ["absent", "absent/x.pth"])
def test_nothing_there(path, tmp_path):
    with pytest.raises(InvalidValueError, match="a folder with files named"):
        expand(f"taskonomy:{tmp_path / path}")
    with pytest.raises(InvalidValueError, match="_encoder"):
        expand(f"taskonomy:{tmp_path}")


def test_other_weights_and_code_are_refused(tmp_path):
    path = tmp_path / "normal_encoder-0.pth"
    torch.save({"state_dict": {"conv1.weight": torch.zeros(64, 3, 7, 7)}}, path)
    with pytest.raises(EncoderError, match="does not fit TaskonomyEncoder"):
        load_taskonomy(path)
    path.write_bytes(pickle.dumps({"state_dict": print}, 2))
    with pytest.raises((UntrustedError, EncoderError)):
        load_taskonomy(path)
