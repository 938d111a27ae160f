"""Help of the command line: options in groups, and examples at the end."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["Command", "examples"]


class Command(TyperCommand):
    """A command whose options are shown by their ``rich_help_panel``, as plain text.

    Its epilog is a list of examples, a line each.
    """

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
