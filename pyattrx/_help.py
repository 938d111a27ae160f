"""Help of the command line: options in groups, and examples at the end."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

from pyattrx.errors import PyattrxError

__all__ = ["Command", "examples"]

# An argument as messages have it: method='bad', trust=True, or scratch= without a value.
_ARGUMENT = re.compile(
    r"(?<![\w.?&(-])(?P<name>[a-z_]+)(?P<which>(?:\[\d+\])?)=(?:(?P<flag>True\b)|(?P<bare>(?=[\s,;:)]|$)))?"
)


class Command(TyperCommand):
    """A command whose options are shown by their ``rich_help_panel``, as plain text.

    Its epilog is a list of examples, a line each. What it raises names its options, where a call
    from Python names arguments.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PyattrxError as error:
            error.args = (self._in_the_shell(str(error)), *error.args[1:])
            raise

    def _in_the_shell(self, message: str) -> str:
        """Write options for arguments: --batch-size=0 for batch_size=0, --trust for trust=True."""
        options = {}
        for param in self.params:
            if param.param_type_name == "argument" and param.metavar:
                for name in (str(param.name), str(param.name).removesuffix("s")):
                    options[name] = param.metavar.strip("[].")
            for option in (option for option in param.opts if option.startswith("--")):
                name = option[2:].replace("-", "_")
                options.update({name: option, f"{name}s": option})

        def named(found: re.Match[str]) -> str:
            option = options.get(found["name"])
            if option is None:
                return found[0]
            bare = found["flag"] or found["bare"] is not None
            return option + found["which"] + ("" if bare else "=")

        return _ARGUMENT.sub(named, message)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, the command's own options, and groups in the order of their firsts."""
        own: list[tuple[str, str]] = []
        arguments: list[tuple[str, str]] = []
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            panel = getattr(param, "rich_help_panel", None)
            if param.param_type_name == "argument":
                arguments.append(record)
            elif panel is None:
                own.append(record)
            else:
                groups.setdefault(panel, []).append(record)
        for title, records in {"Arguments": arguments, "Options": own, **groups}.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, each on a line of its own however long it is."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def examples(*lines: str) -> dict[str, Any]:
    """Return what makes a command one with these examples, as arguments of ``app.command``.

    Examples
    --------
    >>> import typer
    >>> from pyattrx._help import examples
    >>> app = typer.Typer()
    >>> command = app.command("env", **examples("pyattrx env", "pyattrx env --json"))
    """
    return {"cls": Command, "epilog": "\n".join(lines)}
