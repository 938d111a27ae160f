"""Result files: written whole, read and checked, and two of them side by side."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyattrx.errors import InvalidValueError

__all__ = ["compare", "load", "results_path", "write_results"]

_FOLDER = Path(__file__).parent
_EXPECTED = "a JSON file written by `pyattrx bench ops`, `pipeline` or `gpu`"


def results_path(benchmark: str, quick: bool = False) -> Path:
    """Return where results go by default: into the sources, or the current folder elsewhere.

    Quick ones are to see that it works, and never take the place of others.
    """
    if quick:
        return Path(f"pyattrx-bench-{benchmark}-quick.json")
    if (_FOLDER.parent / "pyproject.toml").is_file():
        return _FOLDER / "results" / f"{benchmark}.json"
    return Path(f"pyattrx-bench-{benchmark}.json")


def write_results(document: dict[str, Any], path: Path | None) -> Path:
    """Write a benchmark's results as JSON, whole or not at all.

    Parameters
    ----------
    document : dict
        What a benchmark returned.
    path : Path, optional
        Where to; `results_path` of the benchmark if left out.

    Returns
    -------
    Path
        Where it was written.
    """
    path = path or results_path(document["benchmark"], document["settings"]["quick"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load(path: Path) -> dict[str, Any]:
    """Read what a benchmark wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Its document.

    Raises
    ------
    InvalidValueError
        There is no such file, or it is something else.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidValueError("file", str(path), f"{_EXPECTED} ({error})") from None
    try:
        complete = isinstance(document["machine"], dict) and isinstance(document["settings"], dict)
        complete &= isinstance(document["benchmark"], str)
        for _, case in _cases(document):
            complete &= isinstance(case["name"], str)
            for candidate in case["candidates"].values():
                candidate["ms"] + candidate["ratio"]
    except (KeyError, TypeError, AttributeError, ValueError):
        complete = False
    if not complete:
        raise InvalidValueError("file", str(path), f"{_EXPECTED}; its fields are others")
    return dict(document)


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Put two files side by side.

    Parameters
    ----------
    a, b : Path
        Files that `load` accepts.

    Returns
    -------
    dict
        ``rows`` with milliseconds of both and b / a, for each case and candidate that both have;
        ``only_in_a`` and ``only_in_b``; where ``machine``, its ``ceilings`` and ``settings``
        differ, as pairs.

    Raises
    ------
    InvalidValueError
        A file is missing, or something else.
    """
    left, right = load(a), load(b)
    ceilings = [document["machine"].pop("ceilings", {}) for document in (left, right)]
    times = [dict(_times(document)) for document in (left, right)]
    rows = [
        {
            "case": case,
            "candidate": candidate,
            "a_ms": ms,
            "b_ms": times[1][case, candidate],
            "b_over_a": times[1][case, candidate] / ms if ms else None,
        }
        for (case, candidate), ms in times[0].items()
        if (case, candidate) in times[1]
    ]
    return {
        "a": str(a),
        "b": str(b),
        "machine": _differences(left["machine"], right["machine"]),
        "ceilings": _differences(*ceilings),
        "settings": _differences(left["settings"], right["settings"]),
        "rows": rows,
        "only_in_a": [list(key) for key in times[0] if key not in times[1]],
        "only_in_b": [list(key) for key in times[1] if key not in times[0]],
    }


def _cases(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for case in document["cases"]:
        yield case["name"], case
    for name, cases in document.get("sweeps", {}).items():
        for case in cases:
            yield f"over {name}: {case['name']}", case


def _times(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    for title, case in _cases(document):
        for name, candidate in case["candidates"].items():
            yield (title, name), candidate["ms"]


def _differences(a: dict[str, Any], b: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        key: [a.get(key), b.get(key)]
        for key in [*a, *(set(b) - set(a))]
        if a.get(key) != b.get(key)
    }
