"""Exact copies among probes: one group, however they were grouped and wherever they come from."""

import itertools
import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import pyattrx
from pyattrx import Probes
from pyattrx.probes import file
from pyattrx.statistics import clustered_stderr

# Which of a few images every probe shows, and the groups that it is given.
chosen = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=14)


def picture(number):
    return np.full((6, 8, 3), 40 * number + np.arange(8)[None, :, None], np.uint8)


def tensor(numbers):
    return torch.stack([torch.from_numpy(picture(n)).permute(2, 0, 1) for n in numbers])


def connected(numbers, groups):
    """Components of probes that share an image or a group, numbered as they appear; slowly."""
    labels = list(range(len(numbers)))
    changed = True
    while changed:
        changed = False
        for i, j in itertools.combinations(range(len(numbers)), 2):
            alike = numbers[i] == numbers[j] or groups[i] == groups[j]
            if alike and labels[i] != labels[j]:
                labels = [min(labels[i], labels[j]) if n in (labels[i], labels[j]) else n
                          for n in labels]  # fmt: skip
                changed = True
    order = list(dict.fromkeys(labels))
    return [order.index(label) for label in labels]


@given(chosen)
def test_copies_and_what_was_grouped_with_them_are_one_group(probes):
    numbers, groups = (list(column) for column in zip(*probes, strict=True))
    made = {
        "tensor": Probes.from_tensor(tensor(numbers), groups),
        "float": Probes.from_tensor(tensor(numbers) / 255, groups),
        "batches": Probes.from_batches([tensor(numbers[:3]), tensor(numbers[3:])], groups=groups)
        if len(numbers) > 3
        else Probes.from_batches([tensor(numbers)], groups=groups),
        "images": Probes.from_images(map(picture, numbers), (6, 8), groups=groups),
    }
    for found in made.values():
        assert found.groups.tolist() == connected(numbers, groups)
        assert found.n_groups <= min(len(set(groups)), len(set(numbers)))
        assert found.duplicates == found.describe()["duplicates"]
        assert found.duplicates == len(numbers) - len(set(numbers))
        for n in range(1, len(numbers) + 1):
            assert found.head(n).groups.tolist() == found.groups[:n].tolist()
            assert found.head(n).duplicates == n - len(set(numbers[:n]))
    assert len({found.hash for found in made.values()}) == 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ungrouped_probes_keep_their_numbers_when_more_follow(numbers):
    """So a zoo's probes can be followed by others, copies of them among those."""
    whole = Probes.from_tensor(tensor(numbers))
    for n in range(1, len(numbers) + 1):
        assert Probes.from_tensor(tensor(numbers[:n])).hash == whole.head(n).hash


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=6),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_the_same_photos_several_times_say_no_more(cosines, times, random):
    order = [index for index in range(len(cosines)) for _ in range(times)]
    random.shuffle(order)
    groups = Probes.from_tensor(tensor(order)).groups
    error = clustered_stderr(np.array(cosines)[order], groups)
    assert error == pytest.approx(clustered_stderr(np.array(cosines), np.arange(len(cosines))))


@pytest.mark.parametrize("method", ["saliency", "grad_x_input", "cka"])
def test_errors_of_affinities(method):
    torch.manual_seed(0)
    nets = [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1))
        for _ in range(3)
    ]
    encoders = [pyattrx.Encoder(net.eval(), name=f"n{i}") for i, net in enumerate(nets)]
    photos = torch.rand(12, 3, 10, 10)
    once = pyattrx.affinity(encoders, Probes.from_tensor(photos), method)
    probes = Probes.from_tensor(photos.repeat(4, 1, 1, 1))
    often = pyattrx.affinity(encoders, probes, method)
    assert (probes.n_groups, often.n_groups, probes.duplicates) == (12, 12, 36)
    assert often.provenance["probes"]["duplicates"] == 36
    assert often.values == pytest.approx(once.values, rel=1e-6)
    if method != "cka":  # whose jackknife is over blocks of the groups, and N is in its estimate
        assert often.stderr == pytest.approx(once.stderr, rel=1e-5, abs=1e-9)
    else:
        assert often.stderr == pytest.approx(once.stderr, rel=0.2, abs=1e-9)


def test_files_that_are_copies(tmp_path):
    for number, name in enumerate(["a", "b", "c"]):
        Image.fromarray(picture(number)).save(tmp_path / f"{name}.png")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "b.png").write_bytes((tmp_path / "b.png").read_bytes())
    Image.fromarray(picture(2)).save(tmp_path / "c.bmp")  # another file, the same picture
    for groups in ("photo", None):
        probes = Probes.from_folder(tmp_path, (6, 8), groups=groups)
        assert (len(probes), probes.n_groups, probes.duplicates) == (5, 3, 2)
        of = dict(zip(probes.names, probes.groups.tolist(), strict=True))
        assert of["b.png"] == of["again/b.png"]
        assert of["c.png"] == of["c.bmp"]
        for limit in range(1, 6):
            part = Probes.from_folder(tmp_path, (6, 8), limit, groups=groups)
            assert part.hash == probes.head(limit).hash
    # The folders are scenes: "again" has a picture of the other one.
    probes = Probes.from_folder(tmp_path, (6, 8), groups=lambda path: path.parent)
    assert (probes.n_groups, probes.duplicates) == (1, 2)


def test_crops_that_happen_to_be_alike(tmp_path):
    """All crops of a plain photo are the same, and those of two plain photos, too."""
    for name in "ab":
        Image.new("RGB", (40, 30), "navy").save(tmp_path / f"{name}.png")
    Image.fromarray(picture(1)).save(tmp_path / "c.png")
    probes = Probes.from_folder(tmp_path, 4, crops=3)
    assert probes.n_groups == 2
    assert probes.duplicates >= 5


def test_pixels_that_differ_are_no_copies():
    """By one step of 8 bits, or by one unit in the last place of a float."""
    bytes_ = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    bytes_[1, 2, 3, 3] = 101
    floats = torch.full((2, 3, 4, 4), 0.3)
    floats[1, 0, 0, 0] = torch.nextafter(floats[1, 0, 0, 0], torch.tensor(1.0))
    for images in (bytes_, floats):
        probes = Probes.from_tensor(images)
        assert (probes.n_groups, probes.duplicates) == (2, 0)
    zeros = torch.zeros(2, 3, 4, 4)
    zeros[1] = -0.0  # equal values, equal pixels
    assert Probes.from_tensor(zeros).duplicates == 1


def test_probes_that_were_saved_before_stay_what_they_were(tmp_path):
    """Files of older versions have groups that are not joined, and a hash that covers them."""
    probes = Probes.from_tensor(tensor([0, 1, 0, 2]))
    old = Probes(probes._store, probes.names, [0, 1, 2, 3], dict(probes._source))
    loaded = Probes.load(old.save(tmp_path / "old.probes"))
    assert loaded.groups.tolist() == [0, 1, 2, 3]
    assert (loaded.hash, loaded.duplicates) == (old.hash, 1)
    assert loaded.hash != probes.hash
    assert loaded.head(3).groups.tolist() == [0, 1, 2]
    data = (tmp_path / "old.probes").read_bytes()
    length = struct.unpack_from("<Q", data, 8)[0]
    assert "duplicates" not in json.loads(data[file._HEAD.size :][:length])


def test_images_of_a_task_that_are_copies_are_not_divided(monkeypatch):
    """Or networks would be judged on images that they were trained on."""
    from pyattrx.fitting import fit

    seen = []
    split = fit.split
    monkeypatch.setattr(
        fit, "split", lambda groups, *rest: seen.append(groups) or split(groups, *rest)
    )
    images = torch.rand(12, 3, 16, 16).repeat(3, 1, 1, 1)
    with pytest.warns(pyattrx.errors.FitWarning):
        pyattrx.fit_target(images, torch.rand(36), input_size=16, steps=2)
    assert seen[0].tolist() == list(range(12)) * 3
