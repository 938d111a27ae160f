"""What an Affinity answers: distances, neighbours, ties, files."""

import json

import numpy as np
import pytest
from scipy import stats

import pyattrx
from pyattrx.affinities import Affinity
from pyattrx.errors import InvalidTypeError, InvalidValueError, PyattrxError


def make(cosines, groups=None, names=None):
    cosines = np.asarray(cosines, dtype=float)
    n, m, _ = cosines.shape
    groups = np.arange(n) if groups is None else np.asarray(groups)
    from pyattrx.statistics.clustered import clustered_stderr

    return Affinity(
        names=names or [f"n{i}" for i in range(m)],
        values=cosines.mean(0),
        stderr=clustered_stderr(cosines, groups),
        symmetric=True,
        groups=groups,
        cosines=cosines,
        provenance={"method_name": "made"},
    )


@pytest.fixture
def result():
    """Source 1 is clearly nearest to 0; 2 and 3 differ by noise; 4 is far."""
    rng = np.random.default_rng(0)
    n = 40
    shared = 0.1 * rng.normal(size=n)
    rows = np.stack(
        [
            np.ones(n),
            0.8 + shared + 0.01 * rng.normal(size=n),
            0.5 + shared + 0.1 * rng.normal(size=n),
            0.5 + shared + 0.1 * rng.normal(size=n),
            -0.2 + shared + 0.1 * rng.normal(size=n),
        ]
    )
    cosines = np.broadcast_to(np.eye(5), (n, 5, 5)).copy()
    cosines[:, 0, :] = rows.T
    cosines[:, :, 0] = rows.T
    return make(cosines)


def test_nearest_ranks_and_intervals(result):
    matches = result.nearest("n0", k=10)
    assert [m.name for m in matches][0] == "n1"
    assert [m.name for m in matches][3] == "n4"
    first = matches[0]
    values = result.cosines[:, 0, 1]
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (first.affinity, first.stderr) == pytest.approx((values.mean(), stats.sem(values)))
    assert (first.low, first.high) == pytest.approx((low, high))
    wider = result.nearest("n0", k=1, level=0.999)[0]
    assert wider.low < first.low < first.high < wider.high


def test_ties_are_those_of_a_paired_test(result):
    matches = {m.name: m for m in result.nearest("n0")}
    assert matches["n1"].ties == ()
    assert matches["n2"].ties == ("n3",)
    assert matches["n3"].ties == ("n2",)
    # The shared noise of the probes would hide this difference from an unpaired test.
    a, b = result.cosines[:, 0, 1], result.cosines[:, 0, 2]
    assert stats.ttest_rel(a, b).pvalue < 1e-9


def test_identical_sources_are_tied_and_constant_differences_are_not():
    cosines = np.zeros((6, 4, 4))
    cosines[:, 0, 1] = cosines[:, 0, 2] = np.linspace(0.4, 0.5, 6)
    cosines[:, 0, 3] = np.linspace(0.2, 0.3, 6)
    match = make(cosines).nearest("n0")[0]
    assert match.name == "n1"
    assert match.ties == ("n2",)


def test_equal_affinities_are_ordered_by_name():
    cosines = np.zeros((3, 4, 4))
    names = ["target", "b", "c", "a"]
    assert [m.name for m in make(cosines, names=names).nearest("target")] == ["a", "b", "c"]


def test_one_group_knows_nothing():
    cosines = np.random.default_rng(0).uniform(size=(5, 3, 3))
    match = make(cosines, groups=[0] * 5).nearest("n0")[0]
    assert np.isnan(match.stderr)
    assert len(match.ties) == 1


def test_intervals_stay_within_what_a_cosine_can_be():
    cosines = np.zeros((2, 2, 2))
    cosines[:, 0, 1] = [0.7, 1.0]
    match = make(cosines).nearest("n0")[0]
    assert (match.low, match.high) == (-1.0, 1.0)


def test_distance_is_the_papers(result):
    distance = result.distance()
    sums = result.cosines.sum(0)
    assert distance[0, 1] == pytest.approx(40 / sums[0, 1])
    assert np.isinf(distance[0, 4])
    assert np.isinf(distance[1, 2])  # a sum of exactly zero
    assert distance[2, 2] == 1


def test_differing_pairs(result):
    differing, pairs = result.differing_pairs()
    assert (differing, pairs) == (4, 10)


def test_tree_and_frame(result):
    from scipy.cluster.hierarchy import linkage

    assert np.array_equal(result.tree().linkage, linkage(result.values, "single", "euclidean"))
    frame = pytest.importorskip("pandas") and result.to_frame()
    assert list(frame.columns) == result.names
    assert frame.loc["n0", "n1"] == result.values[0, 1]


def test_save_and_load(result, tmp_path):
    path = result.save(tmp_path / "result.npz")
    again = Affinity.load(path)
    for name in ("values", "stderr", "groups", "cosines"):
        assert np.array_equal(getattr(result, name), getattr(again, name))
    assert again.names == result.names
    assert again.provenance == result.provenance
    assert again.nearest("n0") == result.nearest("n0")
    result.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["result.npz"]


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty", "flip", "other"])
def test_damaged_files_are_refused(result, tmp_path, damage):
    path = result.save(tmp_path / "result.npz")
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        data = data[: len(data) // 2]
    elif damage == "garbage":
        data = bytearray(b"not a zip file at all")
    elif damage == "empty":
        data = bytearray()
    elif damage == "flip":
        data[200] ^= 0xFF
    path.write_bytes(data)
    if damage == "other":
        np.savez(path, a=np.ones(3))
    with pytest.raises(PyattrxError, match="result.npz"):
        Affinity.load(path)


def test_any_flipped_byte_is_refused_or_harmless(result, tmp_path):
    path = result.save(tmp_path / "result.npz")
    data = path.read_bytes()
    for place in range(0, len(data), 41):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :])
        try:
            again = Affinity.load(path)
        except PyattrxError:
            continue
        assert np.array_equal(again.values, result.values)
        assert again.names == result.names


def test_saved_files_have_the_usual_permissions(result, tmp_path):
    (tmp_path / "plain").write_text("")
    path = result.save(tmp_path / "result.npz")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_ties_are_mutual():
    rng = np.random.default_rng(3)
    for _ in range(20):
        made = make(0.5 + rng.normal(0, 0.2, size=(1, 6, 6)) + rng.normal(0, 0.2, size=(8, 6, 6)))
        ties = {m.name: m.ties for m in made.nearest("n0", k=5)}
        assert all(name in ties[other] for name in ties for other in ties[name])


def test_save_needs_its_suffix_and_a_folder(result, tmp_path):
    with pytest.raises(InvalidValueError, match="npz"):
        result.save(tmp_path / "result.txt")
    with pytest.raises(OSError, match="missing"):
        result.save(tmp_path / "missing" / "result.npz")


def test_to_dict_is_json(result):
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["names"] == result.names


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.nearest("nobody"), "name='nobody'.*'n0'"),
        (lambda r: r.nearest("n0", k=0), "k=0"),
        (lambda r: r.nearest("n0", level=1.0), "level=1.0"),
        (lambda r: r.differing_pairs(level=95), "level=95"),
        (lambda r: r.tree("ward"), "ward"),
    ],
)
def test_wrong_arguments(result, call, message):
    with pytest.raises(InvalidValueError, match=message):
        call(result)


def test_shapes_are_checked():
    with pytest.raises(InvalidValueError, match=r"values.shape=\(2, 3\)"):
        Affinity(["a", "b"], np.ones((2, 3)), np.ones((2, 2)), True, np.arange(2))
    with pytest.raises(InvalidTypeError, match="names"):
        Affinity("ab", np.ones((2, 2)), np.ones((2, 2)), True, np.arange(2))


def test_repr_is_short(result):
    assert repr(result) == "Affinity(5 networks, 40 probes in 40 groups, method: made)"
    assert repr(pyattrx.Match("a", 1.0, 0.0, 1.0, 1.0)).startswith("Match(name='a'")
