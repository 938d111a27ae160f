"""Tables of documentation pages, made of results: none of their figures was typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pyattrx.errors import InvalidValueError

__all__ = ["filled", "markdown", "number", "write"]

_MARK = re.compile(r"<!-- table: ([a-z -]+) -->\n.*?<!-- end -->", re.DOTALL)
_Found = TypeVar("_Found")


def filled(text: str, tables: Mapping[str, Callable[[_Found], str]], found: _Found) -> str:
    """Put tables where a page has marks for them.

    Parameters
    ----------
    text : str
        Markdown with ``<!-- table: NAME --> ... <!-- end -->``.
    tables : mapping of str to callable
        What makes each table, by its name.
    found : object
        What tables are made of.

    Raises
    ------
    InvalidValueError
        The page has a mark that is no table's.
    """

    def table(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in tables:
            raise InvalidValueError("table", name, f"one of {', '.join(tables)}")
        return f"<!-- table: {name} -->\n{tables[name](found)}\n<!-- end -->"

    return _MARK.sub(table, text)


def write(file: Path, tables: Mapping[str, Callable[[_Found], str]], found: _Found) -> None:
    """Fill a page."""
    file.write_text(filled(file.read_text(), tables, found))


def number(value: float | None, sign: str = "") -> str:
    """Write two decimals, without the zero before the point; a dash for what is not known."""
    if value is None:
        return "–"
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.2f}")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
