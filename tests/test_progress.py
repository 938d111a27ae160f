"""Progress bars: when they appear."""

import threading

import pytest
import rich.progress

import pyattrx
from pyattrx import _progress


@pytest.fixture
def begun(monkeypatch):
    """Set when a bar appears."""
    appeared = threading.Event()
    start = rich.progress.Progress.start

    def started(bar):
        start(bar)
        appeared.set()

    monkeypatch.setattr(rich.progress.Progress, "start", started)
    monkeypatch.setattr(_progress, "_PATIENCE_S", 0.01)
    pyattrx.set_progress(True)
    return appeared


def test_a_bar_appears_before_the_first_step_is_done(begun):
    with _progress.progress("long", 2) as step:
        assert begun.wait(60)
        step(1)


def test_short_work_shows_and_prints_nothing(begun, monkeypatch, capsys):
    monkeypatch.setattr(_progress, "_PATIENCE_S", 3600)
    with _progress.progress("short", 1) as step:
        step(1)
    assert not begun.is_set()
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())
    assert capsys.readouterr() == ("", "")
