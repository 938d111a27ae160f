"""Published methods asked about targets, what scores cost, and scores on rendered rooms."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import pyattrx
from pyattrx.features import Features
from studies.real import entrants, facts, published, reading, seconds, study, tables, tasks
from studies.recommend import command as recommend


class Colours(torch.nn.Module):
    """Maps of three colours."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 3, 1)
        self.first = torch.nn.Conv2d(3, 3, 3, stride=2)

    def forward(self, x):
        return torch.relu(self.mix(self.first(x)))


@pytest.fixture
def task(tmp_path):
    """Three classes of small photos; there is a network of the task."""
    folder = tmp_path / "data" / "objects"
    generator = np.random.default_rng(0)
    for label in range(3):
        (folder / f"class{label}").mkdir(parents=True)
        for index in range(30):
            coarse = generator.integers(0, 255, (5, 5, 3), np.uint8)
            image = Image.fromarray(coarse).resize((24, 24), Image.Resampling.BICUBIC)
            image.save(folder / f"class{label}" / f"{index}.png")
    (found,) = tasks.find_tasks(tmp_path / "data")
    return found


@pytest.fixture
def candidates(task):
    """A network of the task, one that sees the same, and one that sees noise; what they see."""
    names = (study.SEEN["objects"][0], "same", "other")
    made, seen = [], []
    images = task.task.probes.images(0, len(task.labels))
    for index, name in enumerate(names):
        torch.manual_seed(index // 2)
        encoder = pyattrx.Encoder(Colours(), name=name, input_size=24)
        made.append(entrants.Entrant(name, "strangers", "", "", "", lambda e=encoder: e))
        with torch.no_grad():
            maps = encoder.module(torch.nn.functional.interpolate(images, (24, 24)))
        maps = torch.nn.functional.adaptive_avg_pool2d(maps, 4).numpy()
        if name == "other":
            maps = np.random.default_rng(1).random(maps.shape, np.float32)
        pooled = maps.mean((2, 3))
        seen.append(reading.Seen(name, Features(name, pooled, maps, "output", None, 0, None, {})))
    return made, seen


def test_targets_are_asked_by_every_method(task, candidates, tmp_path, monkeypatch):
    there, seen = candidates
    fitted = []

    def fit(pixels, labels, **options):
        fitted.append((len(pixels), options["task"]))
        torch.manual_seed(0)
        made = pyattrx.fitting.FittedEncoder(
            pyattrx.fitting.SmallEncoder().eval(), options["name"], input_size=24,
            transform=pyattrx.Normalize((0.5,) * 3, (0.5,) * 3),
        )  # fmt: skip
        made.report = pyattrx.FitReport("classification", 1, 1, 1, 1, 1, 1.0, 1.0, 0.1)
        return made

    monkeypatch.setattr(pyattrx, "fit_target", fit)
    monkeypatch.setattr(published, "SHOWN", 6)
    work = tmp_path / "work"
    rows = published.measure_published(task, seen, there, work, lambda _: None)
    assert fitted == [(3 * len(task.split().draws[0]) // 3, "classification")]
    ways = {f"{m}, {p}" for m in published.OF_FEATURES for p in published.PLACES}
    ways |= {f"{m}, passes" for m in published.OF_PASSES}
    names = {row.name for row in rows if row.draw == 0}
    target = study.SEEN["objects"][0]
    assert names == {f"fitted@{w}" for w in ways} | {f"{w}: {target}" for w in ways}
    # Of draws other than the first only what needs no pass, and no fitted target.
    later = {row.name for row in rows if row.draw == 2}
    assert later == {f"{w}: {target}" for w in ways if not w.endswith("passes")}
    for row in rows:
        assert set(row.values) == {one.name for one in seen}
        if row.name.endswith(target):  # who is the same is the most like it
            assert row.values["same"] >= row.values["other"], row.name
            assert row.values["same"] == pytest.approx(row.values[target], abs=1e-5), row.name
    by_name = {row.name: row.values["other"] for row in rows if row.draw == 0}
    nodes = by_name[f"grad_x_input, passes: {target}"]
    assert by_name[f"depara, passes: {target}"] != pytest.approx(nodes)
    again = published.measure_published(task, seen, there, work, lambda _: None)
    assert [row.key for row in again] == [row.key for row in rows]
    assert len(fitted) == 1


def test_a_method_says_what_affinity_says(task, candidates, tmp_path, monkeypatch):
    there, seen = candidates
    monkeypatch.setattr(published, "SHOWN", 8)
    names = [one.name for one in seen]
    torch.manual_seed(0)
    target = pyattrx.Encoder(Colours(), name="fitted", input_size=24)
    rows = published._by_passes(task, names, there, target, tmp_path, lambda _: None)
    found = {row.name: row.values for row in rows}
    probes = task.task.probes.take(published._order(task, 0)[:8])
    for method in published.OF_PASSES:
        expected = pyattrx.affinity([one.load for one in there], probes, method).values[0]
        values = found[f"{method}, passes: {names[0]}"]
        assert [values[name] for name in names] == pytest.approx(expected.tolist(), abs=1e-4)


def test_seconds_are_measured_once(task, candidates, tmp_path, monkeypatch):
    there, seen = candidates
    threads = torch.get_num_threads()
    said = []
    found = seconds.measure_seconds(task, seen, there, tmp_path, said.append)
    assert torch.get_num_threads() == threads
    assert len(said) == 1
    for name in ("linear_probe@both", "label_ridge@4x4", "consensus@pooled", "elrp", "forward"):
        row = found[name]
        assert row["candidates"] == "3"
        assert all(float(row[str(n)]) >= 0 for n in study.LABELS)
        assert row["what"].endswith("an image") == ("@" not in name)
    assert seconds.measure_seconds(task, seen, there, tmp_path, said.append) == found
    assert len(said) == 1
    assert facts.read_facts(seconds.seconds_file(tmp_path)) == found


def test_what_is_undecided_is_drawn_again():
    """Where two networks of many were measured, most samples have one of them at most."""
    names = [f"net{i}" for i in range(9)]
    reached = {"net0": 0.2, "net1": 0.6}
    truths = [tables.Row("scenes", study.FULL, 0, "fine-tuned", reached)]
    scores = [tables.Row("scenes", 5, d, "knn@pooled", dict.fromkeys(names, 0.5) | reached)
              for d in range(3)]  # fmt: skip
    own = study.Study(truths, scores, names)
    found = own.judged([study.Form("knn", "pooled")], 5, ["scenes"], "fine-tuned", samples=50)
    for values in found["knn@pooled"].values():
        assert np.isfinite(values).all()
    assert found["knn@pooled"]["spearman"].tolist() == pytest.approx([1] * 51)
    alike = [tables.Row("scenes", study.FULL, 0, "fine-tuned", dict.fromkeys(reached, 0.5))]
    own = study.Study(alike, scores, names)
    assert own.judged([study.Form("knn", "pooled")], 5, ["scenes"], "fine-tuned") == {}


@pytest.mark.skipif(not recommend.ROOT.is_dir(), reason="not in the sources")
@pytest.mark.filterwarnings("ignore")
def test_some_scores_on_rendered_rooms():
    rows = recommend.judged_scores(["knn@pooled", "popularity", "nobody"])
    assert {row["name"] for row in rows} == {"knn@pooled", "popularity", "consensus@pooled"}
    assert json.dumps(rows, allow_nan=False)
    (knn,) = (row for row in rows if row["name"] == "knn@pooled")
    assert knn["all"]["weighted_kendall"] > 0.5
    assert knn["intervals"]["all"]["weighted_kendall"][0] < knn["all"]["weighted_kendall"]
