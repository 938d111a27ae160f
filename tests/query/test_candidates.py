"""The index of a zoo is a cache: missing, stale or damaged, the answers are the same."""

import numpy as np
import pytest
import torch

from pyattrx import Probes, Zoo
from pyattrx.query import Limits, SketchIndex

SAVED = Limits(worth_saving=1)


@pytest.fixture
def zoo(tmp_path):
    """A zoo of 120 networks in 12 families, which keeps sketches only and is always indexed."""
    generator = torch.Generator().manual_seed(0)
    probes = Probes.from_tensor(torch.rand(32, 3, 8, 8, generator=generator))
    centres = torch.randn(12, 32, 64, generator=generator)
    with Zoo.create(tmp_path / "zoo", probes, "saliency", keep_rows=False) as zoo:
        zoo.limits = SAVED
        for index in range(120):
            zoo.add_maps(
                f"n{index}", member(centres, index), tags=["even"] if index % 2 == 0 else []
            )
        zoo.centres = centres
        yield zoo


def opened(zoo):
    again = Zoo.open(zoo.path)
    again.limits = SAVED
    return again


def member(centres, index):
    generator = torch.Generator().manual_seed(100 + index)
    return centres[index % 12] + 0.5 * torch.randn(32, 64, generator=generator)


def names(zoo, name="n5", k=5, **options):
    return [match.name for match in zoo.query(name, k, **options)]


def index_file(zoo):
    (path,) = (zoo.path / "index").iterdir()
    return path


def test_relatives_are_found_and_the_index_is_kept(zoo):
    found = zoo.query("n5", k=9)
    assert {match.name for match in found} == {f"n{i}" for i in range(17, 120, 12)}
    assert not found.complete
    assert found.searched == 119
    assert len(SketchIndex.load(index_file(zoo))) == 120


def test_an_index_that_is_damaged_or_missing_is_made_again(zoo):
    expected = names(zoo)
    path = index_file(zoo)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with opened(zoo) as again:
        assert names(again) == expected
    assert len(SketchIndex.load(index_file(zoo))) == 120
    index_file(zoo).unlink()
    with opened(zoo) as again:
        assert names(again) == expected
    index_file(zoo).write_bytes(b"")
    with opened(zoo) as again:
        assert names(again) == expected


def test_adding_does_not_build_it_again(zoo, monkeypatch):
    names(zoo)
    monkeypatch.setattr(SketchIndex, "build", None)
    zoo.add_maps("new", member(zoo.centres, 5))
    assert names(zoo)[0] == "new"
    with opened(zoo) as other:  # where the file does not know it yet
        monkeypatch.undo()
        assert names(other)[0] == "new"


def test_what_others_add_and_remove_is_noticed(zoo):
    first = names(zoo)
    with opened(zoo) as other:
        other.remove(first[0])
        other.add_maps("new", member(zoo.centres, 5))
    assert names(zoo) == ["new", *[name for name in first if name != first[0]]]


def test_many_removed_networks_do_not_hide_the_rest(zoo, monkeypatch):
    monkeypatch.setattr(SketchIndex, "candidates", lambda self, k: k)
    names(zoo)
    for index in range(17, 108, 12):
        zoo.remove(f"n{index}")
    assert names(zoo, k=1) == ["n113"]
    assert len(names(zoo, k=50)) == 50


def test_tags_are_respected(zoo):
    expected = [name for name in names(zoo, k=119) if int(name[1:]) % 2 == 0]
    assert names(zoo, k=5, tags="even") == expected[:5]
    zoo.limits = Limits(one_by_one=0)  # by the index, as where many are tagged
    assert names(zoo, k=5, tags="even") == expected[:5]


def test_a_damaged_sketch_is_left_out(zoo):
    victim = zoo._store.catalog.id_of("n17")
    (located,) = zoo._store.catalog.records([victim], 1, 1)[victim]
    rows = zoo.path / "rows" / "000001.rows"
    data = bytearray(rows.read_bytes())
    data[located.record.offset + 5] ^= 1
    rows.write_bytes(data)
    with opened(zoo) as again, pytest.warns(UserWarning, match="'n17' is damaged"):
        found = again.query("n5", k=20)
    assert "n17" not in [match.name for match in found]
    assert found.damaged == ("n17",)
    assert list(zoo.verify().damaged) == ["n17"]


def test_errors_of_sketches_are_honest(zoo):
    """Affinities by sketches against the exact ones: within their intervals as often as said."""
    inside = []
    for index in range(0, 120, 7):
        mine = torch.nn.functional.normalize(member(zoo.centres, index), dim=1)
        for match in zoo.query(f"n{index}", k=12):
            other = torch.nn.functional.normalize(member(zoo.centres, int(match.name[1:])), dim=1)
            exact = float((mine * other).sum(1).mean())
            inside.append(match.low <= exact <= match.high)
    assert 0.9 < np.mean(inside) <= 1
