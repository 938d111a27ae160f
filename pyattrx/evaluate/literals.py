"""Dictionaries in the source of a Python program, read without executing it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from pyattrx.errors import PyattrxError

__all__ = ["read_literals"]


def read_literals(path: Path) -> dict[str, dict[Any, Any]]:
    r"""Return the dictionaries of constants that a program assigns to names, wherever it does.

    Raises
    ------
    PyattrxError
        The file is no Python in UTF-8; a dictionary has a key twice, or a name is assigned two of
        them.

    Examples
    --------
    >>> import tempfile
    >>> from pyattrx.evaluate.literals import read_literals
    >>> path = Path(tempfile.mkdtemp()) / "accuracies.py"
    >>> _ = path.write_text("import this\nif exit():\n    best = {'pets': {'resnet18': 0.9}}")
    >>> read_literals(path)
    {'best': {'pets': {'resnet18': 0.9}}}
    """
    try:
        tree = ast.parse(path.read_bytes().decode("utf-8-sig"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PyattrxError(f"{path}: not a Python program in UTF-8 ({error})") from error
    found: dict[str, dict[Any, Any]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(
            node.value, ast.Dict
        ):
            continue
        try:
            value = ast.literal_eval(node.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            continue  # not of constants alone
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Name):
                continue
            if target.id in found and found[target.id] != value:
                raise PyattrxError(
                    f"{path}, line {node.lineno}: {target.id} is assigned two dictionaries"
                )
            _check_keys(path, node.value)
            found[target.id] = value
    return found


def _check_keys(path: Path, node: ast.Dict) -> None:
    """Refuse a key that is there twice, of which Python would drop the first."""
    seen = set()
    for key, value in zip(node.keys, node.values, strict=True):
        assert key is not None  # no ** in constants
        name = ast.literal_eval(key)
        if name in seen:
            raise PyattrxError(f"{path}, line {key.lineno}: {name!r} is there twice")
        seen.add(name)
        if isinstance(value, ast.Dict):
            _check_keys(path, value)
