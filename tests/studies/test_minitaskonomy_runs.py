"""Data, training and transfers of MiniTaskonomy, as small as they can be, stopped and taken up."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pyattrx.errors import InvalidValueError
from studies.cli import main
from studies.minitaskonomy import command, data, export, jobs, labels, presets, render, tasks
from studies.minitaskonomy import train as trainer
from studies.minitaskonomy import transfer as transfers

TINY = presets.Preset("tiny", 20, 14, 6, 4, 4, 2, 6, 4, batch=8, transfer_batch=4, seed=5)


def quiet(_line):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rooms")
    data.prepare(path, TINY, 1, quiet)
    return path


@pytest.fixture
def fresh(folder, tmp_path):
    """A folder with the scenes and nothing else."""
    (tmp_path / "scenes").symlink_to(folder / "scenes")
    return tmp_path


# Data


def test_the_data_are_the_same_however_they_are_made(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_CHUNK", 16)
    (tmp_path / "scenes" / "chunks").mkdir(parents=True)
    data.render_chunks(tmp_path / "scenes", TINY, [1])  # as if stopped after one of three
    lines = []
    again = data.prepare(tmp_path, TINY, 1, lines.append)
    assert sum("scenes" in line for line in lines) == 2
    first = json.loads((folder / "scenes" / "complete.json").read_text())
    assert json.loads((again.folder / "complete.json").read_text()) == first
    assert not (again.folder / "chunks").exists()
    assert data.prepare(tmp_path, TINY, 1, lines.append).preset == TINY
    assert len(lines) == 2


def test_splits_do_not_overlap(folder):
    found = data.Data(folder, TINY, verify=True)
    parts = [found.images(name) for name in ("train", "transfer", "test", "probes")]
    assert [len(images) for images in parts] == [20, 14, 6, 4]
    assert len({image.tobytes() for images in parts for image in images}) == 44
    with pytest.raises(InvalidValueError, match="split='validation'"):
        found.images("validation")


def test_labels_belong_to_their_images(folder):
    scene, frame = render.view(5, 35)
    found = data.Data(folder, TINY)
    np.testing.assert_array_equal(found.images("test")[1], frame.image)
    expected = labels.make_labels(scene, frame)
    for name in ("rgb2sfnorm", "class_1000", "room_layout", "segmentsemantic"):
        label = found.labels(tasks.TASKS[name], "test")[1].numpy()
        np.testing.assert_array_equal(label, expected[name])
    small = found.labels(tasks.TASKS["denoise"], "test")
    torch.testing.assert_close(small[1].mean(), torch.tensor(frame.image.mean() / 255).float())


def test_wrong_folders_are_named(folder, tmp_path):
    with pytest.raises(data.DataError, match="no complete data set"):
        data.Data(tmp_path, TINY)
    with pytest.raises(data.DataError, match="was made for"):
        data.Data(folder, presets.SMOKE)
    with pytest.raises(data.DataError, match="was made for"):
        data.prepare(folder, presets.SMOKE, 1, quiet)


def test_damage_is_found(folder, tmp_path):
    (tmp_path / "scenes").mkdir()
    for file in (folder / "scenes").iterdir():
        (tmp_path / "scenes" / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "scenes" / "rgb2depth.npy"
    values = bytearray(file.read_bytes())
    values[-100] ^= 1
    file.write_bytes(values)
    data.Data(tmp_path, TINY)
    with pytest.raises(data.DataError, match=r"rgb2depth\.npy is not what was written"):
        data.Data(tmp_path, TINY, verify=True)


# Steps


def add(a, b):
    return str(a + b)


def test_jobs_report_in_this_process():
    lines = []
    jobs.run_jobs([jobs.Job("one", add, (1, 2)), jobs.Job("two", add, (3, 4))], 1, lines.append)
    assert [line.split(" (")[0] for line in lines] == ["[1/2] one: 3", "[2/2] two: 7"]


def test_jobs_in_processes_and_a_failure(folder, tmp_path, capfd):
    (tmp_path / "scenes" / "chunks").mkdir(parents=True)
    chunks = tmp_path / "scenes" / "chunks"
    many = dataclasses.replace(TINY, train=10_000)
    long = jobs.Job("long", data.render_chunks, (tmp_path / "scenes", many, list(range(200))))
    bad = jobs.Job("bad", transfers.cache_codes, (tmp_path, TINY, "rgb2depth", "residual", 0))
    lines = []
    with pytest.raises(jobs.JobError, match="bad failed"):
        jobs.run_jobs([bad, long], 2, lines.append)
    assert "no complete data set" in capfd.readouterr().err
    assert lines == []
    assert len(list(chunks.glob("*.npz"))) < 200  # minutes of work: it was stopped
    some = jobs.Job("some", data.render_chunks, (tmp_path / "scenes", TINY, [0]))
    jobs.run_jobs([some], 2, lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("[1/1] some: 1 x 50 scenes")


# Training


def test_training_taken_up_ends_with_the_same_bits(fresh, monkeypatch):
    monkeypatch.setattr(trainer, "_CHECKPOINT", 2)
    arguments = (fresh, TINY, "denoise", "residual")
    trainer.train(*arguments, 3)
    whole = load_file(trainer.encoder_file(*arguments[::3], 3, "denoise"))
    step = trainer._Run.step

    def interrupted(run, iteration):
        if iteration == 3:
            raise KeyboardInterrupt
        step(run, iteration)

    monkeypatch.setattr(trainer._Run, "step", interrupted)
    file = trainer.encoder_file(fresh, "residual", 3, "denoise")
    curve = json.loads(file.with_suffix(".json").read_text())["curve"]
    file.unlink()
    with pytest.raises(KeyboardInterrupt):
        trainer.train(*arguments, 3)
    assert not file.exists()
    assert file.with_suffix(".checkpoint").exists()
    done = []
    monkeypatch.setattr(trainer._Run, "step", lambda run, i: (done.append(i), step(run, i)))
    trainer.train(*arguments, 3)
    assert done == [2, 3]
    again = load_file(file)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert json.loads(file.with_suffix(".json").read_text())["curve"] == curve
    assert not file.with_suffix(".checkpoint").exists()
    assert trainer.train(*arguments, 3) == "was there"


def test_training_learns_and_says_so(fresh):
    longer = presets.Preset("tiny", 20, 14, 6, 4, 40, 2, 6, 4, batch=8, seed=5)
    trainer.train(fresh, longer, "autoencoder", "residual", 0)
    file = trainer.encoder_file(fresh, "residual", 0, "autoencoder")
    report = json.loads(file.with_suffix(".json").read_text())
    assert report["loss"] < 0.8 * report["trivial"]
    assert report["curve"][-1][0] == report["iterations"] == 40
    encoder = trainer.load_encoder(file, "residual")
    assert not encoder.training
    weights = load_file(file)
    assert all(torch.equal(encoder.state_dict()[name], weights[name]) for name in weights)


def test_seeds_and_tasks_start_apart(fresh):
    codes = []
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for name, seed in (("untrained", 0), ("untrained", 1)):
        assert trainer.train(fresh, TINY, name, "residual", seed) == "initial values"
        encoder = trainer.load_encoder(
            trainer.encoder_file(fresh, "residual", seed, name), "residual"
        )
        codes.append(encoder(images))
    assert not torch.allclose(*codes)
    assert len({trainer.stream_seed(*parts) for parts in ((0, 1), (1, 0), (0, 1, 2), (2,))}) == 4


# Transfers


def csv_rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_from_scenes_to_tables(fresh):
    lines = []
    sources = ("denoise", "class_1000", "untrained")
    targets = ("denoise", "class_1000", "segmentsemantic")
    arguments = (fresh, TINY, "residual", 0, 1, lines.append, sources, targets)
    command.run_all(*arguments)
    into = transfers.transfer_folder(fresh, "residual", 0)
    with np.load(into / "losses.npz") as found:
        losses, trivial = found["losses"], found["trivial"]
        assert losses.shape == (3, 3, 2, 6)
        assert losses.dtype == np.float16
        assert trivial.shape == (3, 6)
        assert tuple(found["targets"]) == targets
        assert tuple(found["sources"]) == sources
    assert np.isfinite(losses).all()
    assert (losses.astype(float).std(1) > 0).any()
    rows = csv_rows(into / "losses.csv")
    assert len(rows) == 18
    row = rows[2 * (3 * 1 + 2) + 1]
    assert (row["target"], row["source"], row["decoder"]) == ("class_1000", "untrained", "1")
    assert float(row["loss"]) == pytest.approx(losses[1, 2, 1].astype(float).mean(), rel=2e-3)
    assert not (fresh / "codes" / "residual-seed0").exists()
    first = (into / "losses.csv").read_bytes()
    (into / "class_1000.npz").unlink()  # as if stopped before it
    lines.clear()
    command.run_transfers(*arguments)
    assert (into / "losses.csv").read_bytes() == first
    assert sum("transfer to" in line for line in lines) == 1
    lines.clear()
    command.run_all(*arguments)
    assert sum("was there" in line for line in lines) == len(lines) - 2 == 3  # two tables
    command.run_all(*arguments[:6], sources[:2], targets)
    assert len(csv_rows(into / "losses.csv")) == 12


def test_a_frozen_source_is_learnt_from(fresh):
    """The decoder of a transfer fits what a code that holds the answer shows it."""
    preset = presets.Preset("tiny", 20, 14, 6, 4, 4, 1, 14, 150, transfer_batch=8, seed=5)
    found = data.Data(fresh, preset)
    task = tasks.TASKS["rgb2depth"]
    scale = tasks.Scale.fit(task, found.labels(task, "train"))
    labels = {split: scale(found.labels(task, split)) for split in ("transfer", "test")}
    answer = torch.cat([labels["transfer"], labels["test"]])
    codes = F.pixel_unshuffle(answer, 4)
    good = transfers._learn(task, preset, codes, labels, 0).mean()
    bad = transfers._learn(task, preset, codes.roll(1, 0), labels, 0).mean()
    assert good < 0.5 * scale.trivial(task, labels["test"]).mean() < bad
    with pytest.raises(InvalidValueError, match=r"preset\.subset"):
        transfers._learn(task, preset, codes, labels, 1)


def test_what_is_kept(fresh, tmp_path):
    sources = ("class_1000", "untrained")
    command.run_all(fresh, TINY, "mixer", 2, 1, quiet, sources, ("rgb2depth",))
    written = export.export(fresh, tmp_path / "kept", "mixer", 2, sources)
    into = tmp_path / "kept" / "mixer-seed2"
    assert {path.relative_to(into).as_posix() for path in written} == {
        "encoders/class_1000.safetensors", "encoders/untrained.safetensors", "encoders.csv",
        "transfers.csv", "transfers.npz",
    }  # fmt: skip
    whole = trainer.encoder_file(fresh, "mixer", 2, "class_1000")
    kept = into / "encoders" / "class_1000.safetensors"
    assert kept.stat().st_size < 0.6 * whole.stat().st_size
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    codes = [trainer.load_encoder(file, "mixer")(images) for file in (whole, kept)]
    assert (codes[0] - codes[1]).norm() < 5e-3 * codes[0].norm()
    (row,) = csv_rows(into / "encoders.csv")
    report = json.loads(whole.with_suffix(".json").read_text())
    assert row["task"] == "class_1000"
    assert float(row["trivial"]) == pytest.approx(report["trivial"], abs=1e-6)


def studies(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code or 0


def test_command_line(fresh, monkeypatch, capsys):
    monkeypatch.setitem(presets.PRESETS, "smoke", TINY)
    common = ("--folder", fresh, "--preset", "smoke", "--jobs", 1, "--sources", "class_places")
    assert studies("minitaskonomy", "train", *common, "--quiet", "--seeds", 0, 1) == 0
    assert capsys.readouterr().err == ""
    for seed in (0, 1):
        assert trainer.encoder_file(fresh, "residual", seed, "class_places").is_file()
    assert studies("minitaskonomy", "transfer", *common, "--targets", "rgb2depth") == 0
    err = capsys.readouterr().err
    assert "transfer to rgb2depth, residual seed 0: best from class_places" in err
    capsys.readouterr()
    assert studies("minitaskonomy", "export", *common, "--out", fresh / "kept") == 0
    assert (fresh / "kept" / "residual-seed0" / "transfers.csv").is_file()
    assert studies("minitaskonomy", "train", *common[:-1], "nothing") == 2
    assert studies("minitaskonomy", "train", *common, "--seeds", "-1") == 2
    assert studies("minitaskonomy", "--help") == 0
    assert "--architecture" in capsys.readouterr().out


def test_an_interrupt_says_how_to_go_on(fresh, monkeypatch, capsys):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "prepare", interrupted)
    assert studies("minitaskonomy", "render", "--folder", fresh) != 0
    assert "goes on from here" in capsys.readouterr().err
