"""What goes wrong in a command names its options, not the arguments of a call from Python."""

import pytest
import typer

from pyattrx._help import examples
from pyattrx.cli import Commands, run
from pyattrx.errors import EncoderError, InvalidValueError, PyattrxError

CASES = [
    (InvalidValueError("batch_size", 0, "more"), "--batch-size=0: expected more"),
    (InvalidValueError("scores", ["a"], "others"), "--score=['a']: expected others"),
    (InvalidValueError("targets", "a", "a network"), "SPEC='a': expected a network"),
    (InvalidValueError("target[1]", "a", "a network"), "SPEC[1]='a': expected a network"),
    (InvalidValueError("other", 1, "a size"), "other=1: expected a size"),
    (EncoderError("it is there; trust=True takes it"), "it is there; --trust takes it"),
    (PyattrxError("full; say batch_size=, or score=3"), "full; say --batch-size, or --score=3"),
    (PyattrxError("timm:a?score=3&trust=b, f(trust=True)"),) * 2,
]


@pytest.mark.parametrize(("error", "said"), CASES)
def test_options_are_named(error, said, capfd):
    app = typer.Typer(cls=Commands)

    @app.command("do", **examples("do it"))
    def do(
        targets: list[str] = typer.Argument(metavar="SPEC..."),  # noqa: B008
        batch_size: int = 3,
        score: str = "",
        trust: bool = typer.Option(False, "--trust"),
    ) -> None:
        raise error

    app.command("other")(lambda: None)
    assert run(app, ["do", "x"], ends=False) > 0
    assert capfd.readouterr().err == f"pyattrx: {said}\n"  # as it is, where it is no option
