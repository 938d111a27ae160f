"""A real Ray on this machine, a head and two nodes as processes: workers and nodes come and go.

One test after another on one cluster, whose start takes most of the time.
"""

import contextlib
import os
import random
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx.errors import MissingDependencyError, WorkerError
from pyattrx.workers import RayEngine

ray = pytest.importorskip("ray")

CPU = torch.device("cpu")
MANY = 200


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    # Of what it starts, nothing may look for more than is here.
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": 100 << 20,
            "include_dashboard": False,
        },
    )
    for _ in range(2):
        add_node(cluster)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1", "h:99999"])
def test_there_is_no_cluster(address):
    with pytest.raises(WorkerError, match=f"workers={re.escape(repr(address))}: cannot connect"):
        RayEngine(address, CPU, any_device=True)


def add_node(cluster):
    return cluster.add_node(num_cpus=1, object_store_memory=100 << 20)


def workers_of_ray():
    """Numbers of the processes that run tasks of ours."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if command.read_bytes().startswith(b"ray::_perform"):
                found.append(int(command.parent.name))
    return found


def test_bits_are_those_of_one_process(cluster, nets, probes, capfd):
    networks = nets("a", "b", "ends", "loud", "own", "c")
    with pytest.warns(UserWarning, match="loud: careful"):
        there = pyattrx.affinity(
            networks, probes, "depara", workers=cluster.address, on_error="skip"
        )
    good = nets("a", "b", "loud", "c")
    here = pyattrx.affinity(good, probes, "depara")
    assert there.names == good
    assert np.array_equal(there.values, here.values)
    ends, own, loud = nets("ends", "own", "loud")
    assert "was lost 3 times" in there.failures[ends]
    assert "Own: of its own kind" in there.failures[own]
    assert f"{loud}: a line\n{loud}: of a program\n" in capfd.readouterr().out


def test_nothing_is_lost_and_nothing_twice(cluster, tmp_path, probes):
    """200 networks, while workers are killed at random moments, a node leaves and one joins."""
    (tmp_path / "many.py").write_text(
        "import torch\n"
        "def network(seed):\n"
        "    def make():\n"
        "        torch.manual_seed(seed)\n"
        "        return torch.nn.Conv2d(3, 2, 3)\n"
        "    return make\n"
        f"for seed in range({MANY}): globals()[f'n{{seed}}'] = network(seed)\n"
    )
    names = [f"{tmp_path}/many.py:n{seed}" for seed in range(MANY)]
    left = cluster.list_all_nodes()[-1]
    killed, ended = [], threading.Event()
    zoo = pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency")

    def disturbed():
        for number, name in enumerate(names):
            if number == MANY // 2:
                add_node(cluster)
                cluster.remove_node(left, allow_graceful=False)
            yield name

    def kill():
        chance, before = random.Random(0), 0
        with pyattrx.Zoo.open(tmp_path / "zoo") as watched:
            while not ended.wait(chance.uniform(0.05, 0.2)):
                # No network twice: what was killed is there when this many others are.
                if len(watched) > before + 30 and (found := workers_of_ray()):
                    before = len(watched)
                    killed.append(chance.choice(found))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(killed[-1], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        report = zoo.add_many(disturbed(), workers=cluster.address)
    finally:
        ended.set()
        killing.join()
    assert len(killed) >= 2
    assert left not in cluster.list_all_nodes()
    assert report.failed == {}
    assert report.added == zoo.names == names
    assert report.skipped == []
    assert zoo.verify().ok
    alone = pyattrx.Zoo.create(tmp_path / "alone", probes, "saliency")
    alone.add_many(names)
    assert np.array_equal(zoo.affinity().values, alone.affinity().values)
    assert zoo.add_many(names[:3], workers=cluster.address).skipped == names[:3]
    for one in (zoo, alone):
        one.close()


def test_the_size_of_the_cluster_is_followed(cluster):
    engine = RayEngine(cluster.address, CPU, any_device=True)
    assert (engine.count, engine.threads) == (2, 1)
    node = add_node(cluster)
    until = time.monotonic() + 30
    while engine.count != 3:
        assert time.monotonic() < until
        time.sleep(0.1)
    cluster.remove_node(node)


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install pyattrx\[ray\]"):
        RayEngine("auto", CPU, any_device=True)
