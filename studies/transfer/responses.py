"""Adversarial responses of the demo's encoders over its probes, and what they are held against.

The method keeps a few directions of every network, and what a target does in any other direction
counts as nothing. So every source's step is really taken at every target, too; and both ways with
steps of random signs in the place of the source's own, which know nothing of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pyattrx.demo.minitaskonomy
from benchmarks.measure import machine
from pyattrx import Encoder, FeatureMethod, Method, Probes, methods
from pyattrx._files import atomic_write
from pyattrx.affinities import BlockSums, Scores
from pyattrx.encoders import PreparedEncoder
from pyattrx.methods import AdversarialResponse, Summary, enlarged
from pyattrx.statistics import jackknife_blocks

from ..minitaskonomy.jobs import Say
from .paths import RUN
from .scores import blocks_file, score_file, write_blocks, write_scores

__all__ = ["DEMO", "RESPONSES", "RIVALS", "compute_responses", "costs_file", "read_costs"]

DEMO = "demo"  # what its probes are called among the scores
RESPONSES: dict[str, AdversarialResponse] = {
    "adversarial_response": AdversarialResponse(),
    "adversarial_response_rank8": AdversarialResponse(rank=8),
    "adversarial_response_grid8": AdversarialResponse(largest_grid=8),
    "adversarial_response_derivative": AdversarialResponse(strength=None),
}
RIVALS: dict[str, Method | FeatureMethod] = {
    "saliency": Method("saliency"),
    "cka": methods.CKA(),
    "perturbation_response": methods.PerturbationResponse(),
    "normalized_ridge_p0.1": methods.NormalizedRidge(penalty=0.1),
}
_MAIN = "adversarial_response"
_SEED = 7


def compute_responses(
    root: Path,
    say: Say,
    *,
    encoders: Callable[[], Sequence[Encoder]] = pyattrx.demo.minitaskonomy.encoders,
    probes: Callable[[], Probes] = pyattrx.demo.minitaskonomy.probes,
    responses: Mapping[str, AdversarialResponse] | None = None,
) -> list[Path]:
    """Score all pairs of the demo's networks by adversarial responses, and by their rivals.

    Parameters
    ----------
    root : Path
        Where tables go, as `score_file` and `blocks_file` say, and `costs_file`.
    say : callable
        Is told what is done.
    encoders, probes : callable
        Return the networks, and what they see.
    responses : mapping of str to AdversarialResponse
        `RESPONSES` if left out; the steps of the first one are taken.

    Returns
    -------
    list of Path
        What was written.
    """
    networks, shown = list(encoders()), probes()
    labels = [network.name for network in networks]
    seconds: dict[str, float] = {}
    written: list[Path] = []

    def write(name: str, scores: Scores, blocks: NDArray[np.int64]) -> None:
        files = score_file(root, RUN, DEMO, name), blocks_file(root, RUN, DEMO, name)
        write_scores(files[0], scores.values, labels)
        write_blocks(files[1], scores, blocks)
        written.extend(files)
        say(f"wrote {files[0]}")

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, rival in RIVALS.items():
            begun = time.process_time()
            found = pyattrx.affinity(networks, shown, rival)
            seconds[name] = (time.process_time() - begun) / (len(shown) * len(networks))
            write(name, *_with_blocks(found, shown))
        for name, method in (responses or RESPONSES).items():
            with _Seen(networks, shown) as seen:
                begun = time.process_time()
                kept = [method.summarize(seen.observed(method, one)) for one in seen.prepared]
                seconds[name] = (time.process_time() - begun) / (len(shown) * len(networks))
                for suffix, scores in seen.scores(method, kept, taken=name == _MAIN):
                    write(name + suffix, scores, seen.blocks)
    finally:
        torch.set_num_threads(threads)
    written.append(_write_costs(root, seconds))
    return written


def costs_file(root: Path) -> Path:
    """Return where the costs of these methods are."""
    return root / "responses-costs.json"


def read_costs(root: Path) -> dict[str, float]:
    """Return the seconds of one thread's CPU time an image and network, by method."""
    found: dict[str, float] = json.loads(costs_file(root).read_text())["seconds an image"]
    return found


def _write_costs(root: Path, seconds: Mapping[str, float]) -> Path:
    facts = {"seconds an image": seconds, **machine(), "threads": 1}
    with atomic_write(costs_file(root)) as out:
        out.write((json.dumps(facts, indent=2) + "\n").encode())
    return costs_file(root)


def _with_blocks(found: pyattrx.Affinity, probes: Probes) -> tuple[Scores, NDArray[np.int64]]:
    blocks = jackknife_blocks(np.asarray(probes.groups))
    if found.cosines is None:
        assert found.without is not None
        return Scores(found.values, found.without), blocks
    sums = BlockSums(blocks)
    sums.add(np.arange(len(probes)), found.cosines)
    return sums.scores(found.values), blocks


class _Seen(ExitStack):
    """Networks that are ready for steps of the probes."""

    def __init__(self, networks: Sequence[Encoder], probes: Probes) -> None:
        super().__init__()
        self.images = probes.images(0, len(probes))
        self.groups = np.asarray(probes.groups)
        self.blocks = jackknife_blocks(self.groups)
        self.prepared = [
            self.enter_context(network.prepare("cpu", self.images[:2], batch_size=64))
            for network in networks
        ]

    def observed(self, method: AdversarialResponse, network: PreparedEncoder) -> dict[str, Tensor]:
        """What the method sees of a network."""
        with torch.no_grad():
            return method.observe(network, self.images, np.arange(len(self.images)))

    def scores(
        self, method: AdversarialResponse, kept: Sequence[Summary], *, taken: bool
    ) -> list[tuple[str, Scores]]:
        """Scores by what was kept; by random signs; and, if wanted, by steps that are taken."""
        blind = [_with_signs(one, number) for number, one in enumerate(kept)]
        found = [
            (suffix, Scores(*method.compare(kept, sources, self.groups, self.blocks)))
            for suffix, sources in (("", kept), ("_signs", blind))
        ]
        if taken:
            moves = [
                self._own_moves(method, *pair) for pair in zip(self.prepared, kept, strict=True)
            ]
            found += [
                (f"_taken{suffix}", self._taken(method, moves, sources))
                for suffix, sources in (("", kept), ("_signs", blind))
            ]
        return found

    def _own_moves(
        self, method: AdversarialResponse, network: PreparedEncoder, kept: Summary
    ) -> NDArray[np.float64]:
        return self._moves(method, network, kept.arrays["output"][:, 0])

    def _taken(
        self,
        method: AdversarialResponse,
        own: Sequence[NDArray[np.float64]],
        sources: Sequence[Summary],
    ) -> Scores:
        shares = np.empty((len(self.images), len(own), len(sources)))
        for row, network in enumerate(self.prepared):
            for column, source in enumerate(sources):
                steps = source.arrays.get("features", source.arrays["output"][:, 0])
                shares[:, row, column] = self._moves(method, network, steps) / own[row]
        sums = BlockSums(self.blocks)
        sums.add(np.arange(len(shares)), shares)
        return sums.scores(shares.mean(0))

    def _moves(
        self, method: AdversarialResponse, network: PreparedEncoder, steps: NDArray[Any]
    ) -> NDArray[np.float64]:
        """How far steps [N, D] move a network's output, [N]."""
        assert method.strength is not None
        side = int((steps.shape[1] // 3) ** 0.5)
        long = torch.from_numpy(method.strength * steps.shape[1] ** 0.5 * steps)
        moved = self.images + enlarged(long.float().view(-1, 3, side, side), self.images)
        plain, after = (network.outputs(network.preprocess(x))[0] for x in (self.images, moved))
        found: NDArray[np.float64] = (after - plain).flatten(1).double().norm(dim=1).numpy()
        return found


def _with_signs(kept: Summary, number: int) -> Summary:
    """A source whose step is random signs of its own for every probe."""
    count, _, width = kept.arrays["output"].shape
    rng = np.random.default_rng([_SEED, number])
    signs = rng.choice([-1.0, 1.0], (count, width)) / width**0.5
    return Summary({**kept.arrays, "features": signs})
