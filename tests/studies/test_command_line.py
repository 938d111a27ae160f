"""The studies' own command line: help, mistakes, documents."""

import json

import pytest

from studies.cli import app, main

NAMES = ["minitaskonomy", "transfer", "recommend", "real", "layers", "precision", "faithfulness"]


def studies(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code or 0


def test_all_are_listed(capsys):
    assert studies("--help") == 0
    out = capsys.readouterr().out
    assert [name for name in NAMES if name in out] == NAMES
    assert [command.name for command in app.registered_commands] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_study_has_help(name, capsys):
    for flag in ("-h", "--help"):
        assert studies(name, flag) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"Usage: python -m studies {name}")
        assert f"  python -m studies {name} " in out.partition("Examples:")[2]


def test_mistakes_are_explained(tmp_path, capsys):
    assert studies("transfer", "--preset", "fully") == 2
    assert "'fully': expected one of full, smoke" in " ".join(capsys.readouterr().err.split())
    assert studies("everything") == 2
    assert "No such command 'everything'" in capsys.readouterr().err
    for name in ("recommend", "real"):
        assert studies(name, "--results", tmp_path, "--json") == 2
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["type"] == "InvalidValueError"
        assert str(tmp_path) in error["message"]


def test_a_page_that_is_not_there_is_said_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("studies.real.command.document", None)
    assert studies("real", "--page", tmp_path / "nowhere.md") == 2
    assert "nowhere.md" in capsys.readouterr().err
