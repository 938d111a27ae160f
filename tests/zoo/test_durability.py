"""What a zoo survives: killed processes, full disks, read-only folders, two writers, damage."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from zoo.conftest import encoder

import pyattrx
from pyattrx import Zoo
from pyattrx.errors import ZooDamagedError, ZooError, ZooLockedError, ZooWarning

MAPS = """
import torch
def maps(name):
    generator = torch.Generator().manual_seed(int(name))
    return torch.randn(12, 196, generator=generator)
"""
exec(MAPS)


def run(code, *arguments, **options):
    source = MAPS + textwrap.dedent(code)
    root = str(Path(pyattrx.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, **options)


def stored_rows(zoo, name):
    store = zoo._store
    (located,) = store.catalog.records([store.catalog.id_of(name)], 1, 0).values()
    return store.rows(located)


NURSERY = """
import json, os, random, signal, sys, time
import pyattrx
path, rounds = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
random.seed(0)
returned = []
pace = 0.02  # seconds an addition takes, measured as it goes
for round in range(rounds):
    reading, writing = os.pipe()
    began = time.monotonic()
    child = os.fork()  # what was imported need not be imported again
    if child == 0:
        try:
            with pyattrx.Zoo.open(path) as zoo:
                for index in range(1000):
                    name = str(1000 * round + index)
                    zoo.add_maps(name, maps(name))
                    os.write(writing, f"{name} ".encode())
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        heard = b""
        # At any moment of opening the zoo, of the first addition, or of one after it.
        for _ in range(random.choice([0, 1, 2])):
            heard += pipe.read(1000)
            pace = 0.9 * pace + 0.1 * (time.monotonic() - began)
        time.sleep(random.uniform(0, 2 * pace))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a child failed by itself"
        while more := pipe.read(1000):
            heard += more
    returned += heard.decode().split()
    if round % 20 == 19:
        with pyattrx.Zoo.open(path) as zoo:
            assert zoo.verify().ok
print(json.dumps(returned))
"""


def test_killed_at_200_random_moments_nothing_is_lost(tmp_path, probes):
    rounds = 200
    path = tmp_path / "zoo"
    Zoo.create(path, probes, "saliency").close()
    nursery = run(NURSERY, path, rounds, stdout=subprocess.PIPE)
    out, _ = nursery.communicate()
    assert nursery.returncode == 0
    returned = json.loads(out)
    with Zoo.open(path) as zoo:
        there = set(zoo.names)
        assert set(returned) <= there
        # An `add` may have been killed after it was durable and before it could say so.
        assert len(there - set(returned)) <= rounds
        assert len(there) > 100
        for name in there:
            assert torch.equal(stored_rows(zoo, name), maps(name))  # noqa: F821
        assert zoo.verify().ok
        assert zoo.verify().entries == len(there)
        zoo.add(encoder(0))
        assert zoo.verify().ok


def test_a_killed_writer_leaves_no_lock(tmp_path, zoo):
    child = run(
        """
        import sys, time, pyattrx
        zoo = pyattrx.Zoo.open(sys.argv[1])
        with zoo._store.writing(0):
            print("held", flush=True)
            time.sleep(60)
        """,
        zoo.path,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(ZooLockedError, match=f"process {child.pid} on .*wait="):
        zoo.remove("net0")
    with Zoo.open(zoo.path, wait=0.3) as patient:
        began = time.monotonic()
        with pytest.raises(ZooLockedError):
            patient.remove("net0")
        assert time.monotonic() - began >= 0.3
    assert zoo.query("net0")[0].name  # readers are not kept out
    child.kill()
    child.wait()
    zoo.remove("net0")


def test_a_second_writer_waits_if_asked(zoo):
    order = []

    def second():
        with Zoo.open(zoo.path, wait=True) as other:
            other.remove("net1")
            order.append("second")

    thread = threading.Thread(target=second)
    with zoo._store.writing(0):
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "net1" not in zoo


def test_readers_see_what_writers_add(tmp_path, zoo):
    with Zoo.open(zoo.path) as reader:
        before = reader.query("net0", k=50)
        zoo.add(encoder(7))
        zoo.remove("net1")
        after = {m.name for m in reader.query("net0", k=50)}
        assert after == {m.name for m in before} - {"net1"} | {"net7"}


@pytest.mark.parametrize("limit_kib", [1, 100, 130, 300])
def test_a_full_disk_loses_nothing(tmp_path, zoo, limit_kib):
    """Files may not grow beyond a limit: the nearest thing to a full disk that needs no rights."""
    names = zoo.names
    zoo.close()
    child = run(
        """
        import resource, sys, pyattrx
        zoo = pyattrx.Zoo.open(sys.argv[1])
        limit = int(sys.argv[2]) * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        added = []
        try:
            for index in range(100, 200):
                zoo.add_maps(str(index), maps(index))
                added.append(str(index))
        except pyattrx.errors.ZooError as error:
            print(error, file=sys.stderr)
            print(" ".join(added))
        """,
        zoo.path,
        limit_kib,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = child.communicate()
    assert child.returncode == 0, err
    assert any(text in err for text in ("File too large", "full", "disk I/O")), err
    with Zoo.open(tmp_path / "zoo") as again:
        assert again.names == names + out.split()
        assert again.verify().ok
        for name in out.split():
            assert torch.equal(stored_rows(again, name), maps(name))  # noqa: F821
        again.add(encoder(9))
        assert again.verify().ok


@pytest.mark.parametrize("place", ["pyattrx.storage.segments.write_all", "os.fsync"])
def test_no_space_left_is_a_clear_error(zoo, monkeypatch, place):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(ZooError, match="No space left on device; nothing was added"):
            zoo.add(encoder(7))
    assert "net7" not in zoo
    assert zoo.verify().ok
    zoo.add(encoder(7))
    assert zoo.verify().ok


@pytest.mark.parametrize("open_elsewhere", [False, True])
def test_a_read_only_folder_can_be_asked(tmp_path, zoo, open_elsewhere):
    """As another user, who may read but not write; with and without a log of recent changes."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody who may not write")
    matches = [match.name for match in zoo.query("net0")]
    if not open_elsewhere:
        zoo.close()
    for folder in (*tmp_path.parents, tmp_path):
        if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "test_", "popen")):
            folder.chmod(folder.stat().st_mode | 0o055)
    child = run(
        """
        import os, sys, pyattrx
        pyattrx.ops.backends(), pyattrx.Zoo  # imported by somebody who may read them
        os.setgid(65534)
        os.setuid(65534)
        zoo = pyattrx.Zoo.open(sys.argv[1])
        assert [match.name for match in zoo.query("net0")] == sys.argv[2].split()
        assert zoo.verify().ok
        try:
            zoo.remove("net0")
        except pyattrx.errors.ZooError as error:
            print(error)
        """,
        tmp_path / "zoo",
        " ".join(matches),
        stdout=subprocess.PIPE,
    )
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "it is open for reading only" in out


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def owner_of(zoo, place):
    """The entry, and the kind of record, that a byte of the first segment belongs to."""
    catalog = zoo._store.catalog
    for number, name in catalog.names_of(catalog.ids()).items():
        for located in catalog.all_records(number):
            record = located.record
            if record.offset <= place < record.offset + record.length:
                return name, located.kind
    return None, None


@pytest.fixture
def spoilt(tmp_path, zoo):
    """Make copies of a closed zoo, spoilt in some way."""
    zoo.close()
    copies = iter(range(1000))

    def spoil(change, *arguments):
        copy = tmp_path / f"copy{next(copies)}"
        shutil.copytree(tmp_path / "zoo", copy)
        change(copy, *arguments)
        return copy

    return spoil


def check_only(path, victims, *, in_rows):
    """The zoo says that `victims` are damaged, answers without them, and can be mended."""
    victims = set(victims)
    with Zoo.open(path) as zoo:
        assert set(zoo.verify().damaged) == victims
        others = [name for name in zoo.names if name not in victims]
        if in_rows:
            with pytest.warns(ZooWarning, match=f"'{min(victims)}' is damaged and was left out"):
                matches = zoo.query(others[0], k=9)
            assert {match.name for match in matches} == set(others[1:])
            assert set(matches.damaged) == victims
            with pytest.raises(ZooDamagedError, match=f"entry '{zoo.names[0]}'|entry 'net"):
                zoo.affinity()
        assert zoo.affinity(others).names == others
        for name in victims:
            zoo.remove(name)
            zoo.add(encoder(int(name[3:])))
        assert zoo.verify().ok


def test_a_flipped_bit_names_its_entry(spoilt, tmp_path):
    rows = tmp_path / "zoo" / "rows" / "000001.rows"
    with Zoo.open(tmp_path / "zoo") as zoo:
        places = np.linspace(0, rows.stat().st_size - 1, 25).astype(int).tolist()
        owners = [owner_of(zoo, place) for place in places]
    assert {kind for _, kind in owners} >= {0, 1}
    for place, (name, kind) in zip(places, owners, strict=True):
        if name is not None:
            copy = spoilt(lambda path, at=place: flip(path / "rows" / "000001.rows", at))
            check_only(copy, [name], in_rows=kind == 0)


def test_a_truncated_segment_costs_what_it_held(spoilt, tmp_path):
    size = (tmp_path / "zoo" / "rows" / "000001.rows").stat().st_size
    copy = spoilt(lambda path: os.truncate(path / "rows" / "000001.rows", size // 2))
    with Zoo.open(copy) as zoo:
        found = zoo.verify()
        assert set(found.damaged) == {"net3", "net4", "net5"}
        assert "ends before byte" in found.damaged["net5"]
        with pytest.warns(ZooWarning):
            assert {m.name for m in zoo.query("net0", k=9)} == {"net1", "net2"}
        zoo.add(encoder(9))
        assert set(zoo.verify().damaged) == {"net3", "net4", "net5"}
    copy = spoilt(lambda path: (path / "rows" / "000001.rows").unlink())
    with Zoo.open(copy) as zoo:
        assert len(zoo.verify().damaged) == 6
        zoo.add(encoder(9))
        assert len(zoo.verify().damaged) == 6
        assert (copy / "rows" / "000002.rows").exists()


def swap_records(path):
    with Zoo.open(path) as zoo:
        catalog = zoo._store.catalog
        one, two = (
            next(at.record for at in catalog.all_records(number) if at.kind == 0)
            for number in catalog.ids()[1:3]
        )
        assert one.length == two.length
    file = path / "rows" / "000001.rows"
    data = bytearray(file.read_bytes())
    first = data[one.offset : one.offset + one.length]
    data[one.offset : one.offset + one.length] = data[two.offset : two.offset + two.length]
    data[two.offset : two.offset + two.length] = first
    file.write_bytes(data)


def test_rows_in_the_wrong_place_are_noticed(spoilt):
    check_only(spoilt(swap_records), ["net1", "net2"], in_rows=True)


def test_a_segment_of_another_zoo_is_noticed(spoilt, tmp_path, probes):
    with Zoo.create(tmp_path / "other", probes, "saliency") as other:
        other.add_many([encoder(seed) for seed in range(6)])
    copy = spoilt(
        lambda path: shutil.copy(
            tmp_path / "other" / "rows" / "000001.rows", path / "rows" / "000001.rows"
        )
    )
    with Zoo.open(copy) as zoo:
        assert len(zoo.verify().damaged) == 6


def test_a_changed_catalog_is_noticed(spoilt):
    def change(path, statement):
        connection = sqlite3.connect(path / "zoo.sqlite")
        connection.execute(statement)
        connection.commit()
        connection.close()

    for statement, victim, in_rows in [
        ("UPDATE entries SET facts = '{}' WHERE name = 'net2'", "net2", False),
        ("UPDATE entries SET name = 'net7' WHERE name = 'net2'", "net7", False),
        ("UPDATE records SET offset = offset + 64 WHERE entry = 3 AND kind = 0", "net2", True),
        ("UPDATE records SET dtype = 'int8' WHERE entry = 4", "net3", True),
        ("DELETE FROM records WHERE entry = 5 AND kind = 1", "net4", False),
    ]:
        with Zoo.open(spoilt(change, statement)) as zoo:
            assert set(zoo.verify().damaged) == {victim}
            if in_rows:
                with pytest.warns(ZooWarning, match=victim):
                    assert victim not in [m.name for m in zoo.query("net0", k=9)]


def test_other_damaged_files_are_named(spoilt):
    for place in (0, 30, 70):
        copy = spoilt(lambda path, at=place: flip(path / "zoo.sqlite", at))
        with pytest.raises(ZooError, match=r"zoo.sqlite|file is not a database"):
            Zoo.open(copy).verify().problems[0]
    copy = spoilt(lambda path: flip(path / "images.probes", 20))
    with pytest.raises(ZooDamagedError, match="images.probes"):
        Zoo.open(copy)
    copy = spoilt(lambda path: flip(path / "images.probes", -1))
    with Zoo.open(copy) as zoo:
        assert "the pixels of probe 11" in zoo.verify().problems[0]
        assert zoo.query("net0")  # which needs no pixels
        with pytest.raises(pyattrx.errors.ProbeError, match="probe 11"):
            zoo.add(encoder(9))
        assert "net9" not in zoo
    copy = spoilt(lambda path: (path / "images.probes").unlink())
    with pytest.raises(ZooDamagedError, match="images.probes: No such file"):
        Zoo.open(copy)


def test_probes_of_another_zoo_are_refused(spoilt, tmp_path, probes):
    copy = spoilt(lambda path: probes.head(11).save(path / "images.probes"))
    with pytest.raises(ZooDamagedError, match="not the zoo's probes"):
        Zoo.open(copy)


def test_a_failing_create_leaves_nothing(tmp_path, probes, monkeypatch):
    monkeypatch.setattr("os.rename", lambda *_: (_ for _ in ()).throw(OSError(13, "denied")))
    with pytest.raises(ZooError, match="denied"):
        Zoo.create(tmp_path / "zoo", probes)
    assert list(tmp_path.iterdir()) == []
