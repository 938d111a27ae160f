"""Scores of every method for one set of encoders and one set of probes, a CSV file each.

What is there is not made again. The networks are the sources of `minitaskonomy`, the untrained
control last; rows are targets, columns are sources.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pyattrx import FeatureMethod, Probes, evaluate, ops
from pyattrx._files import atomic_write
from pyattrx.demo.networks.mini_taskonomy import as_encoder, load_encoder
from pyattrx.descriptors import Summary, feature_descriptor

from ..minitaskonomy.jobs import Say
from ..minitaskonomy.presets import Preset
from ..minitaskonomy.train import encoder_file
from .describe import describe, read
from .methods import BASE, FEWER_PROBES
from .probes import make_probes

__all__ = [
    "COUNTS",
    "compute_scores",
    "describe_networks",
    "described_folder",
    "fitted_run",
    "read_scores",
    "score",
    "score_file",
    "write_scores",
]

COUNTS = (8, 32, 128)


def score_file(root: Path, run: str, probes: str, name: str, count: int | None = None) -> Path:
    """Return where the scores of a method are; `count` for fewer probes than all."""
    suffix = "" if count is None else f"@{count}"
    return root / "scores" / run / probes / f"{name}{suffix}.csv"


def fitted_run(seed: int) -> str:
    """Name the scores of targets whose networks saw only the images of one transfer."""
    return f"fitted-seed{seed}"


def describe_networks(
    folder: Path,
    preset: Preset,
    seed: int,
    kind: str,
    names: Sequence[str],
    say: Say,
    methods: Sequence[str] = tuple(BASE),
) -> tuple[list[str], Probes]:
    """Make what methods need of every network that has been trained.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`, with encoders.
    preset : Preset
        Of its data.
    seed : int
        Of the encoders.
    kind : str
        Of the probes, one of `PROBE_SETS`.
    names : sequence of str
        Networks.
    say : callable
        Is told what is done.
    methods : sequence of str
        Names in `BASE`.

    Returns
    -------
    (list of str, Probes)
        Networks that are missing yet, and the probes.
    """
    probes = make_probes(kind, folder, preset)
    missing = []
    for name in names:
        file = encoder_file(folder, "residual", seed, name)
        if not file.is_file():
            missing.append(name)
            continue
        encoder = as_encoder(load_encoder(file, "residual"), name)
        made = describe(encoder, probes, described_folder(folder, seed, kind) / name, methods)
        if made:
            say(f"{name}, seed {seed}, {kind}: {', '.join(made)}")
    return missing, probes


def compute_scores(
    folder: Path,
    preset: Preset,
    seed: int,
    kind: str,
    names: Sequence[str],
    root: Path,
    say: Say,
    methods: Sequence[str] = tuple(BASE),
) -> list[Path]:
    """Compare described networks by every method whose file is missing.

    Parameters
    ----------
    folder, preset, seed, kind, names, say, methods
        As for `describe_networks`, which makes what is missing first; all networks must be there.
    root : Path
        Where files go, see `score_file`.

    Returns
    -------
    list of Path
        What was written.
    """
    run = f"residual-seed{seed}"
    wanted = [(name, None) for name in methods]
    counts = [n for n in COUNTS if n < preset.probes]
    wanted += [(name, n) for name in methods if name in FEWER_PROBES for n in counts]  # type: ignore[misc]
    missing = [w for w in wanted if not score_file(root, run, kind, *w).is_file()]
    if not missing:
        return []
    absent, probes = describe_networks(folder, preset, seed, kind, names, say, methods)
    if absent:
        say(f"seed {seed}: without {', '.join(absent)} there are no scores yet")
        return []
    groups = np.asarray(probes.groups)
    described = described_folder(folder, seed, kind)
    written = []
    for name, count in missing:
        kept = [read(described / network, name) for network in names]
        values = score(name, kept, groups, count)
        file = score_file(root, run, kind, name, count)
        write_scores(file, values, names)
        written.append(file)
        say(f"wrote {file}")
    return written


def write_scores(
    file: Path,
    values: NDArray[np.float64],
    targets: Sequence[str],
    sources: Sequence[str] | None = None,
) -> None:
    """Write scores [T, S] with six digits, readable by `evaluate.read_table`."""
    text = io.StringIO()
    text.write(",".join(["target", *(targets if sources is None else sources)]) + "\n")
    for name, row in zip(targets, values, strict=True):
        text.write(",".join([name, *(f"{value:.6g}" for value in row)]) + "\n")
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(text.getvalue().encode())


def read_scores(file: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Read the scores of some networks, [M, M]."""
    return evaluate.read_table(file).select(names, names).values


def described_folder(folder: Path, seed: int, kind: str) -> Path:
    """Return where what is kept of networks is."""
    return folder / "descriptors" / f"residual-seed{seed}" / kind


def score(
    name: str,
    networks: Sequence[dict[str, NDArray[np.float32]]],
    groups: NDArray[np.int64],
    count: int | None = None,
) -> NDArray[np.float64]:
    """Compare described networks by a method.

    Parameters
    ----------
    name : str
        In `BASE`.
    networks : sequence of dict
        What `describe.read` returned for it.
    groups : ndarray [N], int64
        Of the probes.
    count : int, optional
        Use only so many of the probes, the first ones.

    Returns
    -------
    ndarray [M, M], float64
        Rows are targets.
    """
    parts = [
        {key: torch.from_numpy(value[:count]) for key, value in network.items()}
        for network in networks
    ]
    method = BASE[name]
    if not isinstance(method, FeatureMethod):
        maps = torch.stack([part["maps"] for part in parts])
        return np.asarray(ops.cosine_affinity(maps).numpy())
    descriptor = feature_descriptor(method)
    summaries: list[Summary] = [descriptor.summarise(part) for part in parts]
    some = groups[:count]
    together = np.zeros(len(some), np.int64)  # one block: no standard errors are made
    values, _ = descriptor.compare(summaries, summaries, some, together)
    return values
