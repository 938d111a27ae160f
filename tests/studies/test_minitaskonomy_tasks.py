"""Labels, losses and networks of MiniTaskonomy's tasks."""

import numpy as np
import pytest
import torch

from pyattrx.errors import InvalidValueError
from studies.minitaskonomy import networks, tasks


def test_twenty_tasks_eighteen_targets():
    assert len(tasks.TASKS) == 20
    assert set(tasks.TASKS) - set(tasks.TARGETS) == {"colorization", "inpainting_whole"}
    assert len(tasks.TARGETS) == 18
    with pytest.raises(InvalidValueError, match="task='depth'"):
        tasks.find_task("depth")


def made_up_labels(task, n):
    generator = torch.Generator().manual_seed(3)
    shape = (n, task.channels, 32, 32) if task.dense else (n, task.channels)
    if task.loss == "cross_entropy":
        shape = (n, *shape[2:])
        return torch.randint(0, task.channels, shape, generator=generator)
    return torch.rand(shape, generator=generator)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_losses_are_the_mean_of_each_image(name):
    task = tasks.TASKS[name]
    wanted = made_up_labels(task, 3)
    shape = (3, task.channels, *wanted.shape[1 if task.loss == "cross_entropy" else 2 :])
    guess = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    losses = task.losses(guess, wanted if wanted.dtype == torch.int64 else wanted.double()).numpy()
    y, p = wanted.numpy(), guess.numpy()
    if task.loss == "cross_entropy":
        logs = p - np.log(np.exp(p).sum(1, keepdims=True))
        each = -np.take_along_axis(logs, y[:, None], 1)
    elif task.loss == "bce":
        q = 1 / (1 + np.exp(-p))
        each = -(y * np.log(q) + (1 - y) * np.log(1 - q))
    else:
        each = np.abs(p - y) ** (1 if task.loss == "l1" else 2)
    np.testing.assert_allclose(losses, each.reshape(3, -1).mean(1), rtol=1e-6)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_no_other_constant_is_better_than_the_trivial_one(name):
    task = tasks.TASKS[name]
    raw = made_up_labels(task, 51)
    scale = tasks.Scale.fit(task, raw)
    labels = scale(raw)
    best = scale.trivial(task, labels).mean()
    generator = torch.Generator().manual_seed(0)
    for size in (0.05, 0.5):
        shift = size * torch.randn(scale.constant.shape, generator=generator)
        other = scale.constant + shift
        losses = task.losses(other.expand(len(labels), *other.shape), labels)
        assert losses.mean() > best
    if task.loss in ("l1", "l2"):
        channels = labels.transpose(0, 1).flatten(1)
        torch.testing.assert_close(channels.mean(1), torch.zeros(task.channels), atol=1e-5, rtol=0)
        torch.testing.assert_close(channels.std(1), torch.ones(task.channels))


@pytest.mark.parametrize("name", tasks.TASKS)
def test_mirroring_twice_is_nothing(name):
    task = tasks.TASKS[name]
    labels = made_up_labels(task, 2)
    once = task.mirrored(labels)
    torch.testing.assert_close(task.mirrored(once), labels)
    assert torch.equal(once, labels) == (name in ("class_1000", "class_places"))


def test_pairs_of_pixels_change_places_when_mirrored():
    assert tasks.TASKS["segment2d"].order == (0, 1, 2, 3, 5, 4)


def test_labels_from_images():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small = tasks.TASKS["autoencoder"].from_image(images)
    torch.testing.assert_close(small[1, 2, 3, 4], images[1, 2, 6:8, 8:10].mean())
    chroma = tasks.TASKS["colorization"].from_image(images)
    assert chroma.shape == (2, 2, 32, 32)
    grey = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(tasks.TASKS["colorization"].from_image(grey), 0 * chroma)


def test_corrupted_inputs():
    images = torch.full((64, 3, 64, 64), 0.9)

    def corrupted(name, seed):
        return tasks.TASKS[name].corrupt(images, torch.Generator().manual_seed(seed))

    noise = corrupted("denoise", 0) - images
    assert noise.std().item() == pytest.approx(0.2, rel=0.01)
    assert abs(noise.mean().item()) < 1e-3
    holes = (corrupted("inpainting_whole", 0) == 0.5).all(1)
    sides = holes.sum((1, 2)).float().sqrt()
    assert sides.min() >= 20
    assert sides.max() <= 28
    assert torch.equal(sides, sides.round())
    assert len(sides.unique()) > 4
    for name in ("denoise", "inpainting_whole"):
        assert torch.equal(corrupted(name, 1), corrupted(name, 1))
        assert not torch.equal(corrupted(name, 1), corrupted(name, 2))


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_encoders(architecture):
    before = torch.random.get_rng_state()
    encoder = networks.make_encoder(architecture, tasks.TASKS["rgb2depth"], 1).eval()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 250_000 < sum(p.numel() for p in encoder.parameters()) < 400_000
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert encoder(images).shape == (2, *networks.CODE)
    same = networks.make_encoder(architecture, tasks.TASKS["rgb2depth"], 1).eval()
    assert torch.equal(same(images), encoder(images))
    other = networks.make_encoder(architecture, tasks.TASKS["rgb2depth"], 2).eval()
    assert not torch.allclose(other(images), encoder(images))
    mean = torch.tensor([0.45, 0.43, 0.40])[:, None, None]
    std = torch.tensor([0.23, 0.22, 0.23])[:, None, None]
    torch.testing.assert_close(encoder.normalized(images), (images - mean) / std)


def test_the_network_that_colours_sees_no_colour():
    encoder = networks.make_encoder("residual", tasks.TASKS["colorization"], 1).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    luma = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    grey = encoder(luma.expand(-1, 3, -1, -1))
    torch.testing.assert_close(encoder(images), grey, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["segmentsemantic", "class_1000", "rgb2sfnorm"])
def test_decoders(name):
    task = tasks.TASKS[name]
    decoder = networks.make_decoder(task, 0, 8)
    shape = (2, task.channels, 32, 32) if task.dense else (2, task.channels)
    assert decoder(torch.zeros(2, *networks.CODE)).shape == shape


def test_unknown_architecture():
    with pytest.raises(InvalidValueError, match="architecture='vgg'"):
        networks.make_encoder("vgg", None, 0)
