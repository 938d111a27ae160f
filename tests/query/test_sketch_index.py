"""Indexes: the right candidates of any kind; damage is refused; Faiss is optional."""

import numpy as np
import pytest

from pyattrx.errors import IndexDamagedError, InvalidTypeError, InvalidValueError
from pyattrx.query import SketchIndex, sketch_index

SIZE = 1024
RNG = np.random.default_rng(0)


def families(n, rng=RNG):
    centres = rng.normal(size=(max(n // 20, 1), SIZE))
    members = centres[np.arange(n) % len(centres)] + 0.8 * rng.normal(size=(n, SIZE))
    return (members / np.linalg.norm(members, axis=1, keepdims=True)).astype(np.float32)


def blocks_of(vectors, size=97):
    return lambda: (vectors[start : start + size] for start in range(0, len(vectors), size))


def ids_of(index, query, k):
    ((ids, _),) = index.search(query[None], k)
    return ids


def needs_faiss(kind):
    if kind != "flat":
        pytest.importorskip("faiss")


@pytest.mark.parametrize("kind", ["flat", "pq"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_nearest_are_among_the_candidates(kind, dtype):
    needs_faiss(kind)
    vectors = families(1500).astype(dtype)
    ids = np.arange(1500) * 3 + 7
    index = SketchIndex.build(ids, blocks_of(vectors), SIZE, kind=kind)
    assert (index.kind, len(index)) == (kind, 1500)
    found = 0
    for query in vectors[::50].astype(np.float32):
        exact = ids[np.argsort(-(vectors.astype(np.float32) @ query))[:5]]
        got = ids_of(index, query, index.candidates(5))
        assert len(got) == len(set(got.tolist()))
        found += len(set(exact) & set(got))
    assert found / 150 >= 0.99


@pytest.mark.parametrize("kind", ["flat", "pq"])
def test_neither_a_common_part_nor_unequal_lengths_hide_the_nearest(kind):
    """Maps of all networks have something in common; all-zero maps make a sketch shorter."""
    needs_faiss(kind)
    length = RNG.uniform(0.3, 1.1, size=(1500, 1))
    common = RNG.normal(size=SIZE) / SIZE**0.5
    vectors = (length * (0.8 * common + 0.6 * families(1500))).astype(np.float32)
    index = SketchIndex.build(np.arange(1500), blocks_of(vectors), SIZE, kind=kind)
    found = 0
    for query in vectors[::50]:
        exact = np.argsort(-(vectors @ query))[:5]
        found += len(set(exact) & set(ids_of(index, query, index.candidates(5))))
    assert found / 150 >= 0.99


@pytest.mark.parametrize("kind", ["flat", "pq"])
def test_what_is_added_is_found_and_nothing_is_trained_again(kind):
    needs_faiss(kind)
    vectors = families(900)
    index = SketchIndex.build(np.arange(800), blocks_of(vectors[:800]), SIZE, kind=kind)
    trained = index.trained
    for number in range(800, 900):
        index.add([number], vectors[number : number + 1])
    assert index.trained == trained
    assert index.ids.tolist() == list(range(900))
    for number in (0, 799, 800, 899):
        assert number in ids_of(index, vectors[number], 20)


@pytest.mark.parametrize("kind", ["flat", "pq"])
def test_it_is_the_same_after_saving(tmp_path, kind):
    needs_faiss(kind)
    vectors = families(700)
    index = SketchIndex.build(np.arange(700), blocks_of(vectors), SIZE, kind=kind)
    index.save(tmp_path / "x.index")
    again = SketchIndex.load(tmp_path / "x.index")
    assert (again.kind, len(again), again.trained) == (kind, 700, index.trained)
    for query in vectors[::100]:
        assert np.array_equal(ids_of(index, query, 9), ids_of(again, query, 9))
    again.add([700], vectors[:1])
    assert len(again) == 701


def test_a_kind_that_is_no_longer_made_is_refused(tmp_path):
    needs_faiss("pq")
    index = SketchIndex.build(np.arange(700), blocks_of(families(700)), SIZE, kind="pq")
    index.kind = "ivf"
    index.save(tmp_path / "x.index")
    with pytest.raises(IndexDamagedError, match="another version"):
        SketchIndex.load(tmp_path / "x.index")
    with pytest.raises(InvalidValueError, match="kind='ivf'"):
        SketchIndex.build(np.arange(10), blocks_of(families(10)), SIZE, kind="ivf")


@pytest.mark.parametrize("kind", ["flat", "pq"])
def test_damage_is_refused(tmp_path, kind):
    needs_faiss(kind)
    vectors = families(640)
    path = tmp_path / "x.index"
    SketchIndex.build(np.arange(640), blocks_of(vectors), SIZE, kind=kind).save(path)
    whole = path.read_bytes()
    for cut in (0, 7, 23, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(IndexDamagedError, match=r"x.index"):
            SketchIndex.load(path)
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1
        path.write_bytes(spoilt)
        with pytest.raises(IndexDamagedError):
            SketchIndex.load(path)
    with pytest.raises(FileNotFoundError):
        SketchIndex.load(tmp_path / "none")


def test_few_and_none():
    empty = SketchIndex.build([], lambda: [], SIZE)
    assert len(ids_of(empty, np.ones(SIZE, np.float32), 5)) == 0
    one = SketchIndex.build([4], blocks_of(families(1)), SIZE)
    assert ids_of(one, np.zeros(SIZE, np.float32), 5).tolist() == [4]
    empty.add([3], families(1))
    assert ids_of(empty, np.ones(SIZE, np.float32), 1).tolist() == [3]


def test_without_faiss_everything_is_exact(monkeypatch):
    monkeypatch.setattr(sketch_index, "faiss_or_none", lambda: None)
    vectors = families(800)
    index = SketchIndex.build(np.arange(800), blocks_of(vectors), SIZE)
    assert index.kind == "flat"
    assert not index.stale()
    assert index.candidates(7) == 7
    half = vectors.astype(np.float16).astype(np.float32)
    expected = np.argsort(-(half @ vectors[5]), kind="stable")[:7]
    assert ids_of(index, vectors[5], 7).tolist() == expected.tolist()
    with pytest.raises(InvalidValueError, match="faiss is not installed"):
        SketchIndex.build(np.arange(800), blocks_of(vectors), SIZE, kind="pq")


def test_it_says_when_it_has_outgrown_itself(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(sketch_index, "KINDS", {"flat": 0, "pq": 650})
    vectors = families(3000)
    index = SketchIndex.build(np.arange(600), blocks_of(vectors[:600]), SIZE)
    assert (index.kind, index.stale()) == ("flat", False)
    index.add(np.arange(600, 700), vectors[600:700])
    assert index.stale()
    index = SketchIndex.build(np.arange(700), blocks_of(vectors[:700]), SIZE)
    assert (index.kind, index.stale()) == ("pq", False)
    index.add(np.arange(700, 3000), vectors[700:])
    assert index.stale()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1000}, "size=1000"),
        ({"kind": "tree"}, "kind='tree'"),
        ({"ids": [1]}, "vectors.shape"),
        ({"ids": np.arange(9)}, "one for each id"),
        ({"blocks": lambda: [np.full((3, SIZE), np.nan, np.float32)]}, "NaN or Inf"),
        ({"blocks": lambda: [np.ones((3, 5), np.float32)]}, "rows of 1024"),
        ({"blocks": lambda: [np.ones((3, SIZE))]}, "float32 or float16"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    usual = {"ids": np.arange(3), "blocks": blocks_of(families(3)), "size": SIZE}
    with pytest.raises((InvalidValueError, InvalidTypeError), match=message):
        SketchIndex.build(**{**usual, **arguments})


def test_a_query_is_checked():
    index = SketchIndex.build(np.arange(3), blocks_of(families(3)), SIZE)
    with pytest.raises(InvalidValueError, match="k=0"):
        index.search(np.ones((1, SIZE), np.float32), 0)
    with pytest.raises(InvalidValueError, match="queries"):
        index.search(np.full((1, SIZE), np.inf, np.float32), 1)


@pytest.mark.parametrize(("kind", "error"), [("flat", 0.001), ("pq", 0.2)])
def test_scores_are_inner_products(kind, error):
    """Of float16; or of folded vectors, off by four standard errors of 1/sqrt(512) at most."""
    needs_faiss(kind)
    vectors = families(800, np.random.default_rng(1))
    index = SketchIndex.build(np.arange(800), blocks_of(vectors), SIZE, kind=kind)
    queries = np.concatenate([3 * vectors[:4], 0 * vectors[:1]])
    for query, (ids, scores) in zip(queries, index.search(queries, 40), strict=True):
        assert scores.shape == (40,)
        assert (np.diff(scores) <= 0).all()
        exact = vectors[ids] @ query
        assert np.abs(scores - exact).max() <= error * np.linalg.norm(query)
        ((alone, same),) = index.search(query[None], 40)
        assert np.array_equal(ids, alone)
        assert np.array_equal(scores, same)
