"""Strongest and weakest first, on a published network and real photos: is chance a fair rival?

A random order scatters patches, an order by a map does not. Written after it was seen that both
orders of a map stay behind chance; it decides nothing.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

from pyattrx import Method, Probes, faithfulness
from pyattrx._files import atomic_write
from pyattrx.demo.networks import demo_networks
from pyattrx.demo.photos import demo_photos
from pyattrx.demo.run import make_encoder
from pyattrx.statistics import clustered_stderr, degrees_of_freedom, interval

from ..minitaskonomy.jobs import Say

__all__ = ["NETWORK", "Areas", "measure_orders", "read_orders"]

NETWORK = "efficientnet-lite0"
_SIZE, _CROPS, _STEPS = 128, 3, 8
_PATCHES = (8, 32)
_FILL = "blur"


@dataclass(frozen=True)
class Areas:
    """Areas under the curve of the distance for patches of one size.

    Attributes
    ----------
    patch : int
    strongest, weakest, random : float
        Of each order.
    between, low, high : float
        Of the strongest less that of the weakest, and the ends of its 95 % interval.
    """

    patch: int
    strongest: float
    weakest: float
    random: float
    between: float
    low: float
    high: float


def measure_orders(
    file: Path,
    say: Say,
    *,
    patches: tuple[int, ...] = _PATCHES,
    size: int = _SIZE,
    crops: int = _CROPS,
) -> None:
    """Follow the network in both orders, saliency of half the squared norm, and write a CSV."""
    photos = demo_photos()
    probes = Probes.from_images(
        [photo.image for photo in photos], size, crops=crops, names=[p.name for p in photos]
    )
    (network,) = (one for one in demo_networks() if one.name == NETWORK)
    encoder, method = make_encoder(network), Method("saliency", scalar="half_squared_norm")
    found = []
    for patch in patches:
        strong, weak = (
            faithfulness(
                encoder, probes, method, fill=_FILL, order=order, patch=patch, steps=_STEPS
            )
            for order in ("strongest", "weakest")
        )
        one, other = strong.areas["distance"], weak.areas["distance"]
        # Both are held against the same random order, which falls out.
        between = strong.gains() + weak.gains()
        groups = strong.groups
        mean, error = float(between.mean()), float(clustered_stderr(between, groups))
        low, high = interval(mean, error, 0.95, degrees_of_freedom(groups))
        found.append(Areas(patch, one.area, other.area, one.random, mean, low, high))
        say(f"{NETWORK}, patches of {patch}: {mean:+.3f}")
    names = list(asdict(found[0]))
    lines = [",".join(names)]
    lines += [",".join(f"{asdict(one)[name]:.6g}" for name in names) for one in found]
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(("\n".join(lines) + "\n").encode())


def read_orders(file: Path) -> list[Areas]:
    """Read what `measure_orders` wrote; nothing where there is no file yet."""
    if not file.is_file():
        return []
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [
        Areas(int(row["patch"]), **{k: float(v) for k, v in row.items() if k != "patch"})
        for row in rows
    ]
