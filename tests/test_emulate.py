"""What the emulation takes for a mistake found; the emulation itself is run by tests/emulate.py."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("pybind11")
import emulate


@pytest.mark.parametrize(
    ("second", "found"),
    [(("2", 0), True), (("1", 0), False), (("crashed", 1), False), (("", -11), False)],
)
def test_a_crash_is_no_different_result(monkeypatch, second, found):
    def run(program, name, *, order):
        text, code = ("1", 0) if order == emulate.ORDERS[0] or name in emulate.RIGHT else second
        return SimpleNamespace(stdout=text, returncode=code)

    monkeypatch.setattr(emulate, "run", run)
    monkeypatch.setattr(emulate, "MISTAKES", {"race": {"plain": emulate.DIFFERENT}})
    assert (emulate.missed_mistakes(Path(), "plain") == []) == found
