"""Indoor-like scenes from a seed: a textured room, furniture made of primitives, a lamp, a camera.

Lengths are metres. The world is right-handed with z up; a room is the box from the origin to
`Scene.room`. Surfaces 0 to 5 are the room's (x low, x high, y low, y high, floor, ceiling), the
others are the primitives, in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .furniture import BOX, FURNITURE, Part
from .rooms import ROOMS, Room
from .textures import TEXTURE_SIZE, TEXTURES

__all__ = ["CLASSES", "Camera", "Scene", "make_scene"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CLASSES = ("wall", "floor", "ceiling", *FURNITURE)
_WALL, _FLOOR, _CEILING = range(3)
_MOST_PRIMITIVES = 18
_CLEARANCE = 0.35  # metres from the camera to furniture and walls, at least


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes
    ----------
    eye : ndarray, float64, [3]
        Where it stands.
    yaw, pitch, roll : float
        Radians: direction of view from the x axis, counter-clockwise seen from above; upwards;
        clockwise.
    half_width : float
        Tangent of half the angle of view, horizontally and vertically.
    """

    eye: Floats
    yaw: float
    pitch: float
    roll: float
    half_width: float

    @property
    def axes(self) -> Floats:
        """Rows: right, up and backwards, in world coordinates."""
        cos_yaw, sin_yaw = math.cos(self.yaw), math.sin(self.yaw)
        cos_pitch, sin_pitch = math.cos(self.pitch), math.sin(self.pitch)
        forward = np.array([cos_yaw * cos_pitch, sin_yaw * cos_pitch, sin_pitch])
        right = np.array([sin_yaw, -cos_yaw, 0.0])
        up = np.cross(right, forward)
        cos_roll, sin_roll = math.cos(self.roll), math.sin(self.roll)
        return np.stack(
            [cos_roll * right - sin_roll * up, cos_roll * up + sin_roll * right, -forward]
        )


@dataclass(frozen=True)
class Scene:
    """Everything that there is to see, S surfaces of which 6 are the room's.

    Attributes
    ----------
    kind : int
        Which of `rooms.ROOMS`.
    room : ndarray, float64, [3]
        Width, depth and height.
    camera : Camera
        Inside the room and outside of all furniture.
    light : ndarray, float64, [3]
        Where the lamp hangs.
    light_color : ndarray, float64, [3]
        Its colour and strength.
    shapes : ndarray, int64, [S - 6]
        What the primitives are: box, ellipsoid or upright cylinder (`furniture.BOX` ...).
    centers, halves : ndarray, float64, [S - 6, 3]
        Their centres and half extents.
    yaws : ndarray, float64, [S - 6]
        How far they are turned around the vertical.
    classes, objects, textures : ndarray, int64, [S]
        Of every surface: which of `CLASSES`, to which object it belongs, which of `TEXTURES`.
    colors : ndarray, float64, [S, 3]
        Its colour where the texture has its mean.
    scales, offsets : ndarray, float64, [S, 3]
        Texels per metre along its own axes, and texels at its origin.
    """

    kind: int
    room: Floats
    camera: Camera
    light: Floats
    light_color: Floats
    shapes: Integers
    centers: Floats
    halves: Floats
    yaws: Floats
    classes: Integers
    objects: Integers
    textures: Integers
    colors: Floats
    scales: Floats
    offsets: Floats


class _Builder:
    """Collects surfaces."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.columns: dict[str, list[Any]] = {
            name: []
            for name in (
                "shapes", "centers", "halves", "yaws", "classes", "objects", "textures", "colors",
                "scales", "offsets",
            )
        }  # fmt: skip
        self.objects = 0

    def surface(self, class_: int, texture: str, color: Floats, density: float) -> None:
        add = self.columns
        add["classes"].append(class_)
        add["objects"].append(self.objects)
        add["textures"].append(TEXTURES.index(texture))
        add["colors"].append(np.clip(color, 0.02, 1.0))
        add["scales"].append(np.full(3, density))
        add["offsets"].append(self.rng.uniform(0, TEXTURE_SIZE, 3))

    def furniture(self, name: str, parts: list[Part], place: Floats, yaw: float) -> None:
        shift = self.rng.normal(0, 0.08, 3)  # one lot of paint for the whole piece
        cos, sin = math.cos(yaw), math.sin(yaw)
        for part in parts:
            self.surface(CLASSES.index(name), part.texture, np.array(part.color) + shift, 70.0)
            x, y, z = part.center
            half = np.array(part.half)
            add = self.columns
            add["shapes"].append(part.shape)
            add["centers"].append(place + np.array([cos * x - sin * y, sin * x + cos * y, z]))
            add["halves"].append(half)
            add["yaws"].append(yaw)
            if part.fills:  # one picture, not a pattern that repeats
                add["scales"][-1] = TEXTURE_SIZE / 2 / half
                add["offsets"][-1] = np.full(3, TEXTURE_SIZE / 2)
        self.objects += 1


def make_scene(seed: int, index: int, attempt: int = 0) -> Scene:
    """Make up a scene.

    Parameters
    ----------
    seed, index, attempt : int
        Non-negative; the same three give the same scene.

    Returns
    -------
    Scene
        At most 18 primitives.

    Examples
    --------
    >>> scene = make_scene(0, 7)
    >>> bool((scene.camera.eye < scene.room).all()), len(scene.shapes) <= 18
    (True, True)
    """
    rng = np.random.default_rng([seed, index, attempt])
    kind = int(rng.integers(len(ROOMS)))
    style = list(ROOMS.values())[kind]
    room = np.array([rng.uniform(3.5, 7.5), rng.uniform(3.5, 7.5), rng.uniform(2.4, 3.4)])
    builder = _Builder(rng)
    _add_room(builder, style)
    occupied = _add_furniture(builder, style, room)
    camera = _place_camera(rng, room, occupied)
    strength = rng.uniform(0.9, 1.25)
    columns = builder.columns
    surfaces: dict[str, Any] = {
        name: np.array(columns[name], dtype=np.int64)
        for name in ("shapes", "classes", "objects", "textures")
    }
    surfaces |= {
        name: np.array(columns[name], dtype=np.float64).reshape(-1, 3)
        for name in ("centers", "halves", "colors", "scales", "offsets")
    }
    return Scene(
        kind=kind,
        room=room,
        camera=camera,
        light=np.array([*(rng.uniform(0.2, 0.8, 2) * room[:2]), room[2] - 0.15]),
        light_color=strength * (1 + rng.normal(0, 0.05, 3)),
        yaws=np.array(columns["yaws"], dtype=np.float64),
        **surfaces,
    )


def _add_room(builder: _Builder, style: Room) -> None:
    rng = builder.rng
    wall = np.array(style.wall) + rng.normal(0, 0.06, 3)
    texture = str(rng.choice(style.wall_textures))
    for _ in range(4):
        builder.surface(_WALL, texture, wall, 60.0)
        builder.objects += 1
    floor = np.array(style.floor) + rng.normal(0, 0.05, 3)
    builder.surface(_FLOOR, str(rng.choice(style.floor_textures)), floor, 60.0)
    builder.objects += 1
    builder.surface(_CEILING, "plaster", np.full(3, rng.uniform(0.75, 0.95)), 60.0)
    builder.objects += 1


def _add_furniture(builder: _Builder, style: Room, room: Floats) -> list[tuple[float, ...]]:
    """Put furniture where there is room; return x, y and radius of what stands on the floor."""
    rng = builder.rng
    names = list(FURNITURE)
    weights = np.array([style.furniture.get(name, 0.25) for name in names])
    occupied: list[tuple[float, ...]] = []
    for _ in range(int(rng.integers(7, 13))):
        name = str(rng.choice(names, p=weights / weights.sum()))
        parts = FURNITURE[name](rng)
        if len(builder.columns["shapes"]) + len(parts) > _MOST_PRIMITIVES:
            continue
        if name == "picture":
            builder.furniture(name, parts, *_on_wall(rng, room, parts[0].half))
            continue
        flat = name == "rug"
        radius = max(math.hypot(p.center[0], p.center[1]) + math.hypot(*p.half[:2]) for p in parts)
        radius *= 0.85 if len(parts) > 1 or parts[0].shape == BOX else 0.72
        for _ in range(12):
            x, y = rng.uniform(radius, room[:2] - radius)
            if flat or all(math.hypot(x - a, y - b) > radius + r for a, b, r in occupied):
                if not flat:
                    occupied.append((x, y, radius))
                quarter = rng.integers(4) * math.pi / 2
                yaw = quarter if rng.random() < 0.5 else rng.uniform(0, 2 * math.pi)
                builder.furniture(name, parts, np.array([x, y, 0.0]), float(yaw))
                break
    return occupied


def _on_wall(
    rng: np.random.Generator, room: Floats, half: tuple[float, float, float]
) -> tuple[Floats, float]:
    """Return where a picture hangs, and how it is turned."""
    wall = int(rng.integers(4))
    axis, high = divmod(wall, 2)
    place = np.zeros(3)
    place[axis] = room[axis] - half[1] if high else half[1]
    along = 1 - axis
    place[along] = rng.uniform(half[0], room[along] - half[0])
    place[2] = rng.uniform(1.3, max(1.3, room[2] - half[2] - 0.2))
    return place, (math.pi / 2 if axis == 0 else 0.0)


def _place_camera(
    rng: np.random.Generator, room: Floats, occupied: list[tuple[float, ...]]
) -> Camera:
    margin = _CLEARANCE
    x = y = margin
    for _ in range(200):
        x, y = rng.uniform(margin, room[:2] - margin)
        if all(math.hypot(x - a, y - b) > r + margin for a, b, r in occupied):
            break
    else:  # the room is full: a corner is free of furniture, which stands in circles
        x, y = 0.05, 0.05
    goal = room[:2] * rng.uniform(0.15, 0.85, 2)
    return Camera(
        eye=np.array([x, y, rng.uniform(1.0, min(1.9, room[2] - 0.4))]),
        yaw=math.atan2(goal[1] - y, goal[0] - x) + rng.normal(0, 0.15),
        pitch=rng.uniform(-0.45, 0.1),
        roll=rng.normal(0, 0.06),
        half_width=math.tan(math.radians(rng.uniform(30, 40))),
    )
