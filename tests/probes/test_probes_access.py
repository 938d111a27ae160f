"""Reading probes: ranges, batches that are left early, scratch files, and memory."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyattrx._scratch import Scratch
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError, ScratchError
from pyattrx.photos import store
from pyattrx.probes import Probes

NOISE = torch.rand(11, 3, 5, 4, generator=torch.Generator().manual_seed(3))
KINDS = {"float": NOISE, "bytes": (NOISE * 255).to(torch.uint8)}


@pytest.fixture(params=["float", "bytes"])
def images(request):
    return KINDS[request.param]


@pytest.fixture(params=["memory", "file", "both"])
def probes(request, images, tmp_path):
    """Probes in memory, in a file, and in one that they move to half way."""
    limit = {"memory": 1 << 20, "file": 0, "both": images[:6].nbytes}[request.param]
    before = open_files()
    made = Probes.from_batches(images.split(1), scratch=Scratch(tmp_path, limit))
    assert open_files() - before == (request.param != "memory")
    assert os.listdir(tmp_path) == []  # a file without a name
    return made


@pytest.fixture
def expected(images):
    return images if images.is_floating_point() else images / 255


def open_files():
    return len(os.listdir("/proc/self/fd"))


def own_threads():
    return [t for t in threading.enumerate() if t.name.startswith("pyattrx-probes")]


def wait_for_threads():
    for thread in own_threads():
        thread.join(10)
    return own_threads() == []


def test_ranges(probes, expected):
    assert torch.equal(probes.images(), expected)
    for start, stop in ((0, 0), (0, 1), (4, 9), (10, 11), (0, 11), (11, 11)):
        found = probes.images(start, stop)
        assert torch.equal(found, expected[start:stop])
        assert found.dtype == torch.float32
        assert found.is_contiguous()


def test_pixels_as_they_are_stored(probes, images):
    order = np.array([7, 8, 2, 1, 3, 4, 5])
    found = probes.stored(order)
    assert found.dtype == probes.stored_dtype
    np.testing.assert_array_equal(found, images.numpy()[order])
    place = np.empty_like(found)
    assert probes.stored(order, place) is place
    np.testing.assert_array_equal(place, found)
    assert probes.stored(order[:0]).shape == (0, 3, 5, 4)
    assert probes.in_memory == (probes._store._file is None)


def test_single_images(probes, expected):
    assert torch.equal(probes[0], expected[0])
    assert torch.equal(probes[np.int64(-1)], expected[-1])
    assert torch.equal(torch.stack(list(probes)), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 11, 12, 1000])
def test_batches(probes, expected, batch_size):
    batches = list(probes.batches(batch_size))
    assert [len(batch) for batch in batches] == [len(b) for b in expected.split(batch_size)]
    assert torch.equal(torch.cat(batches), expected)
    assert wait_for_threads()


def test_heads_share_pixels(probes, expected):
    before = open_files()
    head = probes.head(7)
    assert open_files() == before
    assert head.shape == (7, 3, 5, 4)
    assert torch.equal(head.images(), expected[:7])
    assert torch.equal(torch.cat(list(head.batches(3))), expected[:7])
    assert head.hash == Probes.from_tensor(expected[:7]).hash
    assert head.head(2).hash == probes.head(2).hash
    assert head.names == probes.names[:7]
    assert probes.head(11).hash == probes.hash


def test_storage_does_not_change_the_hash(probes, expected):
    assert probes.hash == Probes.from_tensor(expected).hash


@given(st.integers(0, 11), st.integers(0, 11), st.integers(1, 13))
def test_any_range_and_batch(start, stop, batch_size):
    probes = Probes.from_tensor(NOISE)
    if start <= stop:
        assert torch.equal(probes.images(start, stop), NOISE[start:stop])
    assert torch.equal(torch.cat(list(probes.batches(batch_size))), NOISE)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda p: p.images(0, 12), InvalidValueError, "stop=12: expected at most 11"),
        (lambda p: p.images(-1, 2), InvalidValueError, "start=-1"),
        (lambda p: p.images(3, 2), InvalidValueError, "start=3"),
        (lambda p: p.images(0.0, 2), InvalidTypeError, r"start=0\.0"),
        (lambda p: p.batches(0), InvalidValueError, "batch_size=0"),
        (lambda p: p.batches("all"), InvalidTypeError, "batch_size='all'"),
        (lambda p: p.head(0), InvalidValueError, "n=0"),
        (lambda p: p.head(12), InvalidValueError, "n=12: expected at most 11"),
        (lambda p: p[11], IndexError, "index=11"),
        (lambda p: p[-12], InvalidValueError, "index=-12"),
        (lambda p: p[1:3], InvalidTypeError, r"images\(start, stop\) gives several"),
        (lambda p: p[True], InvalidTypeError, "index=True"),
    ],
)
def test_wrong_ranges(call, kind, message):
    with pytest.raises(kind, match=message):
        call(Probes.from_tensor(NOISE))


def test_probes_cannot_be_changed():
    probes = Probes.from_tensor(NOISE)
    for name in ("groups", "names", "hash", "size", "anything"):
        with pytest.raises(AttributeError):
            setattr(probes, name, None)
    with pytest.raises(ValueError, match="read-only"):
        probes.groups[0] = 3
    probes.describe()["source"]["kind"] = "changed"
    assert probes.describe()["source"]["kind"] == "tensor"


@pytest.mark.parametrize("move", [pickle.dumps, copy.copy, copy.deepcopy])
def test_probes_are_not_pickled(move):
    with pytest.raises(InvalidTypeError, match="read these images again"):
        move(Probes.from_tensor(NOISE))


def test_only_the_next_batch_is_read_ahead(monkeypatch):
    probes = Probes.from_tensor(NOISE)
    reads = []
    read = store.PixelStore.raw
    monkeypatch.setattr(
        store.PixelStore, "raw", lambda self, a, b, out: reads.append(a) or read(self, a, b, out)
    )
    batches = probes.batches(2)
    next(batches)
    next(batches)
    batches.close()
    assert wait_for_threads()
    # The one after the last may have been dropped before it was begun.
    assert reads in ([0, 2], [0, 2, 4])


def test_batches_may_be_left_at_any_time():
    probes = Probes.from_tensor(NOISE)
    for _ in probes.batches(2):
        break
    assert wait_for_threads()
    unused = probes.batches(2)
    del unused
    for error in (KeyError, KeyboardInterrupt):
        held = probes.batches(2)
        next(held)
        with pytest.raises(error):
            held.throw(error)
        assert wait_for_threads()


def test_a_read_that_fails_reaches_the_consumer(monkeypatch):
    def fail(self, start, stop, out):
        raise ProbeError("the scratch file of probes ended early")

    probes = Probes.from_tensor(NOISE)
    monkeypatch.setattr(store.PixelStore, "raw", fail)
    with pytest.raises(ProbeError, match="ended early"):
        next(probes.batches(2))
    assert wait_for_threads()


def test_the_file_is_closed_with_the_last_user(tmp_path):
    before = open_files()
    probes = Probes.from_tensor(NOISE, scratch=Scratch(tmp_path, 0))
    head = probes.head(3)
    batches = head.batches(1)
    next(batches)
    del probes
    assert open_files() == before + 1
    assert torch.equal(head.images(), NOISE[:3])
    del head
    assert torch.equal(torch.cat(list(batches)), NOISE[1:3])
    del batches
    assert wait_for_threads()
    assert open_files() == before


def test_a_shortened_file_is_noticed():
    probes = Probes.from_tensor(NOISE, scratch=Scratch(in_memory=0))
    os.truncate(probes._store._file._file, 100)
    with pytest.raises(ScratchError, match="ended early"):
        probes.images()


def test_a_full_drive_is_an_error(monkeypatch, tmp_path):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    before = open_files()
    with pytest.raises(ScratchError, match="No space left on device; another folder.*scratch="):
        Probes.from_tensor(NOISE, scratch=Scratch(tmp_path, 0))
    assert open_files() == before


def test_short_reads_and_writes_are_completed(monkeypatch):
    pwrite, preadv = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:7], at))
    monkeypatch.setattr(os, "preadv", lambda file, parts, at: preadv(file, [parts[0][:13]], at))
    assert torch.equal(Probes.from_tensor(NOISE, scratch=Scratch(in_memory=0)).images(), NOISE)


def test_a_forked_process_can_read():
    probes = Probes.from_tensor(NOISE, scratch=Scratch(in_memory=0))
    child = os.fork()
    if child == 0:
        same = False
        try:
            same = torch.equal(probes.images(), NOISE)
        finally:
            os._exit(0 if same else 1)
    for _ in range(20):
        assert torch.equal(probes.images(), NOISE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


_LEFT = """
import torch
from pyattrx.probes import Probes
held = Probes.from_tensor(torch.rand(50, 3, 8, 8)).batches(2)
next(held)
print("leaving", flush=True)
raise KeyboardInterrupt
"""


def test_an_interrupted_process_ends_with_batches_still_open():
    done = subprocess.run(
        [sys.executable, "-c", _LEFT], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "leaving\n"
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)


_MEMORY = """
import resource, torch
from pyattrx._scratch import Scratch
from pyattrx.probes import Probes
torch.set_num_threads(1)

def batches(count):
    for _ in range(count // 20):
        yield torch.rand(20, 3, 80, 80)

def peak_mib(count):
    probes = Probes.from_batches(batches(count), scratch=Scratch(in_memory=2 << 20))
    assert len(probes) == count
    assert sum(len(batch) for batch in probes.batches(20)) == count
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

few = peak_mib(100)
print(peak_mib(1000) - few)
"""


def test_memory_does_not_grow_with_the_number_of_probes():
    # A probe is 75 KiB here: keeping the further 900 would take 66 MiB.
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 16


def test_extremes_do_not_depend_on_order_copies_or_form(tmp_path):
    levels = np.linspace(0.1, 0.9, 300)
    images = torch.from_numpy(levels)[:, None, None, None].expand(-1, 3, 2, 3).float()
    noise = torch.rand(300, 3, 2, 3, generator=torch.Generator().manual_seed(0)) / 1000
    images = images + noise
    probes = Probes.from_tensor(images)
    darkest, brightest = probes.extremes()
    # Among 256 of the 300.
    assert darkest < 45
    assert brightest > 254
    order = np.random.default_rng(1).permutation(300)
    moved = Probes.from_tensor(images[order])
    assert [int(order[at]) for at in moved.extremes()] == [darkest, brightest]
    twice = Probes.from_tensor(torch.cat([images, images.flip(0)]))
    assert twice.extremes() == (darkest, brightest)
    probes.save(tmp_path / "p")
    assert Probes.load(tmp_path / "p").extremes() == (darkest, brightest)


def test_extremes_of_probes_that_are_alike():
    grey = torch.full((3, 3, 2, 2), 0.5)
    assert Probes.from_tensor(grey).extremes() == (0, 0)
    # Equally bright, and not equal.
    turned = torch.eye(2).expand(1, 3, 2, 2)
    one, other = Probes.from_tensor(torch.cat([turned, turned.flip(2)])).extremes()
    assert {one, other} == {0, 1}
