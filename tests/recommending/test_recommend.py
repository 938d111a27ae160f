"""From images to the network to start from: the right one first, whatever form things come in."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from colours import Channels, ask, encoders, task
from PIL import Image
from torch import nn

import pyattrx
from pyattrx import Recommendation, Task, recommend
from pyattrx.errors import (
    EncoderError,
    InvalidTypeError,
    InvalidValueError,
    ProbeError,
    SkippedWarning,
    UntrainedWarning,
)
from pyattrx.recommending.labelled import check_scores
from pyattrx.recommending.notes import comparable_times

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_who_sees_what_the_labels_say_is_first():
    result = ask()
    assert result.situation == "labels"
    assert set(result.names[:2]) == {"red", "red and green"}
    assert result["red"].facts["accuracy"] == 1.0
    assert result["blue"].facts["accuracy"] < 0.8
    assert {"green", "blue"}.isdisjoint(result.best.ties)
    assert [one.place for one in result] == [1, 2, 3, 4]
    assert result.best.places["linear_probe"] in (1, 2)


def test_without_labels_who_knows_most_of_the_others_is_first():
    result = ask(images=Task.from_arrays(task().probes.images()))
    assert result.situation == "consensus"
    assert result.best.name == "red and green"
    assert result.best.scores == {"consensus": result.best.value}
    assert any("generalists" in note for note in result.notes)


def test_what_the_value_is_is_said():
    assert "value: mean log probability of an image's own class; 0 at best." in str(ask())
    assert "mean log share of neighbours" in str(ask(scores="knn"))
    unlabelled = Task.from_arrays(task().probes.images())
    assert "value: R^2; 1 at best, about 0 for what knows nothing." in str(ask(images=unlabelled))
    for options in ({"consensus_weight": 0.5}, {"scores": "logme"}):
        assert "value: " not in str(ask(**options))


def test_that_nobody_is_better_than_a_guess_is_said():
    def said(labels, **options):
        notes = ask(images=Task.from_arrays(pixels, labels), **options).notes
        return [note for note in notes if "than a guess" in note]

    pixels = task().probes.images()
    red = pixels[:, 0].mean((1, 2)).numpy().astype(np.float32)
    true, other = red > np.quantile(red, 0.75), np.random.default_rng(3).random(len(red)) < 0.25
    guess = [share * np.log(share) for share in (other.mean(), 1 - other.mean())]
    for scores in ("linear_probe", "knn"):
        (note,) = said(other, scores=scores)
        assert f"the classes' shares, whose value is {sum(guess):.3f}." in note
        assert said(true, scores=scores) == []
    for scores in ("linear_probe", "label_ridge"):
        (note,) = said(np.random.default_rng(3).permutation(red), scores=scores)
        assert "the mean label, whose value is 0." in note
        assert said(red, scores=scores) == []
    assert said(other, scores="logme") == []
    assert said(other, consensus_weight=0.5) == []
    assert said(None) == []


def test_numbers_and_several_labels():
    rng = np.random.default_rng(0)
    levels = rng.random((60, 3)).astype(np.float32)
    images = levels[:, :, None, None].repeat(8, 2).repeat(8, 3)
    assert ask(images=Task.from_arrays(images, levels[:, 2].copy())).best.name == "blue"
    both = Task.from_arrays(images, levels[:, :2] > 0.5, kind="multilabel")
    assert ask(images=both).best.name == "red and green"


def test_label_maps():
    rng = np.random.default_rng(0)
    images = rng.random((40, 3, 8, 8)).astype(np.float32)
    small = images.reshape(40, 3, 2, 4, 2, 4).mean((3, 5))
    maps = (small[:, 1] > 0.5).astype(np.int64)
    result = ask(images=Task.from_arrays(images, maps, kind="dense_classification"))
    assert result.score.startswith("label_ridge")
    assert set(result.names[:2]) == {"green", "red and green"}


def test_where_features_are_read_is_said_where_only_the_structure_tells():
    class Classifier(nn.Sequential):
        def __init__(self):
            super().__init__(Channels(0), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4))

    told = pyattrx.Encoder(Classifier(), name="told", features="1")
    known = pyattrx.Encoder(Channels(1), name="known")
    known.known["headless"] = True
    guessed = [pyattrx.Encoder(Classifier(), name=f"net {which}") for which in range(4)]
    result = ask([told, known, *guessed, pyattrx.Encoder(Channels(2), name="body")])
    (note,) = [note for note in result.notes if note.startswith("Features are read at")]
    assert "the input of 3, taken for the classifier (net " in note
    assert "and 2 more)" in note
    assert "the output, as no classifier was found (body)" in note
    assert "told" not in note
    assert "known" not in note
    assert result["net 0"].read_at == "input of 3"


def test_a_kept_answer_says_where_features_are_read_as_a_new_one_does(tmp_path):
    first, second = (ask(cache=str(tmp_path)) for _ in range(2))
    assert second.provenance["images_computed"]["red"] == 0
    assert first.notes == second.notes
    assert any("no classifier was found (" in note for note in second.notes)


def test_a_candidate_that_fails_is_named_and_the_others_go_on():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no such layer")

    candidates = [*encoders(), pyattrx.Encoder(Broken(), name="broken"), "no_such_module:factory"]
    with pytest.warns(SkippedWarning, match="left out 'broken', which failed") as warned:
        result = recommend(candidates, task(), cache=False, device="cpu")
    assert {w.filename for w in warned if w.category is SkippedWarning} == {__file__}
    assert set(result.failures) == {"broken", "no_such_module:factory"}
    assert "no such layer" in result.failures["broken"]
    assert len(result) == 4
    assert "broken failed" in str(result)
    with pytest.raises(EncoderError, match="no such layer"):
        ask(candidates, on_error="raise")
    with pytest.raises(EncoderError, match="all 2 networks failed: broken"):
        ask(candidates[4:])


def test_images_that_cannot_be_read_are_no_fault_of_a_candidate():
    def unreadable():
        raise ProbeError("image 3 is gone")

    with pytest.raises(ProbeError, match="image 3 is gone"):
        ask([*encoders(), unreadable])


def test_a_dead_network_is_last_and_said():
    class Dead(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) * 0 + 1

    result = ask([*encoders(), pyattrx.Encoder(Dead(), name="dead")])
    if "dead" in result.failures:
        assert result.failures["dead"]
    else:
        assert result.names[-1] == "dead"
        assert any("no difference" in remark for remark in result["dead"].remarks)


def test_features_that_half_precision_hides_are_said():
    class Far(Channels):
        def forward(self, x):
            return super().forward(x) + 300

    result = ask([*encoders(), pyattrx.Encoder(Far(0), name="far")])
    said = {one.name: any("in half precision" in r for r in one.remarks) for one in result}
    assert [name for name, is_said in said.items() if is_said] == ["far"]


def test_maps_of_a_network_whose_output_is_always_the_same_do_not_count():
    class Deaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.answer = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(4))

        def forward(self, x):
            self.conv(x)
            return self.answer.expand(len(x), -1).clone()

    result = ask([*encoders(), pyattrx.Encoder(Deaf(), name="deaf")])
    assert any("all the same" in remark for remark in result["deaf"].remarks)
    assert result["deaf"].value == pytest.approx(np.log(0.5))
    assert result["deaf"].facts["accuracy"] == pytest.approx(0.5)
    assert result["deaf"].scores["label_ridge"] == pytest.approx(0, abs=0.1)


def test_modules_functions_and_names_are_candidates():
    def green():
        return Channels(1)

    result = ask([Channels(0), green, pyattrx.Encoder(Channels(2), name="blue")])
    assert set(result.names) == {"channels", "green", "blue"}
    assert result.best.name == "channels"


@pytest.mark.parametrize("form", ["folder", "table", "pair", "dataset", "loader"])
def test_whatever_the_images_come_as(form, tmp_path):
    made = task(40)
    images, labels = made.probes.images(), made.labels
    given = {
        "pair": (images, labels),
        "dataset": torch.utils.data.TensorDataset(images, torch.tensor(labels)),
    }
    given["loader"] = torch.utils.data.DataLoader(given["dataset"], batch_size=7)
    lines = ["path,label"]
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "images" / f"class {label}" / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(place)
        lines.append(f"images/class {label}/{index}.png,class {label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    given |= {"folder": tmp_path / "images", "table": tmp_path / "labels.csv"}
    assert set(ask(images=given[form]).names[:2]) == {"red", "red and green"}


def test_the_consensus_counts_where_it_is_asked_for():
    alone, beside = ask(), ask(consensus_weight=0.5)
    assert alone.best.value == alone.best.scores["linear_probe"]
    assert "consensus" not in alone.score
    assert beside.score.endswith("+ 0.50 x the consensus")
    assert beside.provenance["consensus_weight"] == 0.5


def test_the_value_is_what_is_said():
    result = ask(consensus_weight=0.4)
    label = np.array([one.scores["linear_probe"] for one in result])
    agreed = np.array([one.scores["consensus"] for one in result])
    expected = label + 0.4 * label.std() / agreed.std() * (agreed - agreed.mean())
    np.testing.assert_allclose([one.value for one in result], expected, rtol=1e-12)


def test_another_score_ranks():
    result = ask(scores=["knn", "logme"], consensus_weight=0)
    assert result.provenance["main_score"] == "knn"
    assert result.best.value == result.best.scores["knn"]
    assert set(result.score_names) == {"knn", "logme", "consensus"}
    everything = ask(scores="all")
    assert {"transrate", "h_score", "gbc", "nleep", "sfda", "parc"} <= set(everything.score_names)


def test_partly_labelled_images_rank_by_the_labels():
    made = task(60)
    labels = [int(y) if i < 30 else None for i, y in enumerate(made.labels)]
    result = ask(images=Task.from_arrays(made.probes.images(), labels))
    assert set(result.names[:2]) == {"red", "red and green"}
    assert result.task["n_labelled"] == 30


def test_ties_are_symmetric_and_follow_from_the_p_values():
    result = ask()
    for one in result:
        for other in one.ties:
            assert one.name in result[other].ties
    np.testing.assert_array_equal(result.p_values, result.p_values.T)


def test_the_same_candidate_twice_is_a_tie():
    twice = [pyattrx.Encoder(Channels(0), name=name) for name in ("a", "b", "c")]
    result = ask([*twice, *encoders()[1:3]])
    assert set(result["a"].ties) >= {"b", "c"}


def test_it_can_be_kept(tmp_path):
    result = ask()
    loaded = Recommendation.load(result.save(tmp_path / "answer.npz"))
    assert json.loads(json.dumps(result.to_dict())) == loaded.to_dict()
    assert str(loaded) == str(result)
    np.testing.assert_array_equal(loaded.p_values, result.p_values)
    with pytest.raises(InvalidValueError, match=r"path='.*answer.json'"):
        result.save(tmp_path / "answer.json")
    other = pyattrx.Affinity(["a"], np.ones((1, 1)), np.ones((1, 1)), True, np.arange(1))
    with pytest.raises(pyattrx.PyattrxError, match="expected 'pyattrx recommendation 1'"):
        Recommendation.load(other.save(tmp_path / "other.npz"))
    (tmp_path / "answer.npz").write_bytes(b"nothing")
    with pytest.raises(pyattrx.PyattrxError, match="not a saved recommendation"):
        Recommendation.load(tmp_path / "answer.npz")


def test_it_can_be_looked_at(tmp_path):
    pytest.importorskip("matplotlib")
    result = ask()
    figure = result.picture(tmp_path / "answer.png")
    assert (tmp_path / "answer.png").stat().st_size > 1000
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(result.names)
    html = result._repr_html_()
    assert all(name in html for name in result.names)
    assert len(result.as_csv().splitlines()) == 5


def test_names_are_escaped_in_html():
    result = ask([pyattrx.Encoder(Channels(0), name="<b>x"), *encoders()])
    assert "<b>x" not in result._repr_html_()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_table_fits_and_cuts_no_number(width):
    from pyattrx.recommending.table import as_text

    long = "a network with a name that nobody would want to read from its beginning to its end"
    result = ask([pyattrx.Encoder(Channels(0), name=long), *encoders()])
    lines = as_text(result, width).splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("--")) - 1
    table = lines[head : head + 2 + len(result)]
    assert all(len(line) <= width for line in lines)
    for one, line in zip(result, table[2:], strict=True):
        assert f"{one.value:.3f}" in line
    assert any(line.lstrip("1234567890= ").startswith("a network") for line in table)


def test_a_second_run_computes_nothing(tmp_path):
    first = ask(cache=tmp_path)
    second = ask(cache=tmp_path)
    assert set(first.provenance["images_computed"].values()) == {60}
    assert set(second.provenance["images_computed"].values()) == {0}
    assert [one.value for one in first] == [one.value for one in second]


def test_what_looks_untrained_is_said():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1))
    fresh = pyattrx.Encoder(nn.Sequential(body, nn.Flatten(), nn.Linear(8, 9)), name="fresh")
    with pytest.warns(UntrainedWarning, match="fresh"):
        result = ask([*encoders(), fresh])
    assert result["fresh"].remarks[0].startswith("looks untrained")
    assert "fresh: looks untrained: " in str(result)
    with pytest.warns(UntrainedWarning):
        again = ask([*encoders(), fresh, pyattrx.Encoder(fresh.module, name="stale")])
    first, second = (name for name in again.names if name in ("fresh", "stale"))
    assert str(again).count("looks untrained") == 1
    assert f"{first}, {second}: looks untrained" in str(again)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"candidates": []}, InvalidValueError, "candidates=.*at least one"),
        ({"candidates": 3}, InvalidTypeError, "candidates=3"),
        ({"candidates": [3]}, InvalidTypeError, r"candidates\[0\]=3"),
        ({"candidates": encoders() + encoders()}, InvalidValueError, "different names"),
        ({"scores": "logmee"}, InvalidValueError, "scores='logmee'"),
        ({"scores": ["knn", "knn"]}, InvalidValueError, "none twice"),
        ({"scores": "leep"}, InvalidValueError, "scores='leep'"),
        ({"scores": 3}, InvalidTypeError, "scores=3"),
        ({"consensus_weight": -1}, InvalidValueError, "consensus_weight=-1"),
        ({"level": 1}, InvalidValueError, "level=1"),
        ({"on_error": "ignore"}, InvalidValueError, "on_error='ignore'"),
        ({"cache": 3}, InvalidTypeError, "cache=3"),
        ({"batch_size": 0}, InvalidValueError, "batch_size=0"),
        ({"device": "tpu"}, InvalidValueError, "device='tpu'"),
        ({"images": task(3, 2)}, InvalidValueError, "at least 4"),
    ],
)
def test_wrong_arguments(options, error, message):
    class Never(nn.Module):
        def forward(self, x):
            raise AssertionError("a network ran before arguments were checked")

    never = [pyattrx.Encoder(Never(), name="never"), pyattrx.Encoder(Never(), name="neither")]
    with pytest.raises(error, match=message):
        ask(**{"candidates": never, **options})


def test_one_candidate_without_labels_is_refused():
    with pytest.raises(InvalidValueError, match="candidates=1: expected at least 2"):
        ask(encoders()[:1], Task.from_arrays(task().probes.images()))


def test_two_candidates_and_one():
    assert ask(encoders()[:1]).names == ("red",)
    result = ask(encoders()[:2])
    assert result.provenance["consensus_weight"] == 0
    assert result.names == ("red", "green")


def test_copies_of_images_do_not_make_it_surer():
    made = task(20)
    images, labels = made.probes.images(), made.labels
    once = ask(images=Task.from_arrays(images, labels), scores="nearest_mean", consensus_weight=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copies = Task.from_arrays(images.repeat(5, 1, 1, 1), np.tile(labels, 5))
    often = ask(images=copies, scores="nearest_mean", consensus_weight=0)
    assert often["blue"].stderr > 0.6 * once["blue"].stderr


def broken():
    raise RuntimeError("no weights here")


def test_a_function_that_fails_is_a_candidate_that_fails():
    found = ask([*encoders()[:2], broken, lambda: 3])
    assert found.failures["broken"] == "candidates[2] failed: RuntimeError: no weights here"
    assert (
        "candidates[3] returned 3 (a int): expected an Encoder" in found.failures["candidates[3]"]
    )
    with pytest.raises(EncoderError, match=r"candidates\[0\] failed: RuntimeError"):
        ask([broken, *encoders()], on_error="raise")


def test_where_all_fail_everyone_is_named():
    with pytest.raises(EncoderError, match=r"broken: .*no weights here; candidates\[1\]: .*a int"):
        ask([broken, lambda: 3])


def test_it_says_why_a_score_has_no_value():
    pixels = np.random.default_rng(0).random((5, 3, 8, 8), np.float32)
    with pytest.raises(InvalidValueError, match="linear_probe can be computed from: .*two groups"):
        ask(images=Task.from_arrays(pixels, np.arange(5)))


def test_rules_of_thumb_that_name_one_network_name_it_once():
    for seed in range(20):
        pixels = np.random.default_rng(seed).random((12, 3, 8, 8), np.float32)
        found = ask(images=Task.from_arrays(pixels, np.arange(12) % 2))
        for note in found.notes:
            assert not note.startswith("A rule of thumb") or note.count("red and green") <= 1


def test_times_of_two_devices_are_not_compared():
    found = ask()
    assert comparable_times(found.standings)
    first, *others = found
    elsewhere = replace(first, costs=replace(first.costs, measured_on="another device"))
    assert not comparable_times([elsewhere, *others])
    assert not comparable_times([replace(first, costs=None), *others])


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_any_score_ranks_beside_a_dead_network(kind):
    dead = pyattrx.Encoder(nn.Sequential(Channels(0), Zero()), name="dead")
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pixels = rng.random((40, 3, 8, 8), np.float32) * 0.5
    pixels[:, 0] += 0.4 * labels[:, None, None]
    wanted = labels if kind == "classification" else labels + rng.random(40)
    made = Task.from_arrays(pixels, wanted, kind=kind)
    for name in check_scores("all", kind):
        found = ask([dead, *encoders()[:2]], made, scores=name)
        # What TransRate measures is not how well classes are told apart.
        assert found.names[0] == "red" or name == "transrate"
        assert found.names[-1] == "dead" or "dead" in found.failures, name


class Zero(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


def test_rules_of_thumb_name_somebody_only_where_sizes_differ():
    alike = [pyattrx.Encoder(Channels(channel), name=str(channel)) for channel in range(3)]
    assert not any("candidate with the" in note for note in ask(alike).notes)
    # Without the one that sees the labels alone, the widest is the first.
    wide = [*alike[1:], pyattrx.Encoder(Channels(0, 1, 2), name="all")]
    said = [note for note in ask(wide).notes if "most features" in note]
    assert len(said) == 1
