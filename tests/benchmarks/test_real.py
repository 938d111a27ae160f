"""The benchmark on real images, without the images: how they are dealt out, probed and judged."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr, weightedtau

import pyattrx
from pyattrx.cli._bench import load_benchmarks
from pyattrx.errors import InvalidValue


def part(name):
    """A module of the benchmarks, wherever they are."""
    return importlib.import_module(f"{load_benchmarks().__package__}.real.{name}")


tasks, tables, probes, decoders, finetuning, study = (
    part(n) for n in ("tasks", "tables", "probes", "decoders", "finetuning", "study")
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
    with pytest.raises(InvalidValue, match="TASK/CLASS"):
        tasks.find_tasks(tmp_path)
    with pytest.raises(InvalidValue, match="TASK/CLASS"):
        tasks.find_tasks(tmp_path / "nowhere")
    (tmp_path / "leaves").mkdir()
    with pytest.raises(InvalidValue, match=r"tasks='flowers'.*leaves"):
        tasks.find_tasks(tmp_path, ["flowers"])


def test_what_the_command_refuses(tmp_path):
    command = part("command")
    with pytest.raises(InvalidValue, match="weights=None"):
        command.real_command(data=tmp_path)
    with pytest.raises(InvalidValue, match="another folder"):
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
    with pytest.raises(InvalidValue, match="columns task"):
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
        for draw in range(3):
            values = {n: generator.random() for n in NETWORKS}
            scores.append(tables.Row(task, 0, draw, "consensus@pooled, strangers", values))
            scores.append(tables.Row(task, 0, draw, "consensus@2x2, strangers", values))
    return truths, scores


def made(knowing):
    costs = {"size": dict.fromkeys(NETWORKS, 1.0)}
    return study.Study(*rows(knowing), NETWORKS, costs=costs)


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
    assert own.candidates("objects", seen=True).all()
    assert own.candidates("scenes").all()


def test_committed_tables_are_judged(tmp_path, capsys):
    truths, scores = rows({"knn@pooled": 0.9, "logme@pooled": 0.0})
    tables.write_rows(tmp_path / "truths.csv", truths)
    tables.write_rows(tmp_path / "scores.csv", scores)
    facts = part("facts")
    known = {"group": "strangers", "parameters": "7", "width": "3", "input_size": "32"}
    facts.write_facts(tmp_path / "networks.csv", {n: {"name": n, **known} for n in NETWORKS})
    command = part("command")
    found = command.document(tmp_path, samples=30)
    assert list(found["sets"]) == ["strangers"]
    one = found["sets"]["strangers"]
    assert one["chosen"] == {"few labels": "knn@pooled", "more labels": "knn@pooled"}
    own = study.Study(truths, scores, NETWORKS)
    judged = own.judged(study.forms(own.names), 5, own.tasks, samples=0)
    value, low, high = one["tables"]["all"]["5"]["knn@pooled"]["weighted_kendall"]
    assert value == pytest.approx(judged["knn@pooled"]["weighted_kendall"][0], abs=1e-4)
    assert low <= value <= high
    # Unknown of some network: no ranking by it.
    assert "multiply_adds" not in one["tables"]["all"]["5"]
    command.show(found)
    assert "knn@pooled" in capsys.readouterr().out
    with pytest.raises(InvalidValue, match="truths.csv"):
        command.document(tmp_path / "nowhere")
