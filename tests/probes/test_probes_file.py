"""Probes on disk: the same images, groups and hash; damage is named."""

import json

import pytest
import torch

from pyattrx import Probes
from pyattrx.errors import InvalidTypeError, ProbeError


def make(dtype=torch.uint8, count=7):
    images = torch.randint(0, 256, (count, 3, 9, 13), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images / 255
    groups = [index // 2 for index in range(count)]
    return Probes.from_tensor(images, groups, [f"ä{index}" for index in range(count)])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_is_saved_comes_back(tmp_path, dtype):
    probes = make(dtype)
    again = Probes.load(probes.save(tmp_path / "p.probes"))
    assert again.hash == probes.hash
    assert again.names == probes.names
    assert again.groups.tolist() == probes.groups.tolist()
    assert again.describe() == probes.describe()
    assert torch.equal(again.images(), probes.images())
    assert torch.equal(again[3], probes[3])
    assert torch.equal(again.head(3).images(1, 3), probes.images(1, 3))
    twice = Probes.load(again.save(tmp_path / "again.probes"))
    assert twice.hash == probes.hash


def test_bytes_are_kept_as_bytes(tmp_path):
    small = make(torch.uint8).save(tmp_path / "a").stat().st_size
    large = make(torch.float32).save(tmp_path / "b").stat().st_size
    assert large - small > 2 * 7 * 3 * 9 * 13


def test_batches_in_an_order_of_ones_own(tmp_path):
    probes = Probes.load(make().save(tmp_path / "p"))
    order = [5, 0, 1, 2, 6, 6]
    batches = torch.cat(list(probes.batches(4, order)))
    assert torch.equal(batches, torch.stack([probes[i] for i in order]))
    assert list(probes.batches(4, [])) == []
    with pytest.raises(ValueError, match="order"):
        probes.batches(4, [7])
    with pytest.raises(TypeError, match="order"):
        probes.batches(4, [0.5])


def test_damage_is_named(tmp_path):
    path = make().save(tmp_path / "p")
    whole = path.read_bytes()
    for cut in (0, 5, 20, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ProbeError, match="p: (not a file|damaged)"):
            Probes.load(path)
    for place in range(
        0, len(whole) - 7 * 3 * 9 * 13, 5
    ):  # magic, lengths, header, digests, checksums
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(ProbeError):
            Probes.load(path)
    damaged = bytearray(whole)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    probes = Probes.load(path)
    probes.images(0, 6)
    with pytest.raises(ProbeError, match="the pixels of probe 6"):
        probes.images()


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x").write_text(json.dumps({"count": 1}))
    with pytest.raises(ProbeError, match="not a file of probes"):
        Probes.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        Probes.load(tmp_path / "none")
    with pytest.raises(InvalidTypeError, match="path"):
        make().save(3)


def test_a_failing_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = make(count=3).save(tmp_path / "p")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        make().save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
