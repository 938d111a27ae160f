"""Scores of every method for a set of networks and of probes, a CSV file each.

What is there is not made again. Rows are targets, columns are sources. For the methods of `JUDGED`
there are the scores without each block of probes, too, from which intervals over probes are made.
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
from pyattrx.affinities import BlockSums, Scores
from pyattrx.errors import PyattrxError
from pyattrx.methods import Summary
from pyattrx.statistics import jackknife_blocks

from ..minitaskonomy.jobs import Say
from ..minitaskonomy.presets import Preset
from .describe import describe, read
from .methods import BASE, FEWER_PROBES, JUDGED
from .networks import Network, Networks
from .probes import make_probes

__all__ = [
    "COUNTS",
    "blocks_file",
    "compute_scores",
    "describe_networks",
    "described_folder",
    "fitted_run",
    "read_blocks",
    "read_scores",
    "score",
    "score_file",
    "write_blocks",
    "write_scores",
]

COUNTS = (8, 32, 128)
Blocks = tuple[NDArray[np.float64], NDArray[np.int64]]

_UNIT = 2.0**-10  # of what a block is worth, in half precision


def score_file(root: Path, run: str, probes: str, name: str, count: int | None = None) -> Path:
    """Return where the scores of a method are; `count` for fewer probes than all."""
    suffix = "" if count is None else f"@{count}"
    return root / "scores" / run / probes / f"{name}{suffix}.csv"


def blocks_file(root: Path, run: str, probes: str, name: str) -> Path:
    """Return where the scores without each block of probes are."""
    return root / "scores" / run / probes / f"{name}.blocks.npz"


def fitted_run(seed: int) -> str:
    """Name the scores of targets whose networks saw only the images of one transfer."""
    return f"fitted-seed{seed}"


def describe_networks(
    folder: Path,
    preset: Preset,
    networks: Networks,
    kind: str,
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
    networks : Networks
    kind : str
        Of the probes, one of `PROBE_SETS`.
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
    for network in networks.members:
        if not network.file(folder).is_file():
            missing.append(network.label)
            continue
        into = described_folder(folder, network, kind)
        made = describe(network.load(folder), probes, into, methods)
        if made:
            say(f"{network.label}, {network.run}, {kind}: {', '.join(made)}")
    return missing, probes


def compute_scores(
    folder: Path,
    preset: Preset,
    networks: Networks,
    kind: str,
    root: Path,
    say: Say,
    methods: Sequence[str] = tuple(BASE),
    counts: Sequence[int] = COUNTS,
) -> list[Path]:
    """Compare described networks by every method whose file is missing.

    Parameters
    ----------
    folder, preset, networks, kind, say, methods
        As for `describe_networks`, which makes what is missing first; all networks must be there.
    root : Path
        Where files go, see `score_file`.
    counts : sequence of int
        Numbers of probes that the methods of `FEWER_PROBES` are tried with, too.

    Returns
    -------
    list of Path
        What was written.
    """
    wanted: list[tuple[str, int | None]] = [(name, None) for name in methods]
    fewer = [n for n in counts if n < preset.probes]
    wanted += [(name, n) for name in methods if name in FEWER_PROBES for n in fewer]
    files = {
        (name, count): [
            score_file(root, networks.run, kind, name, count),
            *([blocks_file(root, networks.run, kind, name)] if _with_blocks(name, count) else []),
        ]
        for name, count in wanted
    }
    missing = [w for w, pair in files.items() if not all(file.is_file() for file in pair)]
    if not missing:
        return []
    needed = tuple(dict.fromkeys(name for name, _ in missing))
    absent, probes = describe_networks(folder, preset, networks, kind, say, needed)
    if absent:
        say(f"{networks.run}: without {', '.join(absent)} there are no scores yet")
        return []
    groups = np.asarray(probes.groups)
    blocks = jackknife_blocks(groups)
    written = []
    for name, count in missing:
        kept = [read(described_folder(folder, n, kind), name) for n in networks.members]
        found = score(name, kept, groups, count, blocks if _with_blocks(name, count) else None)
        for file in files[name, count]:
            if file.is_file():
                continue
            if file.suffix == ".csv":
                write_scores(file, found.values, networks.labels)
            else:
                write_blocks(file, found, blocks)
            written.append(file)
            say(f"wrote {file}")
    return written


def _with_blocks(name: str, count: int | None) -> bool:
    return name in JUDGED and count is None


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


def write_blocks(file: Path, scores: Scores, blocks: NDArray[np.int64]) -> None:
    """Write what the scores are without each block: by how much less, in half precision."""
    with np.errstate(over="ignore"):
        less = ((scores.values - scores.without) / _UNIT).astype(np.float16)
    if not np.isfinite(less).all():
        raise PyattrxError(f"{file}: scores change too much without a block to be written")
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        np.savez_compressed(out, less=less, blocks=blocks.astype(np.uint8))


def read_blocks(file: Path, names: Sequence[str], chosen: Sequence[str]) -> Blocks:
    """Read what `write_blocks` wrote of some of the networks.

    Parameters
    ----------
    file : Path
    names : sequence of str
        All of the networks.
    chosen : sequence of str
        Those that are asked for.

    Returns
    -------
    less : ndarray [K, M, M], float64
        By how much scores are less without each block.
    blocks : ndarray [N], int64
        Block of each probe.
    """
    places = [list(names).index(name) for name in chosen]
    with np.load(file) as found:
        less = found["less"].astype(np.float64) * _UNIT
        return less[:, places][:, :, places], found["blocks"].astype(np.int64)


def described_folder(folder: Path, network: Network, kind: str) -> Path:
    """Return where what is kept of a network is."""
    return folder / "descriptors" / network.run / kind / network.task


def score(
    name: str,
    networks: Sequence[dict[str, NDArray[np.float32]]],
    groups: NDArray[np.int64],
    count: int | None = None,
    blocks: NDArray[np.int64] | None = None,
) -> Scores:
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
    blocks : ndarray [N], int64, optional
        Block of each probe, if scores without each block are wanted.

    Returns
    -------
    Scores
        Rows are targets.
    """
    parts = [
        {key: torch.from_numpy(value[:count]) for key, value in network.items()}
        for network in networks
    ]
    some = groups[:count]
    method = BASE[name]
    if not isinstance(method, FeatureMethod):
        maps = torch.stack([part["maps"] for part in parts])
        values = np.asarray(ops.cosine_affinity(maps).numpy())
        if blocks is None:
            return Scores(values, np.zeros((0, *values.shape)))
        sums = BlockSums(blocks)
        sums.add(np.arange(len(some)), np.asarray(ops.probe_cosines(maps).numpy()))
        return sums.scores(values)
    descriptor = method
    summaries: list[Summary] = [descriptor.summarize(part) for part in parts]
    of_probe = np.zeros(len(some), np.int64) if blocks is None else blocks
    return Scores(*descriptor.compare(summaries, summaries, some, of_probe))
