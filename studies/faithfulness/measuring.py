"""How faithful the maps of every method are, for the encoder of every target."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import machine
from pyattrx import Encoder, Method, Probes, faithfulness_of_each
from pyattrx._files import atomic_write
from pyattrx.demo import minitaskonomy

from ..minitaskonomy.jobs import Say
from ..minitaskonomy.tasks import TARGETS
from ..transfer.methods import BASE
from ..transfer.paths import PATHS
from . import METHODS

__all__ = [
    "FILLS",
    "MEASURES",
    "PATCHES",
    "Gains",
    "facts_file",
    "measure",
    "method_of",
    "read",
    "settings",
]

MEASURES = ("distance", "scalar")
FILLS = ("mean", "blur")
PATCHES = (1, 4)
_PROBES, _STEPS = 32, 8
_FIELDS = ("target", "method", "fill", "patch", "distance", "distance stderr", "scalar",
           "scalar stderr")  # fmt: skip

Setting = tuple[str, str, int]  # what is followed, fill, patch
Gains = dict[tuple[str, str, str, int], dict[str, float]]  # by target, method, fill and patch


@dataclass(frozen=True)
class _Asked:
    """What is asked of the networks; smaller in a test."""

    networks: Mapping[str, Encoder]
    probes: Probes
    methods: Mapping[str, Method]


def settings() -> list[Setting]:
    """What the answer has to hold in."""
    return [(what, fill, patch) for what in MEASURES for fill in FILLS for patch in PATCHES]


def method_of(name: str) -> Method:
    """Return the method of a name of `METHODS`."""
    found: Any = PATHS[name] if name in PATHS else BASE[name]
    assert isinstance(found, Method)
    return found


def measure(
    file: Path,
    say: Say,
    *,
    networks: Callable[[], Sequence[Encoder]] = minitaskonomy.encoders,
    methods: Sequence[str] = METHODS,
    count: int = _PROBES,
) -> None:
    """Measure every target's encoder where it is missing; a run that was stopped goes on.

    Parameters
    ----------
    file : Path
        A CSV that rows are added to; what machine it was is beside it.
    say : callable
        Is told what is done.
    networks : callable
        Returns the encoders; those that are targets are measured.
    methods : sequence of str
    count : int
        Probes, the demo's first ones.
    """
    asked = _Asked(
        {encoder.name: encoder for encoder in networks() if encoder.name in TARGETS},
        minitaskonomy.probes().take(np.arange(count)),
        {name: method_of(name) for name in methods},
    )
    found = read(file)
    for target, encoder in asked.networks.items():
        begun, made = time.process_time(), 0
        for fill in FILLS:
            for patch in PATCHES:
                if all((target, name, fill, patch) in found for name in methods):
                    continue
                results = faithfulness_of_each(
                    encoder, asked.probes, list(asked.methods.values()),
                    fill=fill, patch=patch, steps=_STEPS,
                )  # fmt: skip
                for name, one in zip(methods, results, strict=True):
                    found[target, name, fill, patch] = {
                        key: value
                        for what, area in one.areas.items()
                        for key, value in (
                            (what, area.gain),
                            (f"{what} stderr", area.gain_stderr),
                        )
                    }
                made += 1
        if made:
            _write(file, found)
            say(f"{target}: {made} settings, {time.process_time() - begun:.0f} s of the CPU")
    facts = {"probes": count, "steps": _STEPS, **machine(), "threads": 1}
    with atomic_write(facts_file(file)) as out:
        out.write((json.dumps(facts, indent=2) + "\n").encode())


def facts_file(file: Path) -> Path:
    """Return where it says on what machine the rows of a file were measured."""
    return file.with_name(f"{file.stem}-machine.json")


def read(file: Path) -> Gains:
    """Read gains over a random order; nothing where there is no file yet."""
    found: Gains = {}
    if file.is_file():
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                key = row["target"], row["method"], row["fill"], int(row["patch"])
                found[key] = {name: float(row[name]) for name in _FIELDS[4:]}
    return found


def _write(file: Path, found: Gains) -> None:
    lines = [",".join(_FIELDS)]
    for key, values in found.items():
        numbers = (f"{values[name]:.6g}" for name in _FIELDS[4:])
        lines.append(",".join([*map(str, key), *numbers]))
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(("\n".join(lines) + "\n").encode())
