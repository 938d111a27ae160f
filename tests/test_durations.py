"""Slow tests are found by measuring them."""

import textwrap

import pytest

import durations

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester, monkeypatch):
    """Three tests, one of which keeps the CPU busy for a while."""
    pytester.makeini("[pytest]\nmarkers = slow")
    pytester.makepyfile(
        test_some=textwrap.dedent("""
            import time, pytest

            @pytest.mark.parametrize("i", range(2))
            def test_busy(i):
                begun = time.process_time()
                while time.process_time() - begun < 0.06:
                    pass

            def test_quick():
                pass
        """)
    )
    monkeypatch.setattr(durations, "LIST", pytester.path / "slow.txt")
    monkeypatch.setattr(durations, "LIMIT", 0.1)

    class Options:
        def pytest_addoption(self, parser):
            parser.addoption("--record-slow", action="store_true")

        def pytest_configure(self, config):
            config.pluginmanager.register(durations.Durations(config))

    def run(*arguments):
        return pytester.inline_run(*arguments, plugins=[Options()])

    return run


def names():
    return [line.split()[1] for line in durations.LIST.read_text().splitlines()]


def test_what_is_slow_is_recorded_and_left_out(suite, pytester):
    durations.LIST.write_text("9.0 test_some.py::test_gone\n9.0 test_some.py::test_quick\n")
    suite("--record-slow", "-p", "no:xdist").assertoutcome(passed=3)
    assert names() == ["test_some.py::test_busy"]  # the sum over its parameters
    suite("-m", "not slow").assertoutcome(passed=1)
    suite("-m", "not slow", "--record-slow").assertoutcome(passed=1)
    assert names() == ["test_some.py::test_busy"]  # what did not run stays
    suite().assertoutcome(passed=3)


def test_the_list_is_of_tests_that_there_are(request):
    gone = [n for n in durations.listed() if not durations.is_there(n, request.config.rootpath)]
    assert gone == [], "make durations"
    assert len(durations.listed()) > 50
