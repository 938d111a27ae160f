"""The ground truth of the study as tables: losses of transfers, and what is made of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyattrx._files import atomic_write
from pyattrx.errors import PyattrxError
from pyattrx.evaluate import Table, transfer_affinities

from ..minitaskonomy.transfer import transfer_folder

__all__ = ["Truth", "gather_truth", "read_truth", "truth_folder"]


def truth_folder(root: Path, run: str) -> Path:
    """Return where the transfers from a set of encoders, such as ``residual-seed0``, are."""
    return root / "truth" / run


@dataclass(frozen=True, eq=False)
class Truth:
    """Transfers from one set of encoders.

    Attributes
    ----------
    targets, sources : tuple of str
    losses : ndarray [T, S, decoders], float64
        Mean loss on held-out images of each decoder.
    """

    targets: tuple[str, ...]
    sources: tuple[str, ...]
    losses: NDArray[np.float64]

    @property
    def table(self) -> Table:
        """Less the mean loss of all decoders: larger is better."""
        return self.of_decoders(range(self.losses.shape[2]))

    def of_decoders(self, chosen: Sequence[int]) -> Table:
        """Less the mean loss of some decoders."""
        return Table(-self.losses[:, :, list(chosen)].mean(2), self.targets, self.sources)

    def select(self, targets: Sequence[str], sources: Sequence[str]) -> Truth:
        """Return some targets and sources."""
        rows = [self.targets.index(name) for name in targets]
        columns = [self.sources.index(name) for name in sources]
        return Truth(tuple(targets), tuple(sources), self.losses[np.ix_(rows, columns)])


def gather_truth(
    folder: Path, seed: int, targets: Sequence[str], root: Path, architecture: str = "residual"
) -> list[Path]:
    """Write what is kept of the transfers from a set of encoders.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`, with all transfers to `targets`.
    seed : int
        Of the encoders.
    targets : sequence of str
        Tasks.
    root : Path
        Where files go, see `truth_folder`.
    architecture : {"residual", "mixer"}
        Of the encoders.

    Returns
    -------
    list of Path
        ``losses.csv`` (target, source, decoder, mean loss), ``trivial.csv`` (target, loss of the
        best constant), ``affinities.csv`` (Taskonomy's, see `pyattrx.evaluate.transfer_affinities`)
        and ``win_rates.csv`` (how often, of the held-out images, one source is better than another,
        a tie counting half; every pair once).
    """
    each, trivial = [], []
    names: list[str] = []
    for target in targets:
        with np.load(transfer_folder(folder, architecture, seed) / f"{target}.npz") as found:
            each.append(found["losses"].astype(np.float64))
            trivial.append(float(found["trivial"].mean(dtype=np.float64)))
            names = found["sources"].tolist()
    losses = np.stack(each)  # [T, S, decoders, images]
    into = truth_folder(root, f"{architecture}-seed{seed}")
    means = losses.mean(3)
    of_images = losses.mean(2)
    rows = [
        (target, source, decoder, f"{means[t, s, decoder]:.6g}")
        for t, target in enumerate(targets)
        for s, source in enumerate(names)
        for decoder in range(means.shape[2])
    ]
    rates = [
        (target, one, other, f"{_win_rate(of_images[t, i], of_images[t, j]):.4f}")
        for t, target in enumerate(targets)
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i < j
    ]
    shares = transfer_affinities(of_images)
    affinities = [
        (target, *(f"{value:.6g}" for value in row))
        for target, row in zip(targets, shares, strict=True)
    ]
    constants = [(t, f"{loss:.6g}") for t, loss in zip(targets, trivial, strict=True)]
    return [
        _write(into / "losses.csv", ("target", "source", "decoder", "loss"), rows),
        _write(into / "trivial.csv", ("target", "loss"), constants),
        _write(into / "affinities.csv", ("target", *names), affinities),
        _write(into / "win_rates.csv", ("target", "source", "over", "rate"), rates),
    ]


def read_truth(root: Path, run: str) -> Truth:
    """Read ``losses.csv`` of a set of encoders.

    Raises
    ------
    PyattrxError
        It is not there, or a transfer is missing in it.
    """
    file = truth_folder(root, run) / "losses.csv"
    if not file.is_file():
        raise PyattrxError(f"{file} is not there: no transfers from {run} have been gathered")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    targets = tuple(dict.fromkeys(row["target"] for row in rows))
    sources = tuple(dict.fromkeys(row["source"] for row in rows))
    decoders = 1 + max(int(row["decoder"]) for row in rows)
    losses = np.full((len(targets), len(sources), decoders), np.nan)
    for row in rows:
        place = targets.index(row["target"]), sources.index(row["source"]), int(row["decoder"])
        losses[place] = float(row["loss"])
    if np.isnan(losses).any():
        raise PyattrxError(f"{file}: a loss is missing")
    return Truth(targets, sources, losses)


def _win_rate(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float((one < other).mean() + (one == other).mean() / 2)


def _write(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(("\n".join(lines) + "\n").encode())
    return file
