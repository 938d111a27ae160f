"""How much of everything: `FULL` is the benchmark, `SMOKE` shows in minutes that it works."""

from __future__ import annotations

from dataclasses import dataclass

from pyattrx.errors import InvalidValueError

__all__ = ["FULL", "PRESETS", "SMOKE", "Preset", "find_preset"]


@dataclass(frozen=True)
class Preset:
    """Sizes of a run.

    Parameters
    ----------
    name : str
        What the command line calls it.
    train, transfer, test, probes : int
        Scenes that encoders learn from, that transfers learn from, that both are judged by, and
        that nothing but affinities sees.
    iterations, batch : int
        Of an encoder.
    decoders : int
        Transfers of every pair, each with its own initial values and images.
    subset : int
        Images of one transfer; `decoders` disjoint subsets fit `transfer`.
    transfer_iterations, transfer_batch : int
        Of a transfer to a map; half as many iterations for classes and numbers.
    seed : int
        Of the scenes.
    """

    name: str
    train: int
    transfer: int
    test: int
    probes: int
    iterations: int
    decoders: int
    subset: int
    transfer_iterations: int
    batch: int = 32
    transfer_batch: int = 32
    seed: int = 2019

    @property
    def scenes(self) -> int:
        """Number of scenes in all."""
        return self.train + self.transfer + self.test + self.probes

    def split(self, name: str) -> slice:
        """Return where the scenes of ``train``, ``transfer``, ``test`` or ``probes`` are."""
        start = 0
        for split in ("train", "transfer", "test", "probes"):
            size = int(getattr(self, split))
            if split == name:
                return slice(start, start + size)
            start += size
        raise InvalidValueError("split", name, "train, transfer, test or probes")


FULL = Preset("full", 8000, 1000, 744, 256, 1500, 3, 320, 200)
SMOKE = Preset("smoke", 320, 96, 48, 16, 60, 2, 48, 30)
PRESETS = {preset.name: preset for preset in (FULL, SMOKE)}


def find_preset(name: str) -> Preset:
    """Return a preset by name; `InvalidValueError` if there is none."""
    if name not in PRESETS:
        raise InvalidValueError("preset", name, f"one of {', '.join(PRESETS)}")
    return PRESETS[name]
