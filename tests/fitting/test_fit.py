"""Encoders fitted to made-up images whose labels can be learnt, and to labels that cannot."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx import fit_target
from pyattrx.errors import EncoderError, FitWarning, InvalidTypeError, InvalidValueError
from pyattrx.fitting import SmallEncoder
from pyattrx.fitting.labels import Labels
from pyattrx.fitting.splitting import split

SIZE = 32


def scenes(count=200, seed=0):
    """A bright square in front of stripes, and what can be asked about them."""
    rng = np.random.default_rng(seed)
    x = rng.random((count, 3, SIZE, SIZE)) * 0.3
    upright = rng.integers(0, 2, count)
    rows, columns = rng.integers(2, SIZE - 10, (2, count))
    mask = np.zeros((count, SIZE, SIZE), dtype=np.int64)
    stripes = 0.3 * (np.arange(SIZE) // 2 % 2)
    for i in range(count):
        x[i] += stripes if upright[i] else stripes[:, None]
        mask[i, rows[i] : rows[i] + 8, columns[i] : columns[i] + 8] = 1
        x[i, :, mask[i] == 1] = 0.95
    place = np.stack([rows, columns], 1) / SIZE
    return torch.from_numpy(x).float(), upright, place, mask


IMAGES, UPRIGHT, PLACE, MASK = scenes()
FAST = {"input_size": SIZE, "steps": 75, "patience": 25}
TASKS = {
    "classification": UPRIGHT,
    "regression": PLACE,
    "dense_classification": MASK[:, ::2, ::2],
    "dense_regression": MASK[:, None].astype(np.float32) * 3 - 7,
}


@pytest.mark.parametrize("task", TASKS)
def test_what_can_be_learnt_is_learnt(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", pyattrx.errors.UntrainedWarning)
        encoder = fit_target(IMAGES, TASKS[task], name="mine", **FAST)
    report = encoder.report
    assert report.task == task
    assert (report.n_train, report.n_validation, report.n_test) == (160, 20, 20)
    assert report.beats_trivial
    assert report.loss < 0.7 * report.trivial_loss
    if task.endswith("classification"):
        assert report.accuracy > 0.9
    else:
        assert report.accuracy is None
        assert report.trivial_loss == pytest.approx(1, abs=0.7)  # in variances
    assert 0 < report.best_step <= report.steps <= 75
    assert not encoder.module.training
    assert encoder.describe()["fit"] == report.to_dict()


def test_it_can_be_compared_and_asked_about(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoders = [
            fit_target(IMAGES[:40], UPRIGHT[:40], name=name, input_size=SIZE, steps=2, seed=seed)
            for seed, name in enumerate("abc")
        ]
    probes = pyattrx.Probes.from_tensor(IMAGES[:6])
    result = pyattrx.affinity(encoders[:2], probes, method="grad_x_input")
    assert result.names == ["a", "b"]
    assert 0 < abs(result.values[0, 1]) < 1
    assert result.provenance["networks"][0]["fit"]["task"] == "classification"
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        zoo.add_many(encoders[:2])
        assert {match.name for match in zoo.query(encoders[2], k=2)} == {"a", "b"}
        assert zoo.entry("a").facts["fit"]["n_train"] == 32


def test_labels_that_cannot_be_learnt_are_warned_of():
    noise = np.random.default_rng(1).normal(size=(60, 1))
    with pytest.warns(FitWarning, match="'noise': the encoder is not clearly better"):
        encoder = fit_target(IMAGES[:60], noise, name="noise", input_size=16, steps=10)
    assert not encoder.report.beats_trivial


def test_the_same_seed_gives_the_same_bits():
    def fit(seed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoder = fit_target(IMAGES[:40], UPRIGHT[:40], steps=6, input_size=16, seed=seed)
        return encoder.weights_hash(), encoder.report

    torch.manual_seed(1)
    first = fit(3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert fit(3) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert fit(4) != first


class Own(nn.Module):
    def __init__(self, output=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=4)
        self.dropout = nn.Dropout(0.1)
        self.output = output or (lambda y: y.mean((2, 3)))

    def forward(self, x):
        return self.output(self.dropout(self.conv(x).relu()))


@pytest.mark.filterwarnings("ignore::pyattrx.errors.FitWarning")
class TestArchitectures:
    @pytest.mark.parametrize("output", [None, lambda y: y])
    @pytest.mark.parametrize("task", TASKS)
    def test_any_with_one_output(self, output, task):
        network = Own(output).requires_grad_(False)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        encoder = fit_target(
            IMAGES[:30],
            TASKS[task][:30],
            architecture=network,
            steps=3,
            input_size=(24, 20),
            batch_size=8,
        )
        assert encoder.input_size == (24, 20)
        assert isinstance(encoder.module, Own)
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name])
            assert not torch.equal(encoder.module.state_dict()[name], value)

    @pytest.mark.parametrize(
        ("architecture", "error", "match"),
        [
            ("resnet18", InvalidTypeError, "architecture="),
            (Own(lambda y: (y, y)), EncoderError, "returns tuple"),
            (Own(lambda y: y.flatten(2)), EncoderError, r"expected \[N, C\]"),
            (nn.Conv2d(4, 2, 3), EncoderError, "cannot be run"),
        ],
    )
    def test_others_are_refused(self, architecture, error, match):
        with pytest.raises(error, match=match):
            fit_target(IMAGES[:20], UPRIGHT[:20], architecture=architecture)

    def test_divergence_is_said(self):
        with pytest.raises(EncoderError, match=r"diverged.*learning_rate"):
            fit_target(IMAGES[:20], PLACE[:20], architecture=Own(lambda y: y * math.inf), steps=3)


def test_the_built_in_network_has_the_size_it_says():
    assert sum(p.numel() for p in SmallEncoder().parameters()) == pytest.approx(335_000, abs=500)
    assert SmallEncoder()(torch.zeros(2, 3, 17, 40)).shape == (2, 16, 3, 5)


def test_interruption_leaves_nothing_behind():
    class Interrupts(Own):
        def forward(self, x):
            if self.training:
                raise KeyboardInterrupt
            return super().forward(x)

    network = Interrupts()
    state, flags = torch.get_rng_state(), torch.backends.cudnn.deterministic
    with pytest.raises(KeyboardInterrupt):
        fit_target(IMAGES[:20], UPRIGHT[:20], architecture=network)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.cudnn.deterministic == flags


def test_flips_mirror_maps_with_their_images(monkeypatch):
    """The network sees pairs of an image and its map; with flips, both of them mirrored."""
    seen = []

    class Watch(Own):
        def forward(self, x):
            if self.training:
                seen.append(x)
            return super().forward(x)

    losses = Labels.losses
    maps = []

    def watched(self, predicted, values):
        if predicted.requires_grad:
            maps.append(values)
        return losses(self, predicted, values)

    monkeypatch.setattr(Labels, "losses", watched)
    targets = IMAGES[:20].mean(1, keepdim=True)
    for flips in (None, True):
        seen.clear()
        maps.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoder = fit_target(
                IMAGES[:20],
                targets,
                architecture=Watch(lambda y: y),
                input_size=SIZE,
                steps=4,
                flips=flips,
            )
        shown, labels = torch.cat(seen), torch.cat(maps)
        plain = encoder.transform(IMAGES[:20])
        mirrored = [not any(torch.equal(x, image) for image in plain) for x in shown]
        assert any(mirrored) == bool(flips)
        assert not all(mirrored)
        # The map is that of its image, up to an offset and a factor that are the same for all.
        std = torch.tensor(encoder.transform.std)[:, None, None]
        mean = torch.tensor(encoder.transform.mean)[:, None, None]
        grey = (shown * std + mean).mean(1).flatten()
        assert torch.corrcoef(torch.stack([grey, labels.flatten()]))[0, 1] > 0.9999


class TestSplits:
    @pytest.mark.parametrize("holdout", [0.01, 0.2, 0.5])
    def test_every_image_is_in_one_part_and_classes_keep_their_shares(self, holdout):
        classes = np.repeat([0, 1, 2], [100, 60, 40])
        parts = split(np.arange(200), Labels(classes, 200, None, None), holdout, 0)
        together = torch.cat([parts.train, parts.validation, parts.test])
        assert sorted(together.tolist()) == list(range(200))
        held_out = max(4, round(200 * holdout))
        assert len(parts.train) == 200 - held_out
        assert abs(len(parts.validation) - len(parts.test)) <= 1
        for part in (parts.train, parts.validation, parts.test):
            counts = np.bincount(classes[part], minlength=3)
            assert np.abs(counts - len(part) * np.array([0.5, 0.3, 0.2])).max() <= 1.5

    def test_groups_stay_together(self):
        groups = np.repeat(np.arange(12), 5)
        parts = split(groups, Labels(np.arange(60.0), 60, None, None), 0.4, 1)
        sets = [set(groups[part]) for part in (parts.train, parts.validation, parts.test)]
        assert sum(map(len, sets)) == 12
        assert len(sets[1]) + len(sets[2]) == 5

    def test_probes_bring_their_groups(self):
        probes = pyattrx.Probes.from_tensor(IMAGES[:20], groups=[0] * 10 + [1] * 10)
        with pytest.raises(InvalidValueError, match="2 groups of images"):
            fit_target(probes, UPRIGHT[:20])


class TestTrivialPredictors:
    def test_of_classes_is_their_entropy(self):
        labels = Labels(np.array([0, 0, 0, 1] * 100), 400, None, None)
        losses = labels.trivial_losses(torch.arange(400), torch.arange(400))
        expected = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
        assert float(losses.mean()) == pytest.approx(expected, abs=1e-4)

    def test_of_numbers_is_their_mean(self):
        values = np.random.default_rng(0).normal(5, 3, size=(40, 2))
        labels = Labels(values, 40, None, None)
        train, held_out = torch.arange(30), torch.arange(30, 40)
        labels.standardise(train)
        mean, std = values[:30].mean(0), values[:30].std(0)
        expected = (((values[30:] - mean) / std) ** 2).mean(1)
        losses = labels.trivial_losses(train, held_out)
        np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)

    @pytest.mark.parametrize("dtype", [np.int64, np.float32])
    def test_of_maps_may_differ_from_place_to_place(self, dtype):
        half = np.zeros((60, 4, 4), dtype=dtype)
        half[:, :2] = 1
        half = half if dtype == np.int64 else half[:, None]
        labels = Labels(half, 60, None, None)
        labels.standardise(torch.arange(50))
        losses = labels.trivial_losses(torch.arange(50), torch.arange(50, 60))
        assert float(losses.max()) < 0.02


class TestLabels:
    def test_strings_and_gaps_are_classes(self):
        labels = Labels(["dog", "cat", "dog"], 3, None, None)
        assert (labels.task, labels.channels) == ("classification", 2)
        assert labels.values.tolist() == [1, 0, 1]
        assert Labels([7, -3, 7], 3, None, None).values.tolist() == [1, 0, 1]
        assert Labels(torch.tensor([True, False, True]), 3, None, None).channels == 2

    def test_integers_can_be_numbers(self):
        labels = Labels([1, 2, 3], 3, "regression", None)
        assert labels.values.tolist() == [[1.0], [2.0], [3.0]]

    def test_large_maps_are_reduced(self):
        maps = np.arange(2 * 6 * 9).reshape(2, 6, 9)
        labels = Labels(maps.astype(float)[:, None], 2, None, (3, 3))
        expected = maps.reshape(2, 3, 2, 3, 3).mean((2, 4))
        np.testing.assert_allclose(labels.values[:, 0].numpy(), expected)
        classes = Labels(maps % 5, 2, None, (3, 20))
        np.testing.assert_array_equal(classes.values.numpy(), (maps % 5)[:, ::2])
        assert classes.size == (3, 9)

    def test_a_channel_that_never_changes_is_harmless(self):
        labels = Labels(np.array([[1.0, 5.0], [3.0, 5.0]]), 2, None, None)
        labels.standardise(torch.arange(2))
        assert labels.values.tolist() == [[-1.0, 0.0], [1.0, 0.0]]

    @pytest.mark.parametrize(
        ("targets", "task", "error", "match"),
        [
            (np.zeros(4), None, InvalidValueError, "not all the same"),
            ([0, 0, 0, 0], None, InvalidValueError, "one class"),
            ([1.0, math.nan, 2, 3], None, InvalidValueError, r"targets\[1\]=nan"),
            ([1.0, 2, math.inf, 3], None, InvalidValueError, r"targets\[2\]=inf"),
            ([1.0, 2, 1e300, 3], None, InvalidValueError, "fit float32"),
            ([0, 1, 2], None, InvalidValueError, "3 labels.*4, one for every image"),
            (np.zeros((4, 2), int), None, InvalidValueError, "classification"),
            (np.zeros((4, 2, 3)), None, InvalidValueError, "dense_regression"),
            (np.zeros((4, 0)), None, InvalidValueError, "not empty"),
            ([0.5, 1, 2, 3], "classification", InvalidValueError, "integers"),
            ([0, 1, 2, 3], "dense_classification", InvalidValueError, r"\[N, h, w\]"),
            ([0, 1, 2, 3], "ranking", InvalidValueError, "task='ranking'"),
            ([None] * 4, None, InvalidTypeError, "targets="),
            ([[1], [2, 3], [4], [5]], None, InvalidTypeError, "targets="),
            ([1j, 2, 3, 4], None, InvalidTypeError, "complex"),
        ],
    )
    def test_what_is_refused(self, targets, task, error, match):
        with pytest.raises(error, match=match):
            Labels(targets, 4, task, None)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"steps": 0}, InvalidValueError, "steps=0"),
        ({"steps": 1.5}, InvalidTypeError, "steps="),
        ({"batch_size": 1}, InvalidValueError, "batch_size=1"),
        ({"patience": 0}, InvalidValueError, "patience=0"),
        ({"seed": -1}, InvalidValueError, "seed=-1"),
        ({"holdout": 1.0}, InvalidValueError, "holdout=1.0"),
        ({"holdout": 0.95}, InvalidValueError, "groups of images"),
        ({"learning_rate": 0}, InvalidValueError, "learning_rate=0"),
        ({"input_size": 8}, InvalidValueError, "input_size=8"),
        ({"input_size": (32, 32, 3)}, InvalidValueError, "input_size="),
        ({"device": "abacus"}, InvalidValueError, "device='abacus'"),
        ({"name": ""}, InvalidValueError, "name="),
        ({"targets": UPRIGHT[:19]}, InvalidValueError, "19 labels"),
        ({"images": IMAGES[:9], "targets": UPRIGHT[:9]}, InvalidValueError, "at least 10"),
        ({"images": IMAGES[:20] * 2}, InvalidValueError, "images"),
        ({"images": "photos/"}, InvalidTypeError, "images="),
    ],
)
def test_wrong_arguments_are_found_before_any_training(arguments, error, match, monkeypatch):
    monkeypatch.setattr("pyattrx.fitting.fit.Training", None)
    with pytest.raises(error, match=match):
        fit_target(**{"images": IMAGES[:20], "targets": UPRIGHT[:20], **arguments})
