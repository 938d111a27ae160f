"""Networks on the command line: wildcards are counted and asked about, failures are named."""

import json
import types

import pytest
import typer
from cli.test_cli import NETS, folder, run  # noqa: F401

from pyattrx.cli import options
from pyattrx.encoders import loading

COMMON = ("--probes", "photos", "--size", 16, "--device", "cpu", "--method", "saliency")


@pytest.fixture
def timm(monkeypatch):
    """A timm of names only: `found` is what its next pattern matches."""
    package = types.SimpleNamespace(found=[])
    package.list_models = lambda pattern, pretrained: package.found
    monkeypatch.setattr(loading, "timm_package", lambda: package)
    return package


@pytest.fixture
def terminal(monkeypatch):
    """Somebody to ask: the answer is `answers.pop()`."""
    answers, questions = [], []
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))

    def confirm(text, **options):
        questions.append(text)
        return answers.pop()

    monkeypatch.setattr(typer, "confirm", confirm)
    return answers, questions


def chosen(*specifications, yes=False, listed=False):
    return options.networks(specifications, yes=yes, listed=listed)


def test_matches_are_counted(timm, capsys):
    timm.found = ["a", "b"]
    assert chosen("timm:*", "nets:first") == ["timm:a", "timm:b", "nets:first"]
    assert capsys.readouterr().err == "pyattrx: 'timm:*' matches 2 networks\n"
    timm.found = ["a"]
    chosen("timm:*")
    assert "matches 1 network\n" in capsys.readouterr().err
    chosen("nets:first")
    assert capsys.readouterr().err == ""


def test_many_are_asked_about(timm, terminal, capsys):
    answers, questions = terminal
    timm.found = [f"n{i}" for i in range(options.MOST_UNASKED + 1)]
    answers[:] = [True]
    assert len(chosen("timm:n*")) == 21
    assert questions == ["Use 21 networks?"]
    answers[:] = [False]
    with pytest.raises(typer.Exit) as stopped:
        chosen("timm:n*")
    assert stopped.value.exit_code == 1
    assert len(chosen("timm:n*", yes=True)) == 21
    timm.found.pop()
    chosen("timm:n*")
    chosen("timm:n*", *[f"nets:net{i}" for i in range(30)])  # written out, one by one
    assert len(questions) == 2


def test_files_in_a_folder_are_counted_and_not_asked_about(tmp_path, capsys):
    for index in range(options.MOST_UNASKED + 1):
        (tmp_path / f"task{index}_encoder-f00d.pth").touch()
    assert len(chosen(f"taskonomy:{tmp_path}")) == 21
    assert "matches 21 networks" in capsys.readouterr().err


def test_without_a_terminal_many_are_refused(timm, folder, capsys):  # noqa: F811
    timm.found = [f"n{i}" for i in range(47)]
    code, _, err = run(capsys, "affinity", "timm:n*", *COMMON)
    assert code == 2
    assert "'timm:n*' matches 47 networks" in err
    assert "SPEC='timm:n*': expected --yes, to use 47 networks (more than 20)" in err


@pytest.mark.parametrize("command", [("affinity",), ("zoo", "add", "z")])
def test_a_list_is_all_that_is_printed(timm, folder, capsys, command):  # noqa: F811
    timm.found = [f"n{i}" for i in range(47)]
    code, out, _ = run(capsys, *command, "timm:n*", "nets.py:first", "--list")
    assert code == 0
    assert out.splitlines() == [*(f"timm:n{i}" for i in range(47)), "nets.py:first"]
    code, out, _ = run(capsys, *command, "nets.py:first", "--list", "--json")
    assert json.loads(out) == {"networks": ["nets.py:first"]}


def test_a_network_that_fails_does_not_lose_the_rest(folder, capsys):  # noqa: F811
    networks = ["nets.py:first", "nets.py:frist", "nets.py:explodes", "nets.py:second"]
    code, out, err = run(capsys, "affinity", *networks, *COMMON)
    assert code == 1
    assert "Nearest sources" in out
    assert "nets.py:second" in out
    lines = err.splitlines()
    assert any(
        line.startswith("pyattrx: warning: left out 'nets.py:frist', which failed: ")
        and "has no 'frist'" in line
        for line in lines
    )
    assert lines[-1] == "pyattrx: 2 of 4 networks failed: nets.py:frist, nets.py:explodes"
    code, out, _ = run(capsys, "affinity", *networks, *COMMON, "--json", "--save", "x.npz")
    assert code == 1
    printed = json.loads(out)
    assert printed["names"] == NETS
    assert list(printed["failures"]) == ["nets.py:frist", "nets.py:explodes"]
    _, alone, _ = run(capsys, "affinity", *NETS, *COMMON, "--json")
    assert json.loads(alone)["values"] == printed["values"]


def test_if_all_fail_nothing_is_printed(folder, capsys):  # noqa: F811
    code, out, err = run(capsys, "affinity", "nets.py:a", "nets.py:b", *COMMON)
    assert code == 1
    assert out == ""
    assert "all 2 networks failed: nets.py:a: " in err


def test_the_target_comes_first(folder, capsys):  # noqa: F811
    code, out, _ = run(capsys, "affinity", *NETS, *COMMON, "--target", "nets.py:slow", "-k", 2)
    assert code == 0
    assert out.index("Nearest sources for nets.py:slow") < out.index("Affinity, saliency")
    assert out.index("Affinity, saliency") < out.index("Nearest sources for the others")
    code, out, _ = run(capsys, "affinity", *NETS, *COMMON, "--target", "nets.py:second", "--json")
    printed = json.loads(out)
    assert printed["target"] == "nets.py:second"
    assert printed["names"] == ["nets.py:second", "nets.py:first"]
    code, _, err = run(capsys, "affinity", *NETS, *COMMON, "--target", "nets.py:thrid")
    assert code == 1
    assert "has no 'thrid'" in err
    assert "failed:" not in err  # at once
