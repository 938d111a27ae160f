"""affinity() against the published script written out in NumPy, and its promises one by one."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from networks import ARCHITECTURES, build
from pyattrx._scratch import Scratch
from pyattrx.affinities import Affinity, compare
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, NonFiniteError
from pyattrx.running import map_cosines

METHODS = ["saliency", "grad_x_input", "elrp"]


def encoders(dtype=None, names=tuple(ARCHITECTURES)):
    made = []
    for name in names:
        network = build(name)
        made.append(pyattrx.Encoder(network if dtype is None else network.to(dtype), name=name))
    return made


def published_maps(name, images, method):
    """Maps as the published script makes them, one image at a time, in float64."""
    network = build(name, epsilon_rule=method == "elrp").double()
    maps = []
    for image in images.double():
        x = image[None].clone().requires_grad_()
        network(x).flatten(1).mean(1).sum().backward()
        attribution = (
            np.abs(x.grad.numpy()) if method == "saliency" else (x.grad * x).detach().numpy()
        )
        maps.append(attribution[0].mean(0).ravel())
    return np.array(maps)


def published_affinity(maps):
    m, n = len(maps), len(maps[0])
    out = np.zeros((m, m))
    for i in range(m):
        for j in range(m):
            for k in range(n):
                a, b = maps[i][k], maps[j][k]
                out[i, j] += np.inner(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return out / n


@pytest.mark.parametrize("method", METHODS)
def test_the_published_script(method, images, probes):
    names = list(ARCHITECTURES)
    expected = published_affinity([published_maps(name, images, method) for name in names])
    # The probes are float32: both sides see the same numbers.
    single = pyattrx.affinity(encoders(), probes, method)
    assert np.abs(single.values - expected).max() < 1e-5
    double = pyattrx.affinity(encoders(torch.float64), probes, method)
    assert np.abs(double.values - expected).max() < 1e-9
    assert single.names == names
    assert single.symmetric
    upper = expected[np.triu_indices(4, 1)]
    assert np.abs(upper).max() > 1e-3  # not everything is orthogonal


@pytest.mark.parametrize("method", METHODS)
def test_float32_is_at_most_twice_as_far_from_float64_as_plain_autograd(method):
    """Over all pairs of several networks and sets of images, the root mean square of the errors.

    Six pairs on one set of six images may be right by luck on either side: four sets are not.
    """
    names = list(ARCHITECTURES)
    errors = {"ours": 0.0, "plain": 0.0}
    for seed in range(4):
        images = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
        exact = published_affinity([published_maps(name, images, method) for name in names])
        plain = []
        for name in names:
            network = build(name, epsilon_rule=method == "elrp")
            x = images.clone().requires_grad_()
            network(x).flatten(1).mean(1).sum().backward()
            attribution = x.grad.abs() if method == "saliency" else x.grad * x
            plain.append(attribution.detach().mean(1).flatten(1).double().numpy())
        ours = pyattrx.affinity(encoders(), pyattrx.Probes.from_tensor(images), method).values
        errors["plain"] += np.square(published_affinity(plain) - exact).mean()
        errors["ours"] += np.square(ours - exact).mean()
    assert np.sqrt(errors["ours"]) <= 2 * np.sqrt(errors["plain"]) + 1e-9


def test_same_bits_run_to_run_and_in_any_order(probes):
    first = pyattrx.affinity(encoders(), probes, "grad_x_input")
    again = pyattrx.affinity(encoders(), probes, "grad_x_input")
    assert np.array_equal(first.values, again.values)
    order = ["vit", "plain", "depthwise", "resnet"]
    other = pyattrx.affinity(encoders(names=order), probes, "grad_x_input")
    place = [order.index(name) for name in first.names]
    assert np.array_equal(other.values[np.ix_(place, place)], first.values)
    assert np.array_equal(other.stderr[np.ix_(place, place)], first.stderr)


def test_the_batch_size_changes_nothing_beyond_rounding(probes):
    whole = pyattrx.affinity(encoders(torch.float64), probes, "elrp", batch_size=6)
    for batch_size in (1, 4, 100):
        other = pyattrx.affinity(encoders(torch.float64), probes, "elrp", batch_size=batch_size)
        assert np.abs(other.values - whole.values).max() < 1e-12


def test_rows_in_a_scratch_file_give_the_same_bits(probes, tmp_path):
    kept = pyattrx.affinity(encoders(), probes, method="grad_x_input")
    scratch = Scratch(tmp_path, in_memory=0)
    spilled = pyattrx.affinity(encoders(), probes, scratch=scratch, method="grad_x_input")
    assert np.array_equal(kept.values, spilled.values)
    assert np.array_equal(kept.stderr, spilled.stderr)
    assert list(tmp_path.iterdir()) == []


class Rows(list):
    row_bytes = 4 * 40

    def block(self, networks, probes):
        return torch.stack(self[networks])[:, torch.from_numpy(probes)]


def test_standard_errors_without_the_per_probe_cosines(images):
    groups = np.array([0, 1, 0, 2, 1, 2])
    rows = Rows(torch.rand(7, 6, 40, generator=torch.Generator().manual_seed(0)))
    kept = dict(zip(("values", "stderr", "cosines"), compare(rows, groups), strict=True))
    one_by_one = compare(rows, groups, block_bytes=1, block_networks=3)
    assert all(map(np.array_equal, one_by_one, kept.values()))
    values, stderr, cosines = compare(rows, groups, block_bytes=1, cosine_bytes=0)
    assert cosines is None
    assert np.abs(kept["values"] - values).max() < 1e-14
    assert np.abs(kept["stderr"] - stderr).max() < 1e-14
    about = {"names": list("abcdefg"), "symmetric": True, "groups": groups}
    kept, moments = Affinity(**kept, **about), Affinity(values=values, stderr=stderr, **about)
    # What cannot be computed is bounded: never fewer ties.
    for name in kept.names:
        for exact, bound in zip(kept.nearest(name), moments.nearest(name), strict=True):
            assert set(exact.ties) <= set(bound.ties)


def test_networks_of_different_precision_and_input_size_compare(images):
    probes = pyattrx.Probes.from_tensor(images)
    mixed = [
        pyattrx.Encoder(build("plain"), name="single"),
        pyattrx.Encoder(build("plain").double(), name="double"),
        pyattrx.Encoder(build("plain"), name="larger", input_size=32),
    ]
    result = pyattrx.affinity(mixed, probes, "saliency")
    assert result.values[0, 1] == pytest.approx(1, abs=1e-6)
    assert 0.5 < result.values[0, 2] < 1


def test_one_network_and_one_probe(images):
    one = pyattrx.Probes.from_tensor(images[:1])
    result = pyattrx.affinity(encoders(names=["plain"]), one, method="grad_x_input")
    assert result.values.tolist() == [[1.0]]
    assert np.isnan(result.stderr).all()
    assert result.nearest("plain") == []
    assert result.to_dict()["stderr"] == [[None]]
    pair = pyattrx.affinity(encoders(names=["plain", "vit"]), one, method="grad_x_input").nearest(
        "plain"
    )[0]
    assert np.isnan([pair.stderr, pair.low, pair.high]).all()
    assert json.dumps(pair.to_dict())  # no NaN in JSON
    assert pair.to_dict()["low"] is None


class Ignores(nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 3)


class IgnoresThroughGraph(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) * 0


def test_a_network_that_ignores_its_input_has_zero_maps(probes):
    networks = [
        *encoders(names=["plain"]),
        pyattrx.Encoder(Ignores(), name="constant"),
        pyattrx.Encoder(IgnoresThroughGraph(), name="times zero"),
    ]
    result = pyattrx.affinity(networks, probes, method="grad_x_input")
    assert result.zero_maps == {"constant": 6, "times zero": 6}
    expected = np.zeros((3, 3))
    expected[0, 0] = 1
    assert np.array_equal(result.values, expected)
    assert result.nearest("constant")[0].affinity == 0


class Hides(nn.Module):
    """Depends on the input, but only through operations without a derivative."""

    def forward(self, x):
        return (x.flatten(1) > 0.5).float().cumsum(1)


def test_a_network_without_a_derivative_is_an_error(probes):
    with pytest.raises(EncoderError, match="'hides'.*not differentiably"):
        pyattrx.affinity([pyattrx.Encoder(Hides(), name="hides")], probes, method="grad_x_input")


class Sqrt(nn.Module):
    """NaN gradient where a pixel is zero."""

    def forward(self, x):
        return x.sqrt().mean((2, 3))


def test_nan_gradients_name_the_network_and_the_probe(images):
    images = images.clone()
    images[4, 0, 3, 3] = 0
    probes = pyattrx.Probes.from_tensor(images, names=[f"photo{i}" for i in range(6)])
    bad = pyattrx.Encoder(Sqrt(), name="root")
    with pytest.raises(NonFiniteError, match="'root', probe 4.*photo4"):
        pyattrx.affinity([*encoders(names=["plain"]), bad], probes, "grad_x_input", batch_size=2)


def test_names_must_differ(probes):
    same = [pyattrx.Encoder(build("plain"), name="a"), pyattrx.Encoder(build("vit"), name="a")]
    with pytest.raises(InvalidValueError, match=r"encoders\[1\].name='a'"):
        pyattrx.affinity(same, probes, method="grad_x_input")
    with pytest.raises(InvalidValueError, match="'a'.*different names"):
        pyattrx.affinity((e for e in same), probes, method="grad_x_input")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"encoders": []}, InvalidValueError, "at least one network"),
        ({"encoders": iter([])}, InvalidValueError, "at least one network"),
        ({"encoders": build("plain")}, InvalidTypeError, "encoders"),
        ({"encoders": [build("plain")]}, InvalidTypeError, r"encoders\[0\].*wrap the module"),
        ({"encoders": [3]}, InvalidTypeError, r"encoders\[0\]=3"),
        ({"encoders": [lambda: 3]}, EncoderError, "returned a int"),
        ({"probes": torch.rand(2, 3, 4, 4)}, InvalidTypeError, "probes"),
        ({"method": "gradcam"}, InvalidValueError, "method='gradcam'"),
        ({"method": 3}, InvalidTypeError, "method=3"),
        ({"batch_size": 0}, InvalidValueError, "batch_size=0"),
        ({"batch_size": 2.5}, InvalidTypeError, "batch_size=2.5"),
        ({"device": "gpu"}, InvalidValueError, "device='gpu'"),
        ({"device": "meta"}, InvalidValueError, "device='meta'"),
        ({"precision": "half"}, InvalidValueError, "precision='half'"),
        ({"precision": "tf32", "device": "cpu"}, InvalidValueError, "precision='tf32'"),
        ({"scratch": "/nowhere/at/all"}, InvalidValueError, "scratch"),
        ({"scratch": 5}, InvalidTypeError, "scratch=5"),
    ],
)
def test_wrong_arguments(change, kind, message, probes):
    arguments = {"encoders": encoders(names=["plain"]), "probes": probes, **change}
    with pytest.raises(kind, match=message):
        pyattrx.affinity(**arguments)


def test_channels_kept_need_networks_that_see_the_same_channels(probes):
    grey = pyattrx.Encoder(
        nn.Conv2d(1, 2, 3), name="grey", transform=lambda x: x.mean(1, keepdim=True)
    )
    method = pyattrx.Method(reduce="none")
    with pytest.raises(EncoderError, match="'grey'.*same number of channels"):
        pyattrx.affinity([*encoders(names=["plain"]), grey], probes, method)
    assert (
        len(pyattrx.affinity([*encoders(names=["plain"]), grey], probes, method="grad_x_input"))
        == 2
    )


def test_the_users_networks_are_left_as_they_were(probes):
    network = build("resnet").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()
    pyattrx.affinity([pyattrx.Encoder(network, name="mine")], probes, method="grad_x_input")
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_works_under_no_grad_and_leaves_the_mode_alone(probes):
    with torch.no_grad():
        result = pyattrx.affinity(encoders(names=["plain", "vit"]), probes, method="grad_x_input")
        assert not torch.is_grad_enabled()
    assert np.array_equal(
        result.values,
        pyattrx.affinity(encoders(names=["plain", "vit"]), probes, method="grad_x_input").values,
    )


def test_the_effect_of_a_cheaper_precision_is_measured(probes):
    exact = pyattrx.affinity(encoders(), probes, device="cpu", method="grad_x_input")
    assert exact.provenance["precision"] == "float32"
    assert all(network["precision"] is None for network in exact.provenance["networks"])
    result = pyattrx.affinity(
        encoders(), probes, device="cpu", precision="bfloat16", method="grad_x_input"
    )
    for network in result.provenance["networks"]:
        effect = network["precision"]
        assert effect["probes"] == 1  # of fewer than 128
        assert effect["arithmetic"] == "bfloat16"
        # Eight bits of mantissa change a map visibly, and do not turn it into another one.
        assert 0.5 < effect["least_cosine"] == effect["mean_cosine"] < 1 - 1e-7
    assert not np.array_equal(result.values, exact.values)
    assert not torch.is_autocast_enabled("cpu")
    again = pyattrx.affinity(encoders(), probes, device="cpu", method="grad_x_input")
    assert np.array_equal(again.values, exact.values)


def test_map_cosines_of_any_scale():
    maps = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-30, 1e-30], [0.0, 1.0]])
    exact = torch.tensor([[6.0, 8.0], [0.0, 0.0], [1e30, -1e30], [0.0, 0.0]])
    expected = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(map_cosines(maps, exact), expected)


def test_provenance_says_what_was_done(probes):
    result = pyattrx.affinity(encoders(), probes, pyattrx.Method("saliency", grid=(8, 8)), 4)
    provenance = json.loads(json.dumps(result.provenance))
    assert provenance["probes"]["hash"] == probes.hash
    assert provenance["method"]["attribution"] == "saliency"
    assert provenance["grid"] == [8, 8]
    assert [n["name"] for n in provenance["networks"]] == list(ARCHITECTURES)
    assert provenance["batch_size"] == 4
    assert provenance["versions"]["torch"] == torch.__version__


_MEMORY = """
import sys, torch, pyattrx
from torch import nn
networks, probes = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
images = torch.rand(probes, 3, 48, 48)
def lazily():
    for index in range(networks):
        torch.manual_seed(index)
        head = nn.Linear(64 * 46 * 46, 8)
        net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Flatten(), head)
        yield pyattrx.Encoder(net, name=f"net{index}")
result = pyattrx.affinity(lazily(), pyattrx.Probes.from_tensor(images), batch_size=8)
assert result.values.shape == (networks, networks)
# Not ru_maxrss: a child begins with that of its parent.
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")))
"""


def peak_mib(networks, probes, folder):
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(networks), str(probes)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.slow
def test_memory_grows_with_neither_networks_nor_probes(tmp_path):
    # What may be used is budgeted: 128 MiB of rows, 128 MiB of a block of them, 3 x 64 MiB for the
    # per-probe cosines and their statistics; and 2000 probes themselves are here twice, 110 MiB.
    # Keeping 300 networks would take 1.2 GiB; keeping the gradients of 2000 probes 220 MiB more.
    few = peak_mib(4, 16, tmp_path)
    assert peak_mib(300, 16, tmp_path) - few < 448
    assert peak_mib(4, 2000, tmp_path) - few < 400


def test_repeated_calls_keep_nothing(probes):
    import gc

    def tensors():
        gc.collect()
        return sum(isinstance(o, torch.Tensor) for o in gc.get_objects())

    networks = encoders()
    pyattrx.affinity(networks, probes, method="grad_x_input")
    before = tensors()
    for _ in range(5):
        pyattrx.affinity(networks, probes, method="grad_x_input")
    assert tensors() <= before  # what other tests left may go meanwhile
