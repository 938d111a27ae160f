"""A target network in the labels' place, and the networks of a zoo as candidates."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import Task, Zoo, recommend
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, ZooMismatchError
from pyattrx.features import extract
from pyattrx.recommending.targeted import target_scores
from pyattrx.scores import compare

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NETWORKS = """
import torch
from torch import nn


class Channels(nn.Module):
    def __init__(self, *channels):
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[list(channels)])

    def forward(self, x):
        small = nn.functional.adaptive_avg_pool2d(x, 2)
        seen = torch.einsum("kc,nchw->nkhw", self.weight, small)
        return torch.cat([seen, torch.ones_like(seen[:, :1])], 1)


def red(): return Channels(0)
def green(): return Channels(1)
def blue(): return Channels(2)
def two(): return Channels(0, 1)
def again(): return Channels(1)
"""


@pytest.fixture
def specifications(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return [f"mine.py:{name}" for name in ("red", "green", "blue", "two")]


def probes(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return pyattrx.Probes.from_tensor(torch.tensor(rng.random((n, 3, 8, 8)), dtype=torch.float32))


def labelled(n=40):
    rng = np.random.default_rng(1)
    labels = np.arange(n) % 2
    images = rng.random((n, 3, 8, 8)).astype(np.float32)
    images[:, 2] = 0.25 + 0.5 * labels[:, None, None]
    return Task.from_arrays(images, labels)


def ask(*given, **options):
    return recommend(*given, **{"cache": False, "device": "cpu", **options})


def test_a_target_takes_the_labels_place(specifications):
    result = ask(specifications, labelled(), target="mine.py:again")
    assert result.situation == "target"
    assert set(result.names[:2]) == {"mine.py:green", "mine.py:two"}
    assert any("stands for the task; it is read at" in note for note in result.notes)
    assert result.score == "how well its features predict those of the target network"
    assert result.best.costs is not None
    assert result.provenance["target"] == "mine.py:again"
    # One of the candidates may be the target itself.
    assert set(ask(specifications, probes(), target="mine.py:red").names) == set(specifications)
    with pytest.raises(InvalidValueError, match="scores='knn'"):
        ask(specifications, labelled(), target="mine.py:again", scores="knn")


def test_a_target_is_a_ridge_regression(specifications):
    """By hand: both ways between halves of the images, penalty 1, features of unit length."""
    images = probes()
    result = ask(specifications, images, target="mine.py:again")
    order = np.array(sorted(range(40), key=images.digests().__getitem__))

    def seen(channels):
        small = torch.nn.functional.adaptive_avg_pool2d(images.images().double(), 2)[order]
        maps = torch.cat([small[:, channels], torch.ones(40, 1, 2, 2).double()], 1).numpy()
        vector = np.concatenate([maps.mean((2, 3)), maps.reshape(40, -1)], 1)
        return vector / np.linalg.norm(vector, axis=1, keepdims=True)

    def r2(x, z):
        found = []
        halves = (slice(0, None, 2), slice(1, None, 2))
        for fit, test in (halves, halves[::-1]):
            a, b = x[fit] - x[fit].mean(0), z[fit] - z[fit].mean(0)
            gram = a.T @ a
            penalty = np.trace(gram) / min(a.shape)
            weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), a.T @ b)
            error = z[test] - z[fit].mean(0) - (x[test] - x[fit].mean(0)) @ weights
            found.append(1 - np.square(error).sum() / np.square(z[test] - z[test].mean(0)).sum())
        return np.mean(found)

    channels = {"red": [0], "green": [1], "blue": [2], "two": [0, 1]}
    for name, of in channels.items():
        expected = r2(seen(of), seen([1]))
        assert result[f"mine.py:{name}"].value == pytest.approx(expected, abs=2e-3)
    assert result[0].stderr > 0


def test_labels_do_not_matter_to_a_target(specifications):
    task = labelled()
    plain = Task.from_arrays(task.probes.images())
    one, two = (ask(specifications, some, target="mine.py:again") for some in (task, plain))
    assert [s.value for s in one] == [s.value for s in two]


def test_a_target_that_fails_is_an_error(specifications):
    with pytest.raises(pyattrx.PyattrxError, match="nothing"):
        ask(specifications, probes(), target="mine.py:nothing")


@pytest.fixture
def zoo(tmp_path, specifications):
    with Zoo.create(tmp_path / "zoo", probes(), "saliency", rerank="recommended") as made:
        made.add_many(specifications, tags="colours")
        made.add(pyattrx.Encoder(torch.nn.Conv2d(3, 2, 3), name="by hand"))
        yield made


def test_a_zoo_runs_its_networks(zoo):
    result = ask(zoo, labelled())
    assert result.best.name == "mine.py:blue"
    assert len(result) == 4
    assert any("1 of 5 networks in the zoo cannot be loaded" in note for note in result.notes)
    assert len(ask(zoo, labelled(), tags="colours")) == 4
    with pytest.raises(
        InvalidValueError, match="tags='nothing has it': expected those of a network"
    ):
        ask(zoo, labelled(), tags="nothing has it")


def test_finalists_know_most_of_the_others(zoo):
    result = ask(zoo, labelled(), finalists=2)
    assert "mine.py:two" in result.names
    assert len(result) == 2
    assert any("Of 4 networks in the zoo the 2 that know most" in note for note in result.notes)


def test_finalists_are_near_the_target(zoo):
    result = ask(zoo, probes(seed=2), target="mine.py:again", finalists=2)
    assert set(result.names) == {"mine.py:green", "mine.py:two"}
    assert any("nearest to the target" in note for note in result.notes)


def test_what_was_added_as_maps_is_no_candidate(zoo, specifications):
    rows = torch.rand(40, 64)
    zoo.add_maps("maps", rows, facts={"specification": "mine.py:red"})
    result = ask(zoo, labelled())
    assert "maps" not in result.names
    assert any("or as maps" in note for note in result.notes)
    with pytest.raises(ZooMismatchError, match="was added as maps"):
        zoo.load("maps")


def test_scores_for_one_target_compare_and_for_two_do_not(specifications):
    images = probes()
    task = Task.from_arrays(images.images())
    read = [extract(pyattrx.load(name), images) for name in (*specifications, "mine.py:again")]
    one, two = (target_scores(read[-1], read[at : at + 1], task)[0] for at in (0, 1))
    other = target_scores(read[0], read[1:2], task)[0]
    assert compare(one, two).difference == pytest.approx(one.value - two.value)
    with pytest.raises(InvalidValueError, match="the same images"):
        compare(one, other)


def test_a_zoo_without_features_cannot_be_narrowed(tmp_path, specifications):
    with Zoo.create(tmp_path / "bare", probes(), "saliency") as bare:
        bare.add_many(specifications)
        assert len(ask(bare, labelled())) == 4
        with pytest.raises(InvalidValueError, match="finalists=4"):
            ask(bare, labelled(), finalists=2)


@pytest.mark.parametrize("options", [{"finalists": 1}, {"finalists": 2.5}, {"tags": "x"}])
def test_wrong_options(specifications, options):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=next(iter(options))):
        ask(specifications, labelled(), **options)


def test_where_all_candidates_of_a_target_fail_they_are_named(specifications):
    def broken():
        raise RuntimeError("no weights here")

    with pytest.raises(
        EncoderError, match=r"failed: broken: candidates\[0\] failed: .*weights here$"
    ):
        ask([broken], probes(), target=specifications[0])
