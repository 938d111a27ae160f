"""Networks run by processes of this machine: the same bits, in the same order, whatever ends."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx._scratch import Scratch
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    ScratchError,
    SkippedWarning,
    UntrainedWarning,
    WorkerError,
)
from pyattrx.workers import LocalEngine, engine_of
from pyattrx.workers.parcels import pack, unpack

CPU = torch.device("cpu")


def facts_of(result):
    return [
        {key: value for key, value in network.items() if key != "seconds"}
        for network in result.provenance["networks"]
    ]


def left_behind():
    return list(Path(tempfile.gettempdir()).glob("pyattrx-workers-*"))


def test_bits_are_those_of_one_process(nets, probes):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    networks = [*nets("slow", "a", "b"), pyattrx.Encoder(module, name="sent"), *nets("c")]
    here = pyattrx.affinity(networks, probes, "depara")
    there = pyattrx.affinity(networks, probes, "depara", workers=2)
    assert there.names == here.names
    assert np.array_equal(there.values, here.values)
    assert np.array_equal(there.stderr, here.stderr)
    assert facts_of(there) == facts_of(here)
    assert there.provenance["workers"] == 2
    assert multiprocessing.active_children() == []


def test_rows_that_do_not_fit_go_through_files(nets, probes, monkeypatch, tmp_path):
    # Of rows, all: what is larger than the pipe's share, and than the memory of the run.
    images = torch.rand(30, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    many = pyattrx.Probes.from_tensor(images)
    method = pyattrx.Method("saliency", storage="bfloat16")
    scratch = Scratch(tmp_path, in_memory=0)
    options = {"method": method, "scratch": scratch, "precision": "bfloat16"}
    here = pyattrx.affinity(nets("a", "b"), many, **options)
    there = pyattrx.affinity(nets("a", "b"), many, workers=1, **options)
    assert np.array_equal(there.values, here.values)
    assert facts_of(there) == facts_of(here)
    assert facts_of(there)[0]["precision"]["least_cosine"] < 1
    assert sorted(os.listdir(tmp_path)) == ["nets.py"]


def test_what_ends_its_worker_is_named_and_the_rest_goes_on(nets, probes, capfd):
    networks = nets("a", "ends", "b", "own", "leaves", "nothing", "c", "loud", "ends_once")
    with pytest.warns((SkippedWarning, UntrainedWarning, UserWarning)) as warned:
        found = pyattrx.affinity(networks, probes, "saliency", workers=2, on_error="skip")
    assert found.names == nets("a", "b", "c", "loud", "ends_once")
    ends, own, leaves, nothing = nets("ends", "own", "leaves", "nothing")
    assert list(found.failures) == [ends, own, leaves, nothing]
    assert "ended 3 times (killed by SIGKILL" in found.failures[ends]
    assert "Own: of its own kind" in found.failures[own]
    assert "SystemExit: 3" in found.failures[leaves]
    good = pyattrx.affinity(nets("a", "b", "c", "loud", "ends_once"), probes, "saliency")
    assert np.array_equal(found.values, good.values)
    (loud,) = nets("loud")
    out, err = capfd.readouterr()
    assert f"{ends}: about to end" in out.splitlines()
    assert f"{loud}: a line\n{loud}: of a program\n" in out
    assert f"{loud}: an error" in err.splitlines()
    assert f"{loud}: careful" in {str(one.message) for one in warned}
    skipped = [one for one in warned if one.category is SkippedWarning]
    assert {one.filename for one in skipped} == {__file__}
    assert left_behind() == []


def test_the_first_error_is_raised_with_where_it_was(nets, probes):
    with pytest.raises(Exception, match="of its own kind") as raised:
        pyattrx.affinity(nets("a", "own", "b"), probes, "saliency", workers=1)
    assert "def own" in str(raised.value.__cause__) or "in own" in str(raised.value.__cause__)
    assert multiprocessing.active_children() == []


def test_zoos_are_the_same(nets, probes, tmp_path):
    more = pyattrx.Probes.from_tensor(
        torch.cat([probes.images(), torch.rand(4, 3, 20, 20)]), groups=[i // 2 for i in range(16)]
    )
    other = pyattrx.Encoder(nn.Conv2d(3, 2, 3), name=nets("b")[0])
    networks = [*nets("a", "d", "b", "a", "nothing", "c"), other]
    zoos = [pyattrx.Zoo.create(tmp_path / name, probes) for name in ("here", "there")]
    reports = [zoo.add_many(networks, workers=n) for zoo, n in zip(zoos, (None, 2), strict=True)]
    assert reports[0] == reports[1]
    assert reports[1].skipped == nets("a")
    assert set(reports[1].failed) == set(nets("b", "nothing"))
    assert zoos[0].names == zoos[1].names == nets("a", "d", "b", "c")
    grown = [zoo.add_probes(more, workers=n) for zoo, n in zip(zoos, (None, 2), strict=True)]
    assert grown[0] == grown[1]
    assert grown[1].added == zoos[1].names
    values = [zoo.affinity(method=zoo.methods[0]).values for zoo in zoos]
    assert np.array_equal(*values)
    assert np.array_equal(*(zoo.affinity().values for zoo in zoos))
    again = zoos[1].add_many(nets("a", "slow"), workers=1, tags="new")
    assert (again.added, again.skipped) == (nets("slow"), nets("a"))
    assert zoos[1].tags_of(nets("a")[0]) == ("new",)
    assert zoos[1].verify().ok
    for zoo in zoos:
        zoo.close()


def test_recommendations_are_the_same(nets, tmp_path):
    images = torch.rand(40, 3, 20, 20, generator=torch.Generator().manual_seed(7))
    labels = torch.arange(40) % 2
    images[labels == 1, 0] *= 0.5
    options = {"cache": tmp_path / "cache"}
    networks = nets("a", "b", "nothing", "c")
    there = pyattrx.recommend(networks, (images, labels), workers=2, **options)
    assert there.provenance["images_computed"] == dict.fromkeys(nets("a", "b", "c"), 40)
    here = pyattrx.recommend(networks, (images, labels), cache=False)
    assert there.names == here.names
    assert [one.scores for one in there.standings] == [one.scores for one in here.standings]
    assert there.failures == here.failures


@pytest.mark.parametrize("workers", [0, -1, "many", "", "http://here:80"])
def test_wrong_numbers(nets, probes, tmp_path, workers):
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        for call in (
            lambda: pyattrx.affinity(nets("a"), probes, workers=workers),
            lambda: zoo.add_many(nets("a"), workers=workers),
            lambda: zoo.add_probes(probes, workers=workers),
            lambda: pyattrx.recommend(nets("a", "b"), probes, workers=workers),
        ):
            with pytest.raises(InvalidValueError, match=f"workers={workers!r}: expected"):
                call()


@pytest.mark.parametrize("workers", [True, 2.0, []])
def test_wrong_types(nets, probes, workers):
    with pytest.raises(InvalidTypeError, match="workers="):
        pyattrx.affinity(nets("a"), probes, workers=workers)


def test_what_cannot_be_sent_is_refused_before_any_work(nets, probes, tmp_path):
    def unsent(module, x):
        return module(x)

    encoder = pyattrx.Encoder(nn.Conv2d(3, 4, 3), name="unsent", output=unsent)
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        for argument, call in (
            ("encoders", lambda some: pyattrx.affinity(some, probes, workers=1)),
            ("encoders", lambda some: zoo.add_many(some, workers=1)),
            ("candidates", lambda some: pyattrx.recommend(some, probes, workers=1)),
        ):
            # A network that would end all work, if there was any.
            with pytest.raises(InvalidTypeError) as raised:
                call([*nets("ends"), encoder])
            assert f"{argument}[1]=" in str(raised.value)
            assert "a specification, such as 'my_networks.py:network'" in str(raised.value)
    # Of a generator it is known when its turn comes.
    some = iter([*nets("a"), encoder])
    with pytest.raises(InvalidTypeError, match="encoders='unsent'.*a specification"):
        pyattrx.affinity(some, probes, "saliency", workers=1)


def test_a_method_that_cannot_be_sent(nets, probes):
    method = pyattrx.Method("saliency", scalar=lambda z: z.flatten(1).sum(1))
    with pytest.raises(InvalidTypeError, match="method=.*at the top of a module"):
        pyattrx.affinity(nets("ends"), probes, method, workers=1)


def test_results_on_a_full_disk(tmp_path, monkeypatch):
    value = {"array": np.ones(1 << 20)}
    assert np.array_equal(unpack(pack(value, str(tmp_path)))["array"], value["array"])
    assert list(tmp_path.iterdir()) == []

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(ScratchError, match="No space left"):
        pack(value, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_devices_and_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert LocalEngine(3, CPU, Scratch()).threads == 2
    assert LocalEngine(16, CPU, Scratch()).threads == 1
    every = engine_of(3, torch.device("cuda", 0), any_device=True)
    assert [every.device_of(i) for i in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    one = engine_of(2, torch.device("cuda", 1), any_device=False)
    assert [one.device_of(i) for i in range(2)] == ["cuda:1", "cuda:1"]


SCRIPT = """
import sys, pyattrx
if {guard}:
    with pyattrx.Zoo.open(sys.argv[1]) as zoo:
        print("begun", flush=True)
        zoo.add_many(sys.argv[2:], workers=2)
"""


def process(tmp_path, nets, names, guard="__name__ == '__main__'"):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard=guard))
    command = [sys.executable, script, tmp_path / "zoo", *nets(*names)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        list(map(str, command)),
        start_new_session=True,
        # A shell's job in the background ignores it, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        **pipes,
    )


def processes_of(group):
    """Processes of a group that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its) == group and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_a_zoo_and_no_processes(nets, probes, tmp_path, how):
    pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency").close()
    names = ["a", *["slow"] * 40]
    running = process(tmp_path, nets, names)
    while True:  # until one network is there
        with pyattrx.Zoo.open(tmp_path / "zoo") as zoo:
            if len(zoo):
                break
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.1)
    # A terminal tells the whole group; a kill is of one process.
    (os.killpg if how == signal.SIGINT else os.kill)(running.pid, how)
    _, err = running.communicate(timeout=60)
    assert running.returncode == -how
    assert err.count("KeyboardInterrupt") <= 1
    while processes_of(running.pid):
        time.sleep(0.1)
    assert left_behind() == []
    with pyattrx.Zoo.open(tmp_path / "zoo") as zoo:
        assert zoo.verify().ok
        assert zoo.add_many(nets("a", "b")).skipped == nets("a")


def test_a_script_without_a_guard_is_told(nets, probes, tmp_path):
    pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency").close()
    running = process(tmp_path, nets, ["a"], guard="True")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "a worker process cannot begin" in err
    assert "__name__ == '__main__'" in err


def test_no_worker_begins(nets, probes, monkeypatch):
    monkeypatch.setattr("pyattrx.workers.local.begin", os.abort)
    with pytest.raises(WorkerError, match="cannot begin"):
        pyattrx.affinity(nets("a"), probes, workers=1, on_error="skip")
