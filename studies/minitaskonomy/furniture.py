"""Pieces of furniture as primitives; each kind has its own shapes, colours and textures.

A piece is described around the origin of the floor, in metres, before it is turned and placed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .textures import PICTURES

__all__ = ["BOX", "CYLINDER", "ELLIPSOID", "FURNITURE", "Part"]

BOX, ELLIPSOID, CYLINDER = range(3)

Triple = tuple[float, float, float]
Rng = np.random.Generator

_WOOD, _DARK, _METAL = (0.62, 0.40, 0.20), (0.36, 0.22, 0.14), (0.45, 0.46, 0.50)
_RED, _BLUE, _PURPLE = (0.80, 0.18, 0.16), (0.20, 0.34, 0.72), (0.50, 0.26, 0.52)
_YELLOW, _GREEN, _CLAY = (0.92, 0.80, 0.36), (0.20, 0.50, 0.18), (0.68, 0.36, 0.24)
_STONE, _TEAL, _ORANGE = (0.74, 0.70, 0.62), (0.20, 0.46, 0.46), (0.86, 0.50, 0.18)


@dataclass(frozen=True)
class Part:
    """One primitive of a piece: shape, centre, half extents, colour, texture.

    `fills` stretches the texture once over the primitive, where it would repeat otherwise.
    """

    shape: int
    center: Triple
    half: Triple
    color: Triple
    texture: str
    fills: bool = False


def _crate(rng: Rng) -> list[Part]:
    side = rng.uniform(0.2, 0.45)
    high = side * rng.uniform(0.8, 1.3)
    return [Part(BOX, (0, 0, high), (side, side, high), _WOOD, "planks")]


def _ball(rng: Rng) -> list[Part]:
    r = rng.uniform(0.18, 0.5)
    return [Part(ELLIPSOID, (0, 0, r), (r, r, r), _RED, "stripes")]


def _column(rng: Rng) -> list[Part]:
    r, high = rng.uniform(0.14, 0.3), rng.uniform(0.6, 1.4)
    return [
        Part(CYLINDER, (0, 0, high), (r, r, high), _STONE, "speckle"),
        Part(BOX, (0, 0, 0.08), (r * 1.3, r * 1.3, 0.08), _STONE, "speckle"),
    ]


def _table(rng: Rng) -> list[Part]:
    x, y, high = rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.5), rng.uniform(0.6, 0.8)
    leg = 0.05
    legs = [
        Part(BOX, (a * (x - leg), b * (y - leg), high / 2), (leg, leg, high / 2), _DARK, "planks")
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    return [Part(BOX, (0, 0, high), (x, y, 0.05), _DARK, "planks"), *legs]


def _chair(rng: Rng) -> list[Part]:
    half, seat, back = rng.uniform(0.2, 0.27), rng.uniform(0.4, 0.5), rng.uniform(0.25, 0.35)
    return [
        Part(BOX, (0, 0, seat), (half, half, 0.05), _BLUE, "weave"),
        Part(BOX, (0, -half, seat + back), (half, 0.04, back), _BLUE, "weave"),
        Part(CYLINDER, (0, 0, seat / 2), (0.06, 0.06, seat / 2), _METAL, "plaster"),
    ]


def _sofa(rng: Rng) -> list[Part]:
    x, y = rng.uniform(0.6, 1.0), rng.uniform(0.35, 0.45)
    return [
        Part(BOX, (0, 0, 0.22), (x, y, 0.22), _PURPLE, "weave"),
        Part(BOX, (0, -y, 0.45), (x, 0.12, 0.45), _PURPLE, "weave"),
        Part(BOX, (-x, 0, 0.32), (0.1, y, 0.32), _PURPLE, "weave"),
        Part(BOX, (x, 0, 0.32), (0.1, y, 0.32), _PURPLE, "weave"),
    ]


def _lamp(rng: Rng) -> list[Part]:
    high, r = rng.uniform(1.1, 1.7), rng.uniform(0.18, 0.3)
    return [
        Part(CYLINDER, (0, 0, high / 2), (0.035, 0.035, high / 2), _METAL, "plaster"),
        Part(ELLIPSOID, (0, 0, high), (r, r, r * 0.8), _YELLOW, "plaster"),
    ]


def _plant(rng: Rng) -> list[Part]:
    pot, r, high = rng.uniform(0.15, 0.22), rng.uniform(0.25, 0.45), rng.uniform(0.3, 0.6)
    return [
        Part(CYLINDER, (0, 0, 0.18), (pot, pot, 0.18), _CLAY, "plaster"),
        Part(ELLIPSOID, (0, 0, 0.36 + high * 0.8), (r, r, high), _GREEN, "grass"),
    ]


def _shelf(rng: Rng) -> list[Part]:
    x, y, high = rng.uniform(0.35, 0.7), rng.uniform(0.14, 0.22), rng.uniform(0.6, 1.05)
    return [Part(BOX, (0, 0, high), (x, y, high), _TEAL, "shelves")]


def _picture(rng: Rng) -> list[Part]:
    x, z = rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.45)
    texture = PICTURES[int(rng.integers(len(PICTURES)))]
    return [Part(BOX, (0, 0, 0), (x, 0.03, z), (0.5, 0.5, 0.5), texture, fills=True)]


def _rug(rng: Rng) -> list[Part]:
    x, y = rng.uniform(0.5, 1.1), rng.uniform(0.4, 0.8)
    if rng.random() < 0.4:
        return [Part(CYLINDER, (0, 0, 0.012), (x, x, 0.012), _ORANGE, "weave")]
    return [Part(BOX, (0, 0, 0.012), (x, y, 0.012), _ORANGE, "weave")]


FURNITURE: dict[str, Callable[[Rng], list[Part]]] = {
    "crate": _crate,
    "ball": _ball,
    "column": _column,
    "table": _table,
    "chair": _chair,
    "sofa": _sofa,
    "lamp": _lamp,
    "plant": _plant,
    "shelf": _shelf,
    "picture": _picture,
    "rug": _rug,
}
