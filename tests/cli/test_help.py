"""Help: options in groups, and examples that the command line understands."""

import shlex
import subprocess
import sys

import pytest
import typer
from cli.test_cli import run

from pyattrx.cli import app
from pyattrx.cli.later import COMMANDS

ROOT = typer.main.get_command(app)


def commands(group=ROOT, path=()):
    context = group.make_context("pyattrx", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_examples_that_it_understands(path, capsys):
    command = ALL[path]
    lines = (command.epilog or "").splitlines()
    assert len(lines) >= 2
    for line in lines:
        start = ["pyattrx", *path]
        words = shlex.split(line)
        assert words[: len(start)] == start
        command.make_context(path[-1], words[len(start) :])  # raises what the user would see
    code, out, _ = run(capsys, *path, "-h")
    assert code == 0
    shown = out[out.index("Examples:\n") :].splitlines()[1:]
    assert [line.strip() for line in shown] == lines
    assert "Show this message and exit." in out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_own_help_begins_with(name):
    whole = ROOT.get_command(None, name).help
    assert " ".join(whole.split("\n\n")[0].split()) == COMMANDS[name][1]


def test_the_list_and_the_version_need_no_torch(tmp_path):
    for arguments in (["--help"], ["--version"], []):
        code = (
            "import sys\nfrom pyattrx.cli import main\ntry:\n"
            f"    main({arguments})\nexcept SystemExit:\n"
            "    print({'torch', 'scipy', 'rich'} & set(sys.modules), file=sys.stderr)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr.splitlines()[-1] == "set()"
        assert "pyattrx" in done.stdout + done.stderr


def test_a_misspelt_command(capsys):
    code, _, err = run(capsys, "afinity")
    assert code == 2
    assert "affinity" in err


def test_an_example_with_a_misspelt_option_would_be_found():
    with pytest.raises(Exception, match=r"(?i)no such option"):
        ALL["affinity",].make_context("affinity", ["a:b", "--probes", "x", "--methid", "elrp"])


def test_options_are_in_groups(capsys):
    _, out, _ = run(capsys, "affinity", "--help")
    titles = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Arguments:", "Options:", "Probes:", "Method:", "Run:", "Output:", "Examples:",
    ]  # fmt: skip
    groups = dict(zip(titles, out[out.index("Arguments:") :].split("\n\n"), strict=True))
    assert "--crops" in groups["Probes:"]
    assert "--center" in groups["Method:"]
    assert "--batch-size" in groups["Run:"]
    assert "--json" in groups["Output:"]
    assert "--target" in groups["Options:"]
    # Every option is in one of them.
    for param in ALL["affinity",].params:
        if param.param_type_name == "option":
            assert out.count(f" {param.opts[0]} ") >= 1
