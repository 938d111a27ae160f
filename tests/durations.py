"""Which tests are slow is measured, and not marked by hand.

`slow.txt` beside this file lists functions whose tests take more than `LIMIT` seconds of the CPU
together, those of processes that they start included; they get the marker `slow`. A run with
``--record-slow`` brings the list up to date for what it ran: after all tests, also for those that
pay for a shared fixture when the slow ones are left out.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

LIST = Path(__file__).parent / "slow.txt"
LIMIT = 0.3
# What takes so long is worth a word where it is not listed; machines differ.
SURPRISING = 2.0


def function_of(nodeid):
    """A test without its parameters."""
    return nodeid.partition("[")[0]


def listed():
    """Seconds of slow functions."""
    lines = LIST.read_text().splitlines() if LIST.exists() else []
    return {name: float(seconds) for seconds, name in (line.split() for line in lines)}


def updated(before, ran, root):
    """The list after a run: what ran is measured anew, and what is no longer there is forgotten."""
    found = {name: seconds for name, seconds in before.items() if name not in ran}
    found |= {name: seconds for name, seconds in ran.items() if seconds > LIMIT}
    return {name: seconds for name, seconds in sorted(found.items()) if is_there(name, root)}


def is_there(name, root):
    """Whether the file of a test has a function of its name."""
    path = root / name.partition("::")[0]
    return path.exists() and f"def {name.rpartition('::')[2]}(" in path.read_text()


def used():
    """Seconds of the CPU so far, those of processes that have ended included."""
    return sum(os.times()[:4])


class Durations:
    """Measures every test; marks those that are known to be slow."""

    def __init__(self, config):
        self._config = config
        self._begun = 0.0
        self._seconds = Counter()

    @pytest.hookimpl(tryfirst=True)  # before they are chosen by their markers
    def pytest_collection_modifyitems(self, items):
        slow = listed()
        for item in items:
            if function_of(item.nodeid) in slow:
                item.add_marker(pytest.mark.slow)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._begun = used()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        report = yield
        now = used()
        report.cpu_seconds = now - self._begun  # of this phase; reports come from other processes
        self._begun = now
        return report

    def pytest_runtest_logreport(self, report):
        self._seconds[function_of(report.nodeid)] += report.cpu_seconds

    def pytest_terminal_summary(self, terminalreporter):
        if self._config.getoption("record_slow"):
            found = updated(listed(), dict(self._seconds), self._config.rootpath)
            LIST.write_text("".join(f"{found[name]:.1f} {name}\n" for name in found))
            terminalreporter.write_line(f"{LIST}: {len(found)} slow functions")
            return
        slow = listed()
        for name, seconds in self._seconds.items():
            if seconds > SURPRISING and name not in slow:
                terminalreporter.write_line(f"slow, and not in {LIST.name}: {name} {seconds:.1f} s")
