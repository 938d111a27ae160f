"""The study of real images, without the images: how they are dealt out, probed and judged."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr, weightedtau

import pyattrx
from pyattrx.errors import InvalidValueError
from studies import pages
from studies.real import (
    agreements,
    command,
    consensus_study,
    decoders,
    evidence,
    facts,
    finetuning,
    fitted,
    mixed,
    probes,
    reading,
    seconds,
    study,
    tables,
    tasks,
)

# Images


def photo(seed, shape=(60, 80)):
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC)


def test_a_series_of_photos_is_one_group(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(5)]
    photo(0).save(files[0])
    photo(1).save(files[1])
    photo(0).point(lambda v: 0.8 * v + 10).save(files[2])  # another exposure
    photo(0).crop((1, 1, 79, 59)).save(files[3])  # from a little nearer
    photo(2).save(files[4])
    assert tasks.near_copies(files).tolist() == [0, 1, 0, 0, 4]


def test_images_are_dealt_out_in_whole_groups_and_every_class_evenly():
    labels = np.repeat(np.arange(4), 90)
    groups = np.arange(360)
    groups[5:11] = 5  # a series
    found = tasks.split(labels, groups)
    parts = [*found.draws, found.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(360))
    assert sum(5 in groups[one] for one in parts) == 1
    for one in found.draws:
        assert np.bincount(labels[one]).min() >= max(tasks.COUNTS)
    assert np.bincount(labels[found.test]).tolist() == pytest.approx([27] * 4, abs=3)
    assert np.bincount(labels[found.full]).tolist() == [tasks.FULL] * 4
    assert not set(found.full.tolist()) & set(found.test.tolist())


def test_no_tasks(tmp_path):
    with pytest.raises(InvalidValueError, match="TASK/CLASS"):
        tasks.find_tasks(tmp_path)
    with pytest.raises(InvalidValueError, match="TASK/CLASS"):
        tasks.find_tasks(tmp_path / "nowhere")
    (tmp_path / "leaves").mkdir()
    with pytest.raises(InvalidValueError, match=r"tasks='flowers'.*leaves"):
        tasks.find_tasks(tmp_path, ["flowers"])


def test_what_the_command_refuses(tmp_path):
    with pytest.raises(InvalidValueError, match="weights=None"):
        command.real_command(data=tmp_path)
    with pytest.raises(InvalidValueError, match="another folder"):
        command.real_command(data=tmp_path, weights=tmp_path, tasks=["leaves"])


# Tables


def test_tables_come_back_as_they_were_written(tmp_path):
    rows = [
        tables.Row("textures", 5, 0, "knn@pooled", {"a": -1.5, "b, half size": 0.25}),
        tables.Row("textures", 5, 1, "knn@pooled", {"b, half size": 3.0}),
    ]
    tables.write_rows(tmp_path / "of" / "scores.csv", rows)
    found = tables.read_rows(tmp_path / "of" / "scores.csv")
    assert [(row.key, row.values) for row in found] == [(row.key, row.values) for row in rows]
    assert np.isnan(found[1].of(["a"])).all()
    assert tables.read_rows(tmp_path / "none.csv") == []
    (tmp_path / "other.csv").write_text("model,accuracy\n")
    with pytest.raises(InvalidValueError, match="columns task"):
        tables.read_rows(tmp_path / "other.csv")


# Truth


def test_a_probe_separates_what_is_separable_and_nothing_else():
    generator = np.random.default_rng(0)
    y = np.tile(np.arange(3), 60)
    noise = generator.standard_normal((180, 5))
    far = noise + 20 * np.eye(3, 5)[y]
    learn, test = np.arange(90), np.arange(90, 180)

    def accuracy(x):
        return probes.probe_accuracy(x[learn], y[learn], learn, x[test], y[test])

    assert accuracy(far) == 1
    assert accuracy(noise) < 0.5
    # Turned, moved and made larger it is the same classifier; so it is with more features than
    # images, of which most are zero.
    half = noise + np.eye(3, 5)[y]
    turn = np.linalg.qr(generator.standard_normal((5, 5)))[0]
    assert accuracy(half) == pytest.approx(accuracy(100 * half @ turn + 7), abs=0.012)
    wide = np.zeros((180, 200))
    wide[:, 10:15] = half
    assert accuracy(half) == pytest.approx(accuracy(wide), abs=0.012)


def test_a_decoder_sees_where_things_are():
    generator = np.random.default_rng(0)
    y = np.tile(np.arange(2), 60)
    maps = 0.3 * generator.standard_normal((120, 3, 4, 4)).astype(np.float32)
    # Two neighbours of one channel, or two that are apart: means over locations are the same.
    for image, label in enumerate(y):
        row, column = generator.integers(0, 2, 2)
        maps[image, 0, row, column] += 4
        maps[image, 0, row + (2 if label else 0), column + (0 if label else 1)] += 4
    learn, test = np.arange(80), np.arange(80, 120)
    found = decoders.decoder_accuracy(maps[learn], y[learn], learn, maps[test], y[test])
    assert found > 0.85
    pooled = maps.mean((2, 3), keepdims=True)
    alike = decoders.decoder_accuracy(pooled[learn], y[learn], learn, pooled[test], y[test])
    assert alike < 0.75


def test_a_network_is_trained_on_and_left_as_it_was():
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = 0.1 * generator.random((90, 3, 12, 12), np.float32)
    for image, label in enumerate(labels):  # three textures of one mean
        stripes = np.zeros((12, 12), np.float32)
        if label == 0:
            stripes[::2] = 0.8
        elif label == 1:
            stripes[:, ::2] = 0.8
        else:
            stripes[:] = 0.4
        images[image] += stripes
    task = tasks.RealTask("textures", pyattrx.Task.from_arrays(images, labels))
    torch.manual_seed(0)
    body = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()]
    network = torch.nn.Sequential(*body, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    encoder = pyattrx.Encoder(network, name="net")
    found = finetuning.fine_tuned_accuracy(encoder, task, np.arange(60), np.arange(60, 90))
    assert found >= 0.9
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


# Judging


NETWORKS = [f"net{i}" for i in range(8)]


def rows(knowing):
    """Truths of two tasks, and scores that know them as well as is said."""
    generator = np.random.default_rng(1)
    truths, scores = [], []
    for task in ("scenes", "textures"):
        reached = dict(zip(NETWORKS, generator.permutation(8) / 10, strict=True))
        truths.append(tables.Row(task, study.FULL, 0, "probe@pooled", reached))
        for labels in study.LABELS:
            for draw in range(1 if labels == study.FULL else 3):
                for name, share in knowing.items():
                    values = {
                        n: share * v + (1 - share) * generator.random() for n, v in reached.items()
                    }
                    scores.append(tables.Row(task, labels, draw, name, values))
    return truths, scores


def between(networks=NETWORKS, task_names=("scenes", "textures")):
    """What networks know of each other, at random; most of themselves."""
    generator = np.random.default_rng(2)
    found = []
    for task in task_names:
        for draw in range(3):
            for place in agreements.PLACES:
                for images in agreements.IMAGES:
                    table = generator.random((len(networks),) * 2) * 0.5
                    np.fill_diagonal(table, 0.9)
                    for name, values in zip(networks, table, strict=True):
                        row = dict(zip(networks, values.tolist(), strict=True))
                        found.append(tables.Row(task, images, draw, f"{place}: {name}", row))
    return found


def made(knowing):
    costs = {"size": dict.fromkeys(NETWORKS, 1.0)}
    return study.Study(*rows(knowing), NETWORKS, costs=costs, between=between())


def test_judging_against_plain_definitions():
    own = made({"knn@pooled": 0.7, "logme@pooled": 0.0})
    every = study.forms(own.names)
    found = own.judged(every, 5, ("scenes", "textures"), samples=20)
    expected, points = [], []
    for task in ("scenes", "textures"):
        truth = own.truth(task)
        for draw in range(3):
            values = own.score(task, 5, draw, "knn@pooled")
            places = np.argsort(np.argsort(-truth))
            expected.append(weightedtau(values, truth, rank=places).statistic)
            points.append(100 * (truth.max() - truth[values.argmax()]))
    assert found["knn@pooled"]["weighted_kendall"][0] == pytest.approx(np.mean(expected))
    assert found["knn@pooled"]["regret@1"][0] == pytest.approx(np.mean(points))
    assert found["size"]["spearman"][0] == 0
    assert found["knn@pooled"]["spearman"].shape == (21,)


def test_truths_agree_with_themselves_and_draws_are_compared():
    own = made({"knn@pooled": 0.9})
    assert own.agreement_of_truths("probe@pooled", "probe@pooled") == 1
    assert own.agreement_of_truths("probe@pooled", "fine-tuned") is None
    assert own.retest("probe@pooled", 5) is None
    generator = np.random.default_rng(0)
    reached = generator.random((2, 8))
    truths = [
        tables.Row("scenes", 20, draw, "probe@pooled", dict(zip(NETWORKS, row, strict=True)))
        for draw, row in enumerate(reached)
    ]
    twice = study.Study(truths, [], NETWORKS)
    assert twice.retest("probe@pooled", 20) == pytest.approx(spearmanr(*reached).statistic)


def test_the_best_score_is_chosen_and_a_simpler_one_that_is_as_good():
    own = made({"knn@pooled": 0.95, "logme@pooled": 0.0, "linear_probe@both": 0.0})
    every = study.forms(own.names)
    found = [own.judged(every, n, ("scenes", "textures"), samples=60) for n in (20, study.FULL)]
    assert study.choose(found, every).name == "knn@pooled"
    # As good, and there already.
    own = made({"knn@pooled": 0.95, "linear_probe@both": 0.95})
    found = [own.judged(study.forms(own.names), 20, ("scenes", "textures"), samples=60)]
    assert study.choose(found, study.forms(own.names)).name == "linear_probe@both"


def test_who_has_seen_the_images_is_no_candidate():
    rows = [tables.Row("objects", study.FULL, 0, "probe@pooled", {"cifar-resnet20": 1, "b": 0.5})]
    own = study.Study(rows, [], ["cifar-resnet20", "b"])
    assert own.candidates("objects").tolist() == [False, True]
    assert own.with_seen().candidates("objects").all()
    assert not own.candidates("objects").all()
    assert own.candidates("scenes").all()


def test_committed_tables_are_judged(tmp_path, capsys):
    truths, scores = rows({"knn@pooled": 0.9, "logme@pooled": 0.0})
    tables.write_rows(tmp_path / "truths.csv", truths)
    tables.write_rows(tmp_path / "scores.csv", scores)
    known = {"group": "strangers", "parameters": "7", "width": "3", "input_size": "32"}
    facts.write_facts(tmp_path / "networks.csv", {n: {"name": n, **known} for n in NETWORKS})
    facts.write_facts(
        tmp_path / "tasks.csv",
        {t: {"name": t, "classes": "a b"} for t in ("scenes", "textures")},
        facts.TASK_COLUMNS,
    )
    tables.write_rows(tmp_path / "between.csv", between())
    found = command.document(tmp_path, samples=30)
    assert found["consensus"]["chosen"].partition("@")[0] in agreements.FORMS
    assert found["seen images"] == found["target networks"] == {}
    assert list(found["sets"]) == ["strangers"]
    one = found["sets"]["strangers"]
    assert one["chosen"] == {"few labels": "knn@pooled", "more labels": "knn@pooled"}
    own = study.Study(truths, scores, NETWORKS, between=between())
    judged = own.judged(study.forms(own.names), 5, own.tasks, samples=0)
    value, low, high = one["tables"]["all"]["5"]["knn@pooled"]["weighted_kendall"]
    assert value == pytest.approx(judged["knn@pooled"]["weighted_kendall"][0], abs=1e-4)
    assert low <= value <= high
    # Unknown of some network: no ranking by it.
    assert "multiply_adds" not in one["tables"]["all"]["5"]
    command.show(found)
    assert "knn@pooled" in capsys.readouterr().out
    with pytest.raises(InvalidValueError, match="truths.csv"):
        command.document(tmp_path / "nowhere")


# What candidates know of each other


class Seen:
    def __init__(self, name, pooled, maps=None):
        self.name, self.pooled = name, pooled
        self.maps = pooled[:, :, None, None] if maps is None else maps
        self.coarse = self.maps


def blobs(tmp_path, classes=3, each=20):
    """A task of photos that are all different."""
    folder = tmp_path / "leaves"
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for index in range(each):
            photo(100 * label + index, (24, 24)).save(folder / f"class{label}" / f"{index}.png")
    (found,) = tasks.find_tasks(tmp_path)
    return found


def test_what_networks_know_of_each_other_is_kept(tmp_path):
    task = blobs(tmp_path / "data")
    generator = np.random.default_rng(0)
    base = generator.standard_normal((60, 6)).astype(np.float32)
    seen = [Seen("all", base), Seen("some", base[:, :2]), Seen("noise", base[::-1, :3].copy())]
    said = []
    found = agreements.measure_between(task, seen, tmp_path / "work", said.append)
    assert len(said) == 3
    table = agreements.Between(found).table(["all", "some"], "leaves", 0)
    assert table.shape == (2, 2)
    assert table[1, 0] > 0.6 > 0.4 > table[0, 1]  # who sees all predicts who sees some
    assert agreements.Between(found).table(["all", "gone"], "leaves", 0) is None
    again = agreements.measure_between(task, seen, tmp_path / "work", said.append)
    assert len(said) == 3
    assert [row.key for row in again] == [row.key for row in found]


def test_forms_of_a_consensus_by_hand():
    table = np.array([[0.9, 0.5, 0.1], [0.4, 0.8, 0.2], [0.6, 0.3, 0.7]])
    forms = agreements.FORMS
    assert forms["mean"](table).tolist() == pytest.approx([0.5, 0.4, 0.15])
    assert forms["median"](table).tolist() == pytest.approx([0.5, 0.4, 0.15])
    # An eigenvector: what it gives is what it was made with, but for a factor.
    values = forms["eigenvector"](table)
    off = np.where(np.eye(3, dtype=bool), 0, table)
    assert (off.T @ values / values).tolist() == pytest.approx(
        [(off.T @ values)[0] / values[0]] * 3
    )
    rows = [(table[t, s] - np.mean([table[t, o] for o in range(3) if o != t])) / np.std(
        [table[t, o] for o in range(3) if o != t]
    ) for t, s in ((1, 0), (2, 0))]  # fmt: skip
    assert forms["targets standardized"](table)[0] == pytest.approx(np.mean(rows))


def test_copies_change_what_stands_them_little():
    generator = np.random.default_rng(0)
    table = generator.random((8, 8)) * 0.4
    np.fill_diagonal(table, 0.9)
    longer = agreements.copied(table, 2, 9)
    assert longer.shape == (17, 17)
    assert longer[2, 12] == longer[12, 12] == 0.9
    moved = {
        name: np.abs(form(longer)[:8] - form(table)).max()
        for name, form in agreements.FORMS.items()
    }
    assert moved["without copies"] < 0.1 * moved["mean"]
    assert moved["without copies"] < moved["targets spread out"] < 0.6 * moved["mean"]


def test_the_consensus_is_studied(tmp_path):
    own = made({"knn@pooled": 0.5})
    both = ("scenes", "textures")
    forms = consensus_study.by_forms(own, both, 20)
    assert set(forms) == {f"{f}@{p}" for f in agreements.FORMS for p in agreements.PLACES}
    images = consensus_study.by_images(own, both, 20)
    # Eight candidates: the mean.
    np.testing.assert_array_equal(
        images["160 images"]["spearman"], forms["mean@pooled"]["spearman"]
    )
    sizes = consensus_study.by_size(own, both, 20)
    named = ("mean", "targets standardized")
    assert list(sizes) == [f"{size} candidates, {form}" for size in (4, 8) for form in named]
    # All of them: the same ranking as that of the forms.
    for form in named:
        assert sizes[f"8 candidates, {form}"]["spearman"][0] == pytest.approx(
            forms[f"{form}@pooled"]["spearman"][0]
        )
    copies = consensus_study.by_copies(own, both, 20)
    assert consensus_study.choose_form(forms, copies).partition("@")[0] in agreements.FORMS


def test_nothing_is_judged_of_what_nobody_measured():
    own = study.Study(*rows({"knn@pooled": 0.5}), NETWORKS)
    for judged in (consensus_study.by_forms, consensus_study.by_copies, consensus_study.by_size):
        assert judged(own, ("scenes", "textures"), 5) == {}


def test_a_form_is_chosen_only_where_it_is_better():
    same = {"weighted_kendall": np.zeros(50)}
    better = {"weighted_kendall": np.full(50, 0.2)}
    worse = {"weighted_kendall": np.full(50, -0.2)}
    choose = consensus_study.choose_form
    assert choose({"mean@pooled": same, "median@pooled": same}, {"mean": same, "median": same}) == (
        "mean@pooled"
    )
    assert choose({"mean@pooled": same, "median@2x2": better}, {"mean": same}) == "median@2x2"
    stands = {"mean": same, "median": better}
    assert choose({"mean@pooled": same, "median@pooled": same}, stands) == "median@pooled"
    assert choose({"mean@pooled": same, "median@pooled": worse}, stands) == "mean@pooled"


def test_who_is_called_like_the_task():
    networks = {
        "a": {"name": "mtcnn", "trained_for": "face detection"},
        "b": {"name": "net", "trained_for": "fruit and leaves"},
    }
    found = facts.resemblance({"leaves": {"name": "leaves", "classes": "oak-leaf fruit"}}, networks)
    assert found["leaves"]["b"] > 0.5 > found["leaves"]["a"] == 0


def test_a_run_goes_on_from_tables(tmp_path):
    truths, scores = rows({"knn@pooled": 0.9})
    truths.append(tables.Row("scenes", study.FULL, 0, "fine-tuned", {"net0": 0.5}))
    tables.write_rows(tmp_path / "truths.csv", truths)
    tables.write_rows(tmp_path / "scores.csv", scores)
    tables.write_rows(tmp_path / "between.csv", between())
    published = tables.Row("scenes", 20, 0, "fitted@cka, pooled", {"net0": 0.25})
    tables.write_rows(tmp_path / "published.csv", [published])
    cost = dict.fromkeys(seconds.COLUMNS, "1") | {"name": "forward"}
    facts.write_facts(tmp_path / "seconds.csv", {"forward": cost}, seconds.COLUMNS)
    work = tmp_path / "work"
    (work / "scores").mkdir(parents=True)
    (work / "scores" / "scenes-5-0.csv").write_text("what is there stays\n")
    command.take_up(tmp_path, work)
    assert (work / "scores" / "scenes-5-0.csv").read_text() == "what is there stays\n"
    kept = tables.read_rows(work / "scores" / "textures-20-1.csv")
    assert [row.key for row in kept] == [("textures", 20, 1, "knn@pooled")]
    assert tables.read_rows(work / "tuned" / "scenes.csv")[0].values == {"net0": 0.5}
    assert len(tables.read_rows(work / "between" / "scenes-0.csv")) == 8 * 9
    assert tables.read_rows(work / "published" / "scenes.csv")[0].values == {"net0": 0.25}
    assert facts.read_facts(seconds.seconds_file(work)) == {"forward": cost}


def test_classes_of_all_tasks_in_one(tmp_path):
    one, two = blobs(tmp_path / "one"), blobs(tmp_path / "two", classes=2, each=30)
    parts = []
    for task, offset in ((one, 0), (two, 3)):
        x = 5 * np.eye(5, dtype=np.float32)[task.labels + offset]
        maps = np.repeat(x[:, :, None, None], 2, 2).repeat(2, 3)
        parts.append((x, maps))
    two = tasks.RealTask("trees", two.task)

    def seen(name, scale):
        return [
            reading.Seen(
                name,
                pyattrx.features.Features(name, scale * x, scale * m, "output", None, 0, None, {}),
            )
            for x, m in parts
        ]

    sees, blind = seen("sees", 1), seen("blind", 1)
    for one_part in blind:
        one_part.features.pooled[:] = np.random.default_rng(0).random(one_part.pooled.shape)
    found = {"leaves": [sees[0], blind[0]], "trees": [blind[1], sees[1]]}
    truths, scores = mixed.measure_mixed([one, two], found, tmp_path / "work", lambda _: None)
    assert {row.key[:2] for row in truths} == {("mixed", mixed.TRUTH)}
    for row in truths:
        assert row.values["sees"] == 1 > 0.5 > row.values["blind"]
    knn = [row.values for row in scores if row.name == "knn@pooled"]
    assert len(knn) == 3
    assert all(row["sees"] > row["blind"] for row in knn)


class Colours(torch.nn.Module):
    """What a fitted target might be: maps of three colours, after a layer of other ones."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.AvgPool2d(3)
        self.squeeze = torch.nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.squeeze(self.blocks(x))


def test_sources_are_ranked_by_a_fitted_target(tmp_path, monkeypatch):
    task = blobs(tmp_path / "data")
    asked = []

    def fit(pixels, labels, **options):
        asked.append((len(pixels), options["steps"]))
        return pyattrx.Encoder(Colours(), name="target", input_size=24)

    monkeypatch.setattr(pyattrx, "fit_target", fit)
    images = torch.cat([task.task.probes.images(i, i + 1) for i in range(60)])
    maps = torch.nn.functional.adaptive_avg_pool2d(images, 4).numpy()
    noise = np.random.default_rng(0).random(maps.shape, np.float32)

    def seen(name, values):
        pooled = values.mean((2, 3))
        made = pyattrx.features.Features(name, pooled, values, "output", None, 0, None, {})
        return reading.Seen(name, made)

    # A source that sees the same, beside a constant: of unit length they are still colours.
    same = np.concatenate([maps, np.ones_like(maps[:, :1])], 1)
    sources = [seen("same", same), seen("noise", noise)]
    rows = fitted.measure_fitted(task, sources, tmp_path / "work", lambda _: None)
    assert {row.name for row in rows} == set(fitted.NAMES)
    assert len(rows) == 3 * len(fitted.NAMES) - 2
    for name in fitted.NAMES:
        same, noise = (
            np.mean([row.values[n] for row in rows if row.name == name]) for n in ("same", "noise")
        )
        assert same > noise + 0.1, name
    assert [steps for _, steps in asked] == [600] * 3 + [2400]
    assert asked[-1][0] == len(task.split().full)
    before = len(asked)
    fitted.measure_fitted(task, sources, tmp_path / "work", lambda _: None)
    assert len(asked) == before


def test_a_page_of_the_evidence(tmp_path):
    """All its tables, from results in which nets of CIFAR have seen one of the tasks."""
    networks = [*NETWORKS, *study.SEEN["objects"]]
    generator = np.random.default_rng(3)
    truths, scores, fitted = [], [], []
    for task in ("scenes", "textures", "groceries", "objects"):
        reached = dict(zip(networks, generator.permutation(10) / 10, strict=True))
        for kind in ("probe@pooled", "probe@2x2", "decoder@4x4", "fine-tuned"):
            truths.append(tables.Row(task, study.FULL, 0, kind, reached))
        for labels in study.LABELS:
            for draw in range(1 if labels == study.FULL else 3):
                for name in (
                    "linear_probe@both", "linear_probe@pooled", "logme@pooled", "knn@pooled",
                    "parc@pooled", "label_ridge@2x2",
                ):  # fmt: skip
                    values = {n: v + generator.random() for n, v in reached.items()}
                    scores.append(tables.Row(task, labels, draw, name, values))
                values = {n: generator.random() for n in networks}
                fitted.append(tables.Row(task, labels, draw, "fitted@pooled", values))
    tables.write_rows(tmp_path / "truths.csv", truths)
    tables.write_rows(tmp_path / "scores.csv", scores)
    tables.write_rows(tmp_path / "fitted.csv", fitted)
    names = ("scenes", "textures", "groceries", "objects")
    tables.write_rows(tmp_path / "between.csv", between(networks, names))
    asked = [
        tables.Row(
            "objects", 160, draw, f"2x2, 1.0: {t}", {n: generator.random() for n in networks}
        )
        for draw in range(3)
        for t in ("cifar-resnet20", "cifar-resnet56")
    ]
    tables.write_rows(tmp_path / "targets.csv", asked)
    published = [
        tables.Row(task, 20, 0, "fitted@cka, pooled", {n: generator.random() for n in networks})
        for task in names
    ]
    published += [
        tables.Row("objects", 20, 0, f"cka, pooled: {t}", {n: i for i, n in enumerate(networks)})
        for t in study.SEEN["objects"]
    ]
    tables.write_rows(tmp_path / "published.csv", published)
    cost = {"name": "knn@pooled", "5": "0.25", "20": "12.4", "60": "", "measured_on": "here"}
    facts.write_facts(tmp_path / "seconds.csv", {"knn@pooled": cost}, seconds.COLUMNS)
    known = {"group": "strangers", "parameters": "7", "width": "3", "input_size": "32"}
    known |= {"multiply_adds": "5", "trained_for": "leaves"}
    facts.write_facts(tmp_path / "networks.csv", {n: {"name": n, **known} for n in networks})
    facts.write_facts(
        tmp_path / "tasks.csv",
        {t: {"name": t, "classes": "a b"} for t in names},
        facts.TASK_COLUMNS,
    )
    page = tmp_path / "evidence.md"
    page.write_text(
        "# Page\n"
        + "".join(f"<!-- table: {name} -->\nold\n<!-- end -->\n\n" for name in evidence.TABLES)
    )
    found = command.document(tmp_path, samples=10)
    pages.write(page, evidence.TABLES, found)
    text = page.read_text()
    assert "old" not in text
    assert pages.filled(text, evidence.TABLES, found) == text
    value = found["sets"]["strangers"]["tables"]["all"]["5"]["knn@pooled"]["regret@1"][0]
    line = next(one for one in text.splitlines() if one.startswith("| kNN, pooled | "))
    assert line.split(" | ")[4] == f"{value:.1f}"
    assert "| kNN, pooled | 0.25 | 12 | – |" in text
    assert any(one.startswith("| kNN, pooled | ") and one.endswith(" | 12 |")
               for one in text.splitlines())  # fmt: skip
    # A method of which there is one draw is held against all; both networks are one row.
    cells = next(one for one in text.splitlines() if one.startswith("| `cka`, pooled |"))
    value = found["target networks"]["cka, pooled"]["spearman"][0]
    assert float(cells.split(" | ")[5]) == pytest.approx(value, abs=0.006)
    # Both target networks are one row, beside that of rendered rooms.
    value = found["target networks"]["2x2, 1.0"]["weighted_kendall"][0]
    rooms = found["targets, rendered rooms"]["2x2, penalty 1"]["weighted_kendall"]
    cells = next(one for one in text.splitlines() if "2x2, penalty 1 |" in one).split(" | ")
    assert float(cells[2]) == pytest.approx(value, abs=0.006)
    assert float(cells[5]) == pytest.approx(rooms, abs=0.006)
    # Who was trained on the images is no candidate.
    assert set(found["seen images"]["20"]) == {"with", "without"}
    with_them = found["seen images"]["20"]["with"]["knn@pooled"]
    assert with_them != found["seen images"]["20"]["without"]["knn@pooled"]
