"""Kinds of rooms: what tells a gym from a study."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ROOMS", "Room"]


@dataclass(frozen=True)
class Room:
    """What one kind of room looks like: colours of wall and floor, textures, likely furniture."""

    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    wall_textures: tuple[str, ...]
    floor_textures: tuple[str, ...]
    furniture: dict[str, float]


ROOMS = {
    "store": Room(
        (0.55, 0.52, 0.48), (0.45, 0.44, 0.43), ("brick", "plaster"), ("gravel", "speckle"),
        {"crate": 6, "shelf": 4, "column": 1, "lamp": 1},
    ),
    "gym": Room(
        (0.75, 0.72, 0.55), (0.72, 0.50, 0.28), ("plaster", "checks"), ("planks",),
        {"ball": 6, "crate": 1, "column": 2, "chair": 1, "rug": 2},
    ),
    "dining": Room(
        (0.78, 0.62, 0.50), (0.50, 0.33, 0.20), ("plaster", "stripes"), ("planks", "checks"),
        {"table": 4, "chair": 6, "lamp": 1, "picture": 2, "plant": 1},
    ),
    "living": Room(
        (0.70, 0.74, 0.66), (0.52, 0.42, 0.34), ("plaster", "stripes"), ("planks", "weave"),
        {"sofa": 5, "lamp": 2, "table": 1, "picture": 3, "rug": 3, "plant": 1},
    ),
    "winter garden": Room(
        (0.62, 0.70, 0.62), (0.38, 0.46, 0.30), ("brick", "clouds"), ("grass", "gravel"),
        {"plant": 7, "chair": 1, "table": 1, "column": 1},
    ),
    "gallery": Room(
        (0.85, 0.84, 0.82), (0.42, 0.42, 0.46), ("plaster",), ("speckle", "checks"),
        {"picture": 6, "column": 4, "ball": 1, "sofa": 1},
    ),
    "study": Room(
        (0.55, 0.60, 0.70), (0.36, 0.26, 0.20), ("stripes", "plaster"), ("weave", "planks"),
        {"shelf": 5, "table": 2, "chair": 2, "lamp": 2, "picture": 1},
    ),
    "nursery": Room(
        (0.80, 0.68, 0.74), (0.66, 0.62, 0.56), ("clouds", "checks"), ("weave", "clouds"),
        {"ball": 3, "crate": 2, "rug": 3, "chair": 2, "picture": 1, "shelf": 1},
    ),
}  # fmt: skip
