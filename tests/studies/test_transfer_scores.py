"""Scores, transfers and shipped weights of tiny runs: right, resumable, and readable again."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import evaluate
from pyattrx.demo import minitaskonomy
from pyattrx.demo.networks.mini_taskonomy import as_encoder, load_encoder
from studies.minitaskonomy import networks, presets, tasks
from studies.minitaskonomy import train as trainer
from studies.minitaskonomy import transfer as transfers
from studies.transfer import describe as describing
from studies.transfer import fitted as fitting
from studies.transfer import methods, scores, shipping, truth
from studies.transfer import networks as sets
from studies.transfer import probes as probe_sets

TINY = presets.Preset("tiny", 4, 4, 4, 12, 1, 2, 2, 1, seed=5)
NAMES = ("rgb2depth", "edge2d", "colorization")
THREE = sets.one_architecture(0, NAMES)
SOME = (
    "saliency", "elrp", "abs_grad_x_input_hsn", "saliency_norms", "saliency_hsn_centred",
    "saliency_hsn_channels", "saliency_hsn_grid16", "saliency_hsn_pixels512",
    "saliency_hsn_last_block", "rsa", "svcca", "ridge_p0.1", "normalized_ridge",
    "perturbation_response_weak", "ridge_code", "normalized_ridge_code_window3",
)  # fmt: skip


def quiet(_line):
    pass


def images(n=12):
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Encoders that have learnt nothing."""
    path = tmp_path_factory.mktemp("encoders")
    for number, name in enumerate(NAMES):
        encoder = networks.make_encoder("residual", tasks.TASKS[name], number)
        file = trainer.encoder_file(path, "residual", 0, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        trainer._save(encoder, file)
    return path


@pytest.fixture
def probes(monkeypatch):
    made = pyattrx.Probes.from_tensor(images(), groups=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    monkeypatch.setattr(scores, "make_probes", lambda *_: made)
    return made


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def without_each_group(affinity):
    """Scores [K, M, M] without each group of probes."""
    if affinity.without is not None:
        return affinity.without
    groups = range(affinity.n_groups)
    return np.stack([affinity.cosines[affinity.groups != g].mean(0) for g in groups])


@pytest.mark.usefixtures("one_thread")
def test_scores_are_those_of_affinity(folder, probes, tmp_path, monkeypatch):
    files = scores.compute_scores(folder, TINY, THREE, "photos", tmp_path, quiet, SOME)
    judged = [name for name in SOME if name in methods.JUDGED]
    # Three of them from 8 probes, too, and some without each block of probes.
    assert len(files) == len(SOME) + 3 + len(judged)
    assert len(judged) == 6
    encoders = [
        as_encoder(load_encoder(trainer.encoder_file(folder, "residual", 0, n), "residual"), n)
        for n in NAMES
    ]
    for name in SOME:
        found = evaluate.read_table(scores.score_file(tmp_path, "residual-seed0", "photos", name))
        assert found.sources == found.targets == NAMES
        if name in methods.LAYER:
            for encoder in encoders:
                encoder.output = methods.LAYER[name]
        if name in methods.CODE:
            for encoder in encoders:
                encoder.features = None
        expected = pyattrx.affinity(encoders, probes, methods.BASE[name])
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=2e-5)
        if name in judged:
            file = scores.blocks_file(tmp_path, "residual-seed0", "photos", name)
            less, blocks = scores.read_blocks(file, NAMES, NAMES[::-1])
            assert blocks.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
            wanted = expected.values - without_each_group(expected)
            np.testing.assert_allclose(less[:, ::-1, ::-1], wanted, rtol=2e-3, atol=5e-5)
        for encoder in encoders:
            encoder.output, encoder.features = None, "network.block3"
    few = scores.score_file(tmp_path, "residual-seed0", "photos", "saliency", 8)
    expected = pyattrx.affinity(encoders, probes.head(8), "saliency")
    np.testing.assert_allclose(evaluate.read_table(few).values, expected.values, atol=1e-5)

    first = files[3].read_bytes()
    files[3].unlink()
    monkeypatch.setattr(describing, "_maps", None)  # nothing is described anew
    again = scores.compute_scores(folder, TINY, THREE, "photos", tmp_path, quiet, SOME)
    assert again == files[3:4]
    assert files[3].read_bytes() == first


@pytest.mark.usefixtures("one_thread")
def test_networks_that_are_missing_are_waited_for(folder, probes, tmp_path):
    lines = []
    four = sets.one_architecture(0, (*NAMES, "reshade"))
    arguments = (folder, TINY, four, "rendered", tmp_path, lines.append, ("rsa",))
    assert scores.compute_scores(*arguments) == []
    assert lines[-1] == "residual-seed0: without reshade there are no scores yet"
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.usefixtures("one_thread")
def test_scores_of_fitted_targets(folder, probes, tmp_path, monkeypatch):
    """A target that has learnt what a source has is told from it by nothing."""
    work = tmp_path / "work"
    (work / "encoders").parent.mkdir()
    (work / "encoders").symlink_to(folder / "encoders")

    def load(name):
        file = trainer.encoder_file(folder, "residual", 0, name)
        return as_encoder(load_encoder(file, "residual"), name)

    monkeypatch.setattr(fitting, "make_probes", lambda *_: probes)
    monkeypatch.setattr(fitting, "TASKS", dict.fromkeys(NAMES))
    monkeypatch.setattr(fitting, "fit", lambda _folder, _preset, name: load(name))
    chosen = ("saliency", "normalized_ridge")
    scores.compute_scores(work, TINY, THREE, "photos", tmp_path, quiet, chosen)
    arguments = (work, TINY, 0, "photos", tmp_path, quiet, chosen, NAMES[:2])
    assert len(fitting.compute_fitted(*arguments)) == 2
    assert fitting.compute_fitted(*arguments) == []
    for name in chosen:
        found, whole = (
            evaluate.read_table(scores.score_file(tmp_path, run, "photos", name))
            for run in ("fitted-seed0", "residual-seed0")
        )
        assert found.sources == NAMES
        np.testing.assert_allclose(found.values, whole.values[:2], atol=2e-5)


def test_targets_are_fitted_once(monkeypatch, tmp_path):
    """A few steps on a few images, written down, and read again."""
    raw = (images(12).permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()

    class Scenes:
        def __init__(self, *_arguments):
            pass

        def images(self, _split):
            return raw

        def labels(self, task, _split):
            return task.from_image(images(12))

    def few(*arguments, **options):
        return pyattrx.fit_target(*arguments, **options, steps=1)

    monkeypatch.setattr(fitting, "Data", Scenes)
    monkeypatch.setattr(fitting, "fit_target", few)
    preset = presets.Preset("tiny", 4, 12, 4, 12, 1, 1, 12, 1, seed=5)
    for name in ("autoencoder", "denoise"):
        made = fitting.fit(tmp_path, preset, name)
        monkeypatch.setattr(fitting, "fit_target", None)
        again = fitting.fit(tmp_path, preset, name)
        monkeypatch.setattr(fitting, "fit_target", few)
        assert made.weights_hash() == again.weights_hash()
        assert made.transform == again.transform
    kinds = {fitting._kind(task) for task in tasks.TASKS.values()}
    assert kinds == {"classification", "regression", "dense_classification", "dense_regression"}


def test_every_method_has_its_group():
    groups = {name: describing.group_of(name) for name in methods.BASE}
    assert groups["saliency"] == groups["grad_x_input"] == "gradient-mean"
    assert groups["elrp_hsn"] == "elrp-half_squared_norm"
    assert groups["rsa"] == groups["svcca"] == "output"
    assert groups["saliency_hsn_last_block"] != groups["saliency_hsn"]
    assert groups["perturbation_response_weak"] != groups["perturbation_response"]
    assert len(set(groups.values())) == 14
    for candidate in methods.CANDIDATES.values():
        assert candidate.method is not None


def test_photo_probes_are_crops_in_groups():
    made = probe_sets.make_probes("photos", None, presets.FULL)
    assert made.shape == (256, 3, 64, 64)
    assert made.n_groups == 11
    assert len(set(made.groups[:20].tolist())) > 5


def test_gathered_transfers(folder, tmp_path):
    rng = np.random.default_rng(0)
    into = transfers.transfer_folder(folder, "residual", 0)
    into.mkdir(parents=True, exist_ok=True)
    losses = rng.random((2, 3, 2, 7)).astype(np.float32)
    targets = NAMES[:2]
    for target, of_target in zip(targets, losses, strict=True):
        np.savez(into / f"{target}.npz", losses=of_target, trivial=np.ones(7, np.float32),
                 sources=np.array(NAMES))  # fmt: skip
    files = truth.gather_truth(folder, 0, targets, tmp_path)
    assert [file.name for file in files] == [
        "losses.csv", "trivial.csv", "affinities.csv", "win_rates.csv",
    ]  # fmt: skip
    found = truth.read_truth(tmp_path, "residual-seed0")
    assert (found.targets, found.sources) == (targets, NAMES)
    np.testing.assert_allclose(found.losses, losses.mean(3), rtol=1e-5)
    np.testing.assert_allclose(found.table.values, -losses.mean((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.of_decoders([1]).values, -losses[:, :, 1].mean(2), rtol=1e-5)
    assert found.select(["edge2d"], ["colorization"]).losses.shape == (1, 1, 2)
    ahp = evaluate.read_table(files[2])
    expected = evaluate.transfer_affinities(losses.astype(float).mean(2))
    np.testing.assert_allclose(ahp.values, expected, rtol=1e-5)
    rates = files[3].read_text().splitlines()
    assert len(rates) == 1 + 2 * 3
    target, one, over, rate = rates[1].split(",")
    assert (target, one, over) == ("rgb2depth", "rgb2depth", "edge2d")
    wins = (losses[0, 0].mean(0) < losses[0, 1].mean(0)).mean()
    assert float(rate) == pytest.approx(wins, abs=1e-4)


def test_what_is_shipped_can_be_loaded(folder, tmp_path, monkeypatch):
    scenes = (images(4).permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()

    class Scenes:
        def __init__(self, *_arguments):
            pass

        def images(self, _split):
            return scenes

    monkeypatch.setattr(shipping, "Data", Scenes)
    monkeypatch.setattr(shipping, "TASKS", dict.fromkeys(NAMES))
    monkeypatch.setattr(shipping, "TARGETS", NAMES[:2])
    monkeypatch.setattr(minitaskonomy, "FOLDER", tmp_path)
    losses = np.random.default_rng(0).random((2, 3, 2))
    made = shipping.ship(folder, TINY, 0, truth.Truth(NAMES[:2], NAMES, losses), tmp_path)
    assert made.bytes < 3 * 750_000 + 200_000
    assert set(made.differences) == set(NAMES)
    assert 0 < max(made.differences.values()) < 1e-2
    assert minitaskonomy.tasks() == sorted(NAMES)
    np.testing.assert_allclose(minitaskonomy.transfers().values, -losses.mean(2))
    probes = minitaskonomy.probes()
    np.testing.assert_array_equal(probes.images().permute(0, 2, 3, 1).numpy(),
                                  (scenes / np.float32(255)).astype(np.float32))  # fmt: skip
    whole = load_encoder(trainer.encoder_file(folder, "residual", 0, "edge2d"), "residual")
    half = pyattrx.load("pyattrx.demo.minitaskonomy:edge2d")
    assert half.name == "edge2d"
    with torch.no_grad():
        with half.prepare("cpu", images(2)) as prepared:
            output, features = prepared.outputs(prepared.preprocess(images(2)))
        expected = whole(images(2))
    torch.testing.assert_close(output, expected, rtol=0, atol=0.02 * float(expected.abs().max()))
    assert features.shape == (2, 128, 8, 8)
