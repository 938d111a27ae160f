"""Batches on their way to a device: the same bits, bounded, and no thread left behind."""

import threading
import traceback
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from networks import build
from pyattrx._scratch import Scratch
from pyattrx.affinities import rows as row_store
from pyattrx.errors import EncoderError, NonFiniteError, ProbeError
from pyattrx.methods import AttributionMaps, Method
from pyattrx.photos import store
from pyattrx.probes import Probes
from pyattrx.running import (
    Arriving,
    Description,
    beside,
    description,
    feed,
    feeding,
    in_turn,
    unit_floats,
)

CPU = torch.device("cpu")
NOISE = torch.rand(11, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("pyattrx-probes")]


@pytest.fixture(params=["memory", "file"])
def probes(request, tmp_path):
    scratch = Scratch(tmp_path, 0 if request.param == "file" else None)
    return Probes.from_tensor((NOISE * 255).to(torch.uint8), scratch=scratch)


@pytest.fixture
def on_file(tmp_path):
    return Probes.from_tensor(NOISE, scratch=Scratch(tmp_path, 0))


def test_every_byte_becomes_the_same_float_as_on_the_host():
    every = np.arange(256, dtype=np.uint8)
    found = unit_floats(torch.from_numpy(every))
    np.testing.assert_array_equal(found.numpy(), store.as_float32(every))
    floats = torch.rand(3)
    assert unit_floats(floats) is floats


@pytest.mark.parametrize("order", [np.arange(11), np.array([9, 3, 4, 0]), np.arange(0)])
@pytest.mark.parametrize("batch_size", [1, 3, 11, 50])
def test_batches_are_those_of_the_probes(probes, order, batch_size):
    fed = list(feed(probes, CPU, batch_size, order))
    assert threads() == []
    plain = probes.images()[order].split(batch_size) if len(order) else []
    assert [len(batch) for batch in fed] == [len(batch) for batch in plain]
    for ours, theirs in zip(fed, plain, strict=True):
        assert torch.equal(ours, theirs)


def test_only_probes_in_a_file_get_a_thread(probes):
    batches = feed(probes, CPU, 2, np.arange(11))
    next(batches)
    assert len(threads()) == (not probes.in_memory)
    batches.close()
    assert threads() == []


def test_one_batch_is_read_ahead(on_file, monkeypatch):
    reads = []
    raw = store.PixelStore.raw
    monkeypatch.setattr(
        store.PixelStore, "raw", lambda self, a, b, out: reads.append(a) or raw(self, a, b, out)
    )
    batches = feed(on_file, CPU, 2, np.arange(11))
    next(batches)
    next(batches)
    batches.close()
    assert reads in ([0, 2], [0, 2, 4])


def test_what_reading_raises_comes_where_the_batch_would(on_file, monkeypatch):
    raw = store.PixelStore.raw

    def fail_later(self, start, stop, out):
        if start >= 4:
            raise ProbeError("the scratch file of probes ended early")
        return raw(self, start, stop, out)

    monkeypatch.setattr(store.PixelStore, "raw", fail_later)
    batches = feed(on_file, CPU, 2, np.arange(11))
    assert [len(next(batches)), len(next(batches))] == [2, 2]
    with pytest.raises(ProbeError, match="ended early") as caught:
        next(batches)
    assert "fail_later" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert threads() == []


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_leaving_early_ends_the_thread(on_file, error):
    batches = feed(on_file, CPU, 2, np.arange(11))
    next(batches)
    with pytest.raises(error):
        batches.throw(error)
    assert threads() == []


class Spoiled(nn.Module):
    """Maps of NaN for images that begin with a marked pixel; an error for another mark."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if bool((x[:, 0, 0, 0] == 0.75).any()):
            raise RuntimeError("the other mark")
        spoil = torch.where(x[:, :1, :1, :1] == 0.25, float("nan"), 1.0)
        return self.conv(x * spoil)


def described(probes, encoder, monkeypatch=None, lag=0, batch_size=2, method="saliency", count=1):
    if monkeypatch is not None:
        monkeypatch.setattr(description, "lag", lambda device: lag)
    descriptors = [AttributionMaps(Method(method), probes.size)] * count
    return Description(
        encoder, probes, descriptors, batch_size=batch_size, device=CPU, precision="float32"
    )


def test_nothing_outlives_a_run_that_fails(on_file):
    # The traceback holds the generators; the thread must be gone all the same.
    def fail():
        with described(on_file, pyattrx.Encoder(build("plain"), name="net")) as description:
            for _ in description.rows():
                assert len(threads()) == 1
                raise KeyError

    with pytest.raises(KeyError) as caught:
        fail()
    assert caught.value.__traceback__ is not None
    assert threads() == []


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_rows_do_not_depend_on_the_lag(on_file, monkeypatch, lag):
    order = np.array([9, 3, 4, 0, 10])
    encoder = pyattrx.Encoder(build("plain"), name="net")
    with described(on_file, encoder) as plain:
        expected = list(plain.rows(order))
    with described(on_file, encoder, monkeypatch, lag) as late:
        found = list(late.rows(order, on_host=True))
    assert [one.zero for one in late.checks] == [one.zero for one in plain.checks]
    for (probes, (rows,)), (others, (theirs,)) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(probes, others)
        assert torch.equal(rows, theirs)


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("on_host", [False, True])
def test_a_bad_map_is_named_and_never_handed_out(monkeypatch, lag, on_host):
    images = NOISE.clone()
    images[5, 0, 0, 0] = 0.25
    probes = Probes.from_tensor(images)
    encoder = pyattrx.Encoder(Spoiled(), name="net")
    seen = []
    with (
        pytest.raises(NonFiniteError, match=r"'net', probe 5 \('image5'\): its attribution map"),
        described(probes, encoder, monkeypatch, lag) as network,
    ):
        seen.extend(n for chosen, _ in network.rows(on_host=on_host) for n in chosen.tolist())
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_the_earlier_error_comes_first(monkeypatch, lag):
    images = NOISE.clone()
    images[0], images[1] = 0, 1  # the darkest and the brightest are looked at before
    images[3, 0, 0, 0] = 0.25
    images[4, 0, 0, 0] = 0.75
    encoder = pyattrx.Encoder(Spoiled(), name="net")
    with (
        pytest.raises(NonFiniteError, match="probe 3"),
        described(Probes.from_tensor(images), encoder, monkeypatch, lag) as network,
    ):
        list(network.rows())
    images[3, 0, 0, 0] = 0.5
    with (
        pytest.raises(EncoderError, match="the other mark"),
        described(Probes.from_tensor(images), encoder, monkeypatch, lag) as network,
    ):
        list(network.rows())


def test_a_run_with_a_lag_is_the_same_run(on_file, monkeypatch):
    encoders = [pyattrx.Encoder(build("plain"), name=name) for name in ("one", "two")]
    for method in ("saliency", "ridge"):
        plain = pyattrx.affinity(encoders, on_file, method, batch_size=3, device="cpu")
        with monkeypatch.context() as patched:
            patched.setattr(description, "lag", lambda device: 1)
            late = pyattrx.affinity(encoders, on_file, method, batch_size=3, device="cpu")
        np.testing.assert_array_equal(late.values, plain.values)
    assert threads() == []


@pytest.mark.parametrize("on_host", [False, True])
def test_rows_leave_with_their_batch_if_they_wait_on_the_host(
    on_file, monkeypatch, leaving, on_host
):
    begin = row_store.RowStore.begin

    def elsewhere(self, like):
        place = begin(self, like)
        assert place.on_host
        place.on_host = on_host
        return place

    monkeypatch.setattr(row_store.RowStore, "begin", elsewhere)
    method = pyattrx.Combined([("saliency", 1.0), ("grad_x_input", 1.0)], standardize=False)
    encoders = [pyattrx.Encoder(build("plain"), name=name) for name in ("one", "two")]
    found = pyattrx.affinity(encoders, on_file, method, batch_size=3, device="cpu")
    assert leaving == [2 * on_host] * 8
    assert found.values[0, 1] == pytest.approx(1)


def test_some_rows_leave_and_some_stay(on_file, leaving):
    encoder = pyattrx.Encoder(build("plain"), name="net")
    with described(on_file, encoder, count=2, batch_size=4) as network:
        asked = []
        for _, (one, other) in network.rows(on_host=lambda rows: asked.append(rows) or [0, 1]):
            assert torch.equal(one, other)
    assert leaving == [1, 1, 1]
    assert [len(rows) for rows in asked] == [2]


def test_nothing_is_kept_of_what_was_read(on_file):
    with described(on_file, pyattrx.Encoder(build("plain"), name="net")) as network:
        for _ in range(3):
            assert len(list(network.rows(np.arange(4)))) == 2
            assert not network._feeding
        rows = network.rows()
        next(rows)
        assert len(network._feeding) == 1
    assert not network._feeding


def test_in_turn_begins_ahead_and_finishes_in_order():
    log = []

    def begin():
        for number in range(4):
            log.append(f"begin {number}")
            yield number

    assert list(in_turn(begin(), lambda n: log.append(f"finish {n}") or n, behind=1)) == [
        0,
        1,
        2,
        3,
    ]
    assert log == [
        *("begin 0", "begin 1", "finish 0", "begin 2", "finish 1", "begin 3", "finish 2"),
        "finish 3",
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_work_beside_a_device(device, monkeypatch):
    # No device is needed: it is the host that works.
    FakeCuda(monkeypatch)
    where = []
    with beside(
        lambda: where.append(threading.current_thread()) or 42, torch.device(device)
    ) as got:
        pass
    assert got() == 42
    assert (where[0] is threading.main_thread()) == (device == "cpu")

    def fail():
        raise KeyError("it")

    with beside(fail, torch.device(device)) as got:
        pass
    with pytest.raises(KeyError, match="it"):
        got()
    assert not [t for t in threading.enumerate() if t.name.startswith("pyattrx-beside")]


def test_work_beside_a_device_is_queued_behind_the_callers(monkeypatch):
    fake = FakeCuda(monkeypatch)
    device = torch.device("cuda")

    def which():
        assert threading.current_thread() is not threading.main_thread()
        return torch.cuda.current_stream(device).name, list(fake.log)

    callers = torch.cuda.Stream(device)
    callers.name = "caller's"
    with torch.cuda.stream(callers), beside(which, device) as got:
        assert torch.cuda.current_stream(device) is callers
    assert got() == ("side", ["side waits for all of caller's"])


def test_arriving_on_the_host_is_the_tensor_itself():
    tensor = torch.rand(3)
    assert Arriving([tensor]).wait()[0] is tensor
    assert Arriving([]).wait() == []


class FakeCuda:
    """Streams that say what they are asked; everything is done at once, on the host."""

    def __init__(self, monkeypatch):
        log = self.log = []

        class Stream:
            def __init__(self, device=None):
                self.name = "side" if device is not None else "main"

            def wait_event(self, event):
                log.append(f"{self.name} waits for {event.name}")

            def wait_stream(self, other):
                log.append(f"{self.name} waits for all of {other.name}")

        class Event:
            count = 0

            def record(self, stream):
                Event.count += 1
                self.name = f"copy {Event.count} on {stream.name}"

        main = Stream()
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        current = threading.local()

        @contextmanager
        def on(stream):
            before = getattr(current, "stream", main)
            current.stream = stream
            yield
            current.stream = before

        monkeypatch.setattr(torch.cuda, "stream", on)
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(
            torch.cuda, "current_stream", lambda device: getattr(current, "stream", main)
        )
        monkeypatch.setattr(
            torch.Tensor,
            "record_stream",
            lambda tensor, stream: log.append(f"{tuple(tensor.shape)} is used on {stream.name}"),
        )
        monkeypatch.setattr(
            feeding, "_pinned", lambda shape, dtype: torch.empty(shape, dtype=dtype)
        )


def test_every_copy_is_waited_for_and_kept(probes, monkeypatch):
    fake = FakeCuda(monkeypatch)
    monkeypatch.setattr(feeding, "_loader", feeding._ToCuda)
    order = np.array([9, 3, 4, 0, 10])
    assert torch.equal(torch.cat(list(feed(probes, CPU, 2, order))), probes.images()[order])
    assert fake.log == [
        line
        for number, size in ((1, 2), (2, 2), (3, 1))
        for line in (
            f"main waits for copy {number} on side",
            f"({size}, 3, 8, 8) is used on main",
        )
    ]
    assert threads() == []


@pytest.mark.gpu
class TestOnAGpu:
    DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else CPU

    def test_the_bits_are_those_of_the_host(self, probes):
        order = np.array([9, 3, 4, 0, 10])
        fed = list(feed(probes, self.DEVICE, 2, order))
        assert all(batch.device == self.DEVICE for batch in fed)
        assert threads() == []
        assert torch.equal(torch.cat(fed).cpu(), probes.images()[order])
        every = torch.arange(256, dtype=torch.uint8)
        assert torch.equal(unit_floats(every.to(self.DEVICE)).cpu(), unit_floats(every))

    def test_a_busy_stream_reads_no_batch_before_it_is_there(self):
        # Whole images of one value: a batch that came late, or was overwritten early, would show.
        count = 64
        images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 128, 128)
        probes = Probes.from_tensor(images)
        stream = torch.cuda.Stream(self.DEVICE)
        sums = []
        with torch.cuda.stream(stream):
            for batch in feed(probes, self.DEVICE, 2, np.arange(count)):
                torch.cuda._sleep(2_000_000)
                sums.append((batch * 255).round().mean((1, 2, 3)))
                del batch
        assert torch.equal(torch.cat(sums).cpu().round(), torch.arange(count).float())

    def test_work_beside_a_busy_stream_sees_what_was_queued(self):
        with torch.cuda.stream(torch.cuda.Stream(self.DEVICE)):
            weights = torch.zeros(1 << 20, device=self.DEVICE)
            torch.cuda._sleep(100_000_000)
            weights += 1
            with beside(weights.cpu, self.DEVICE) as got:
                pass
        assert bool((got() == 1).all())

    def test_leaving_early(self, on_file):
        batches = feed(on_file, self.DEVICE, 2, np.arange(11))
        next(batches)
        batches.close()
        assert threads() == []

    def test_what_arrives_is_what_was_there_when_it_was_queued(self):
        tensor = torch.arange(1 << 20, device=self.DEVICE)
        torch.cuda._sleep(50_000_000)
        later = tensor * 2
        arriving = Arriving([later, later[:3]])
        torch.cuda._sleep(50_000_000)
        whole, part = arriving.wait()
        assert torch.equal(whole, 2 * torch.arange(1 << 20))
        assert part.tolist() == [0, 2, 4]
        assert feeding.lag(self.DEVICE) == 1

    def test_a_bad_map_is_named(self):
        images = NOISE.clone()
        images[5, 0, 0, 0] = 0.25
        encoder = pyattrx.Encoder(Spoiled(), name="net")
        with pytest.raises(NonFiniteError, match="probe 5"):
            pyattrx.affinity(
                [encoder], Probes.from_tensor(images), "saliency", batch_size=2, device=self.DEVICE
            )

    def test_affinities_are_those_of_the_host(self, probes):
        encoders = [pyattrx.Encoder(build(name), name=name) for name in ("plain", "resnet")]
        for method in ("grad_x_input", "ridge"):
            ours, host = (
                pyattrx.affinity(encoders, probes, method, batch_size=3, device=device)
                for device in (self.DEVICE, CPU)
            )
            np.testing.assert_allclose(ours.values, host.values, atol=1e-3)
