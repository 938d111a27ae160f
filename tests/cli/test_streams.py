"""Standard output: one document and nothing else, any terminal, readers that leave."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import pyattrx
from pyattrx.cli import app, main, running, streams

NETWORKS = """
import ctypes, logging, os, subprocess, sys
import torch
from sys import stdout as mine
print("printed at import")
HANDLER = logging.StreamHandler(sys.stdout)
def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh())
class Talks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net(1)
    def forward(self, x):
        print("printed in forward")
        return self.net(x)
def quiet():
    return net(2)
def printed():
    print("printed when called")
    print("to the stream of an import", file=mine)
    sys.__stdout__.write("to the first stream\\n")
    logging.getLogger("x").addHandler(HANDLER)
    logging.getLogger("x").warning("logged")
    return Talks()
def bytes_():
    sys.stdout.flush()
    os.write(1, b"written to the file\\n")
    return net(3)
def c_code():
    ctypes.CDLL(None).puts(b"put by C")
    return net(4)
def child():
    subprocess.run("echo said by a child", shell=True)
    return net(5)
def at_exit():
    import atexit
    atexit.register(print, "printed at exit")
    atexit.register(ctypes.CDLL(None).puts, b"put at exit")
    return net(6)
def unflushed():
    sys.stdout.write("without an end")
    return net(7)
def stops():
    sys.exit(0)
def raises():
    print("before it fails")
    raise RuntimeError("no weights")
def closes():
    sys.stdout.close()
    return net(8)
"""
TALKING = ["printed", "bytes_", "c_code", "child", "at_exit", "unflushed"]
SPECIAL = "né\u2022t✓"  # as a network may be called


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(NETWORKS)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        pixels = rng.integers(0, 255, size=(24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"photo{index}.png")
    (tmp_path / "photos" / "again.bmp").touch()
    Image.open(tmp_path / "photos" / "photo0.png").save(tmp_path / "photos" / "again.bmp")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.update(options.pop("env", {}))
    return subprocess.Popen(
        [sys.executable, "-m", "pyattrx", *map(str, arguments)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options},
    )


def run(*arguments, **options):
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def inside(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(one) for one in arguments])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


COMPARED = ["--probes", "photos", "--size", "16", "--method", "saliency"]


@pytest.mark.parametrize("to", ["a pipe", "a file", "a file that goes on"])
def test_whatever_networks_print_goes_to_standard_error(folder, to):
    arguments = ["affinity", *[f"nets.py:{n}" for n in TALKING], *COMPARED, "--json"]
    if to == "a pipe":
        code, out, err = run(*arguments)
    else:
        (folder / "out").write_text("[]\n")
        with open(folder / "out", "wb" if to == "a file" else "ab") as file:
            code, _, err = run(*arguments, stdout=file)
        out = (folder / "out").read_text()
        if to == "a file that goes on":
            assert out[:3] == "[]\n"
            out = out[3:]
    assert code == 0, err
    assert len(json.loads(out)["names"]) == len(TALKING)
    for said in (
        "printed at import", "printed when called", "to the stream of an import",
        "to the first stream", "logged", "printed in forward", "written to the file", "put by C",
        "said by a child", "printed at exit", "put at exit", "without an end",
    ):  # fmt: skip
        assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("network", ["raises", "stops", "missing"])
def test_errors_are_one_document_too(folder, network):
    code, out, err = run("affinity", f"nets.py:{network}", *COMPARED, "--json")
    assert code == 1
    assert set(json.loads(out)) == {"error"}
    assert json.loads(out)["error"]["message"] in err


def test_standard_output_is_as_it_was_without_documents(folder):
    code, out, err = run("affinity", "nets.py:printed", "nets.py:bytes_", *COMPARED)
    assert code == 0, err
    assert "printed at import" in out
    assert "written to the file" in out
    assert "Nearest sources" in out
    assert "printed at import" not in err
    assert "printed in forward" not in err


def test_all_commands_print_one_document(folder, capsys):
    """In this process, where standard output is collected by Python."""
    nets = ["nets.py:printed", "nets.py:unflushed", "nets.py:quiet"]
    table = "target,{0},{1},{2}\n{0},,1,2\n{1},1,,3\n{2},2,3,\n".format(*nets)
    (folder / "truth.csv").write_text(table)
    good = True
    for arguments in [
        ["affinity", *nets, *COMPARED, "--save", "a.npz"],
        ["zoo", "create", "zoo", *COMPARED[:4], "--limit", 3, "--method", "saliency"],
        ["zoo", "create", "other", *COMPARED[:4], "--limit", 3, "--method", "saliency"],
        ["zoo", "add", "zoo", *nets],
        ["zoo", "add-probes", "zoo", "--probes", "photos"],
        ["zoo", "list", "zoo"],
        ["zoo", "show", "zoo", nets[0]],
        ["zoo", "tag", "zoo", nets[0], "good"],
        ["zoo", "fidelity", "zoo", "nets.py:child", "nets.py:quiet"],
        ["query", "zoo", "nets.py:at_exit"],
        ["zoo", "verify", "zoo"],
        ["zoo", "remove", "zoo", nets[0]],
        ["zoo", "merge", "other", "other"],
        ["evaluate", "a.npz", "truth.csv", "--bootstrap", "100", "--k", "1", "--relevant", 1],
        ["env"],
        ["env", "--no-such-option"],
        ["affinity", "nets.py:raises", *COMPARED],
        ["affinity", "nets.py:stops", *COMPARED],
        ["affinity", *nets],
        ["affinity", "--no-such-option"],
        ["zoo", "list", "nowhere"],
        ["nonsense"],
        ["zoo"],
    ]:  # fmt: skip
        code, out, _ = inside(capsys, *arguments, "--json")
        document = json.loads(out)
        good = good and arguments[0:2] != ["env", "--no-such-option"]
        assert code == 0 if good else code > 0, (arguments, document)
        assert ("error" in document) != good
        assert sys.stdout.errors != "pyattrx.plain"


def test_help_is_no_document(folder, capsys):
    code, out, _ = inside(capsys, "affinity", "--help", "--json")
    assert code == 0
    assert "Usage:" in out
    code, out, _ = inside(capsys, "zoo", "list", "-h")
    assert code == 0
    assert "Usage:" in out


def test_the_version(capsys):
    code, out, _ = inside(capsys, "--version")
    assert (code, out) == (0, f"pyattrx {pyattrx.__version__}\n")


def test_an_error_that_nobody_expected_is_a_document_and_a_traceback(folder, monkeypatch, capsys):
    def fails():
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("pyattrx.cli.environment.environment", fails)
    with pytest.raises(ZeroDivisionError):
        main(["env", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == {"error": {"type": "ZeroDivisionError", "message": "of ours"}}


def test_only_what_asks_for_documents_gets_them():
    assert streams.documents() is sys.stdout

    assert running._wants_documents(["zoo", "list", "--json", "z"])
    assert not running._wants_documents(["zoo", "tag", "z", "n", "--", "--json"])


def test_the_standard_streams_come_back(folder, capfd):
    """After a program has called the command line, C code prints where it did before."""
    code = (
        "import ctypes, os, sys\n"
        "from pyattrx.cli import main\n"
        "try:\n    main(['affinity', 'nets.py:c_code', *sys.argv[1:], '--json'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print('END', flush=True)\n"
        "os.write(1, b'written')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMPARED], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    document, rest = done.stdout.split("END\n")
    assert json.loads(document)["names"] == ["nets.py:c_code"]
    assert rest == "written"
    assert "put by C" in done.stderr


# Terminals


def encoded(monkeypatch, encoding, errors, *arguments):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors=errors, write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as stop:
            main([str(one) for one in arguments])
    assert stream.errors == errors
    return stop.value.code, raw.getvalue()


@pytest.fixture
def named(folder, capsys):
    """A zoo and an affinity of networks whose names are beyond ASCII."""
    probes = pyattrx.Probes.from_folder("photos", 16)
    nets = [pyattrx.Encoder(torch.nn.Conv2d(3, 4, 3), name=f"{SPECIAL}{i}") for i in range(3)]
    with pyattrx.Zoo.create("zoo", probes, "saliency") as zoo:
        zoo.add(nets[0], tags="größe")
    names = [net.name for net in nets]
    result = pyattrx.affinity(nets, probes, "saliency")
    result.save("a.npz")
    rows = "".join(f"{n},{','.join(str(i) for i in range(3))}\n" for n in names)
    (folder / "truth.csv").write_text(f"target,{','.join(names)}\n{rows}", encoding="utf-8")
    Image.new("RGB", (9, 9)).save(folder / "photos" / "weiß\udcff.png")
    (folder / "photos" / "böse\udcfe.png").write_bytes(b"not one")
    (folder / "größe.py").write_text(NETWORKS)
    capsys.readouterr()
    return folder


@pytest.mark.parametrize(
    ("encoding", "errors"),
    [("ascii", "strict"), ("ascii", "surrogateescape"), ("latin-1", "strict"), ("cp437", "strict"),
     ("utf-8", "strict")],
)  # fmt: skip
def test_no_terminal_stops_a_command(named, monkeypatch, capsys, encoding, errors):
    first = f"{SPECIAL}0"
    for arguments in [
        ["affinity", "größe.py:quiet", "nets.py:quiet", *COMPARED, "--skip-bad"],
        ["zoo", "create", f"new{encoding}{errors}", *COMPARED[:4], "--skip-bad"],
        ["zoo", "add", "zoo", "größe.py:quiet"],
        ["zoo", "list", "zoo"],
        ["zoo", "show", "zoo", first],
        ["zoo", "tag", "zoo", first, "schön"],
        ["query", "zoo", first],
        ["zoo", "verify", "zoo"],
        ["evaluate", "a.npz", "truth.csv", "--bootstrap", "100", "--k", "1", "--relevant", 1],
        ["zoo", "remove", "zoo", "größe.py:quiet"],
        ["env"],
    ]:
        code, out = encoded(monkeypatch, encoding, errors, *arguments)
        assert code == 0, (arguments, capsys.readouterr().err)
        out.decode(encoding)
    code, out = encoded(monkeypatch, encoding, errors, "zoo", "list", "zoo")
    lines = out.decode(encoding).splitlines()
    assert any("|" in line or "│" in line for line in lines)  # still a table


def test_tables_are_drawn_with_what_there_is(named, monkeypatch):
    arguments = ["affinity", "nets.py:quiet", "größe.py:quiet", *COMPARED[:4], "--skip-bad"]
    code, out = encoded(monkeypatch, "ascii", "strict", *arguments, "--method", "saliency")
    text = out.decode("ascii")
    assert code == 0
    assert " +-0." in text
    assert "gr\\xf6\\xdfe.py:quiet" in text
    assert "left out b\\xf6se\\udcfe.png" in text
    assert "+---" in text
    assert "\\u2" not in text  # no frames in pieces


def commands():
    """Every command, as arguments."""
    import typer

    found, waiting = [], [([], typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        found.append(path)
        names = [] if path == ["bench"] else getattr(command, "commands", [])
        waiting += [([*path, name], command.get_command(None, name)) for name in names]
    return [path for path in found if path != ["bench"]]


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_on_any_terminal(path, monkeypatch):
    for flag in ("--help", "-h"):
        code, out = encoded(monkeypatch, "ascii", "strict", *path, flag)
        assert code == 0
        assert b"Usage: pyattrx" in out


@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C"],
)
def test_a_process_without_utf8(named, env):
    code, out, err = run("zoo", "list", "zoo", env=env)
    assert code == 0, err
    assert "n\\xe9\\u2022t*0" in out
    code, out, err = run("affinity", "nets.py:quiet", *COMPARED, "--skip-bad", "--json", env=env)
    assert code == 0, err
    assert len(json.loads(out)["provenance"]["probes"]["skipped"]) == 1
    code, _, err = run("zoo", "show", "zoo", "größe\udcff", env=env)
    assert code == 2
    assert "Traceback" not in err


# Readers that leave


@pytest.mark.parametrize(
    "arguments", [["env"], ["--help"], ["env", "--json"], ["zoo", "list", "zoo"]]
)
def test_a_reader_that_has_gone(folder, arguments):
    if arguments[0] == "zoo":
        with pyattrx.Zoo.create("zoo", pyattrx.Probes.from_folder("photos", 8)) as zoo:
            zoo.add(pyattrx.Encoder(torch.nn.Conv2d(3, 4, 3), name="net"))  # tables are Rich's
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = run(*arguments, stdout=writing)
    os.close(writing)
    assert (code, err) == (141, "")


def test_a_pipe_that_breaks_elsewhere_is_an_error(folder):
    """That of a process which a network talks to, for one."""
    (folder / "nets.py").write_text("def a():\n    raise BrokenPipeError(32, 'their pipe')\n")
    code, out, err = run("affinity", "nets.py:a", *COMPARED)
    assert (code, out) == (1, "")
    assert "their pipe" in err


@pytest.mark.parametrize(
    "arguments", [["env"], ["env", "--json"], ["--help"], ["nonsense", "--json"]]
)
@pytest.mark.parametrize("closed", [(1,), (1, 2), (0, 1, 2), (2,)], ids=str)
def test_streams_that_are_closed(folder, arguments, closed):
    closing = " ".join(f"{fd}>&-" for fd in closed)
    command = f"exec {sys.executable} -m pyattrx {' '.join(arguments)} {closing}"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == (2 if "nonsense" in arguments else 0), done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    if closed == (2,) and "--json" in arguments:
        json.loads(done.stdout)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["env"], ["env", "--json"]])
def test_a_disk_that_is_full(folder, arguments):
    with open("/dev/full", "wb") as full:
        code, _, err = run(*arguments, stdout=full)
    assert code == 1
    assert err.startswith("pyattrx: ")
    assert "No space left on device" in err
    assert len(err.splitlines()) == 1


def test_a_network_that_closes_standard_output(folder):
    code, out, err = run("affinity", "nets.py:closes", *COMPARED, "--json")
    assert code == 0, err
    assert json.loads(out)["names"] == ["nets.py:closes"]


# Copies


def test_copies_among_probes_are_said(folder, capsys):
    said = "1 of the 5 probes are exact copies of earlier ones and in their groups, which are 4"
    _, out, _ = inside(capsys, "affinity", "nets.py:quiet", *COMPARED)
    assert said in out
    _, out, _ = inside(capsys, "zoo", "create", "zoo", *COMPARED[:4])
    assert said in out
    _, out, _ = inside(capsys, "affinity", "nets.py:quiet", *COMPARED, "--json")
    probes = json.loads(out)["provenance"]["probes"]
    assert (probes["duplicates"], probes["n_groups"]) == (1, 4)
    _, out, _ = inside(capsys, "affinity", "nets.py:quiet", *COMPARED, "--limit", 1)
    assert "exact copies" not in out


def test_untrained_networks_are_said_in_a_line(folder):
    code, out, err = run("affinity", "nets.py:quiet", "nets.py:bytes_", *COMPARED, "--json")
    assert code == 0, err
    assert json.loads(out)["names"] == ["nets.py:quiet", "nets.py:bytes_"]
    said = [line for line in err.splitlines() if "looks untrained" in line]
    assert len(said) == 2
    assert all(line.startswith("pyattrx: warning: network 'nets.py:") for line in said)
    assert "UntrainedWarning" not in err
