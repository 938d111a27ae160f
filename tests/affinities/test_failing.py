"""Networks that fail beside others: left out, named, and without a trace in the numbers."""

import errno
import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx._scratch import Scratch
from pyattrx.affinities.rows import Room, RowStore
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, SkippedWarning
from pyattrx.running import Failures


def network(seed, channels=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 4, 3))


class Late(nn.Module):
    """Cannot see one image: any but the two that a network is looked at with before the run."""

    def __init__(self, image):
        super().__init__()
        self.inner, self.mean = network(9), image.mean()

    def forward(self, x):
        if (x.detach().mean((1, 2, 3)) - self.mean).abs().min() < 1e-6:
            raise RuntimeError("broken in the middle")
        return self.inner(x)


class Explodes(nn.Module):
    def forward(self, x):
        return (x * float("inf")).mean((2, 3))


def absent():
    raise OSError("no such checkpoint")


absent.name = "absent"


def encoder(name, seed=0):
    return pyattrx.Encoder(network(seed), name=name)


@pytest.mark.parametrize("method", ["grad_x_input", "cka", "depara"])
def test_the_others_are_as_if_it_had_not_been_there(probes, method):
    bad = [pyattrx.Encoder(Explodes(), name="explodes"), absent, "no.such.module:net"]
    good = [encoder("a", 0), encoder("b", 1), encoder("c", 2)]
    expected = pyattrx.affinity(good, probes, method)
    assert expected.failures == {}
    with pytest.warns(SkippedWarning) as warned:
        found = pyattrx.affinity(
            [bad[0], good[0], bad[1], good[1], bad[2], good[2]], probes, method, on_error="skip"
        )
    assert found.names == ["a", "b", "c"]
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.stderr, expected.stderr, equal_nan=True)
    assert list(found.failures) == ["explodes", "absent", "no.such.module:net"]
    assert "NaN or Inf" in found.failures["explodes"]
    assert found.failures["absent"] == "OSError: no such checkpoint"
    assert [n["name"] for n in found.provenance["networks"]] == ["a", "b", "c"]
    said = [str(w.message) for w in warned if w.category is SkippedWarning]
    assert len(said) == 3
    assert said[1] == "left out 'absent', which failed: OSError: no such checkpoint"
    assert all(w.filename == __file__ for w in warned if w.category is SkippedWarning)


def test_what_went_wrong_does_not_begin_with_the_name():
    failures = Failures("skip")
    said = ("'net' failed: no weights", "network 'net' failed: no weights", "'net': no weights")
    for message in said:
        warned = pytest.warns(SkippedWarning, match="'net.*', which failed: no weights$")
        with warned, failures.noted("net"):
            raise EncoderError(message)
    assert list(failures.found.values()) == ["no weights"] * 3
    with pytest.warns(SkippedWarning), failures.noted("net"):
        raise EncoderError("'other' failed: no weights")
    assert failures.found["net (4)"] == "'other' failed: no weights"


def test_one_that_fails_in_the_middle_leaves_nothing(images, probes):
    middle = int(images.mean((1, 2, 3)).argsort()[1:-1].max())
    assert middle > 0  # rows of another image were written before
    late = pyattrx.Encoder(Late(images[middle]), name="late")
    good = [encoder("a", 0), encoder("b", 1)]
    with pytest.warns(SkippedWarning, match="broken in the middle"):
        found = pyattrx.affinity(
            [good[0], late, good[1]], probes, batch_size=1, on_error="skip", method="grad_x_input"
        )
    expected = pyattrx.affinity(good, probes, batch_size=1, method="grad_x_input")
    assert np.array_equal(found.values, expected.values)


def test_failures_are_saved(probes, tmp_path):
    with pytest.warns(SkippedWarning):
        found = pyattrx.affinity(
            [encoder("a"), absent], probes, on_error="skip", method="grad_x_input"
        )
    loaded = pyattrx.Affinity.load(found.save(tmp_path / "x.npz"))
    assert loaded.failures == found.failures == {"absent": "OSError: no such checkpoint"}
    assert json.loads(json.dumps(found.to_dict()))["failures"] == found.failures


def test_by_default_they_are_raised(probes):
    with pytest.raises(OSError, match="no such checkpoint"):
        pyattrx.affinity([encoder("a"), absent], probes, method="grad_x_input")


def test_if_all_fail_it_is_an_error(probes):
    bad = [pyattrx.Encoder(Explodes(), name="explodes"), absent]
    with (
        pytest.warns(SkippedWarning),
        pytest.raises(EncoderError, match=r"all 2 networks failed: explodes: .*; absent: OSError"),
    ):
        pyattrx.affinity(bad, probes, on_error="skip", method="grad_x_input")
    with pytest.warns(SkippedWarning), pytest.raises(EncoderError, match="the only network failed"):
        pyattrx.affinity([absent], probes, on_error="skip", method="grad_x_input")


def test_wrong_arguments_are_raised_whatever_is_said(probes):
    def not_reached():
        raise AssertionError

    with pytest.raises(InvalidValueError, match="on_error='ignore': expected 'raise' or 'skip'"):
        pyattrx.affinity([not_reached], probes, on_error="ignore", method="grad_x_input")
    twice = [encoder("a"), lambda: encoder("a")]
    with pytest.raises(InvalidValueError, match="different names"):
        pyattrx.affinity(twice, probes, on_error="skip", method="grad_x_input")
    with pytest.raises(InvalidTypeError, match=r"encoders\[1\]"):
        pyattrx.affinity([not_reached, 3], probes, on_error="skip", method="grad_x_input")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
def test_what_is_no_fault_of_the_network_is_raised(probes, error):
    def load():
        raise error

    with pytest.raises(type(error)):
        pyattrx.affinity([encoder("a"), load], probes, on_error="skip", method="grad_x_input")


def test_failures_of_one_name_are_all_kept(probes):
    def absent_too():
        raise OSError("nor this")

    absent_too.name = "absent"
    with pytest.warns(SkippedWarning):
        found = pyattrx.affinity(
            [absent, absent_too, encoder("a")], probes, on_error="skip", method="grad_x_input"
        )
    assert found.failures == {
        "absent": "OSError: no such checkpoint",
        "absent (2)": "OSError: nor this",
    }


def test_no_warning_without_a_failure(probes):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkippedWarning)
        pyattrx.affinity([encoder("a")], probes, on_error="skip", method="grad_x_input")


@pytest.mark.parametrize("host_bytes", [0, 1 << 20, 200])
def test_the_place_of_forgotten_rows_is_used_again(tmp_path, host_bytes):
    room = Room(torch.device("cpu"), Scratch(in_memory=host_bytes))
    with RowStore(5, torch.device("cpu"), tmp_path, room) as store:
        before = (room.on_host, store._end)
        kept = store.begin(torch.zeros(1, 7))
        kept.write(0, torch.full((5, 7), 1.0))
        between = (room.on_host, store._end)
        store.begin(torch.zeros(1, 7)).write(0, torch.full((5, 7), 2.0))
        store.keep_first(1)
        assert (room.on_host, store._end) == between
        store.begin(torch.zeros(1, 7)).write(0, torch.full((5, 7), 3.0))
        block = store.block(slice(0, 2), np.arange(5))
        assert block[:, 0, 0].tolist() == [1.0, 3.0]
        store.keep_first(0)
        assert (room.on_host, store._end) == before
        assert store.width is None


def test_a_name_that_only_looks_like_another_stays():
    failures = Failures("skip")
    for name in ("net (target)", "net", "net"):
        with pytest.warns(SkippedWarning), failures.noted(name):
            raise OSError("gone")
    assert list(failures.found) == ["net (target)", "net", "net (2)"]
