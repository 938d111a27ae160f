"""``pyattrx explain`` as a user meets it."""

import json

import pytest
from cli.test_cli import folder, run  # noqa: F401

PAIR = ("explain", "nets.py:first", "nets.py:second", "--probes", "photos", "--size", 16,
        "--device", "cpu")  # fmt: skip


def test_a_table_and_a_picture(folder, capsys):  # noqa: F811
    pytest.importorskip("matplotlib")
    code, out, _ = run(capsys, *PAIR, "-k", 2, "--references", 1, "-o", "why.png")
    assert code == 0
    assert "Why is nets.py:second near nets.py:first?" in out
    assert "wrote why.png" in out
    assert (folder / "why.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["elrp", "recommended"])
def test_json(folder, capsys, method):  # noqa: F811
    code, out, _ = run(capsys, *PAIR, "--method", method, "-k", 1, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["covered"] + found["remainder"] == pytest.approx(found["affinity"])
    assert len(found["top"]) == 1
    assert found["files"] == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "saliency"), "magnitude of a sum"),
        (("--layer", "no_such_layer"), "layer='no_such_layer'"),
        (("--of", "both"), "'target' or 'source'"),
        (("-o", "why.txt"), ".png or .svg"),
        (("-k", 0), "at least 1"),
        (("--method", "ridge", "--scalar", "half_squared_norm"), "scalar"),
    ],
)
def test_wrong_arguments(folder, capsys, more, said):  # noqa: F811
    code, _, err = run(capsys, *PAIR, *more)
    assert code == 2
    assert said in err
