"""Labels of rendered scenes: what `tasks` predicts and cannot be told from the image file alone.

Maps are 32 x 32. Quantities are averaged over the samples of a pixel, classes are those of its
middle, and edges and corners are found at twice the resolution.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .render import Frame
from .scenes import CLASSES, Scene

__all__ = ["LABELS", "LABEL_SIZE", "PAIRS", "make_labels"]

Floats = NDArray[np.float32]

LABEL_SIZE = 32
# Half the way between two pixels that belong together or not, for the two segmentations: rows and
# columns of label pixels.
PAIRS = ((0, 1), (0, 3), (1, 0), (3, 0), (2, 2), (2, -2))
_MAP = (LABEL_SIZE, LABEL_SIZE)
# Name: shape and type of one scene's label. Half precision is far finer than anything is learnt.
LABELS: dict[str, tuple[tuple[int, ...], str]] = {
    "curvature": ((2, *_MAP), "float16"),
    "edge2d": ((1, *_MAP), "float16"),
    "edge3d": ((1, *_MAP), "float16"),
    "keypoint2d": ((1, *_MAP), "float16"),
    "keypoint3d": ((1, *_MAP), "float16"),
    "reshade": ((1, *_MAP), "float16"),
    "rgb2depth": ((1, *_MAP), "float16"),
    "rgb2mist": ((1, *_MAP), "float16"),
    "rgb2sfnorm": ((3, *_MAP), "float16"),
    "room_layout": ((6,), "float32"),
    "segment25d": ((len(PAIRS), *_MAP), "float16"),
    "segment2d": ((len(PAIRS), *_MAP), "float16"),
    "vanishing_point": ((4,), "float32"),
    "segmentsemantic": (_MAP, "uint8"),
    "class_1000": ((), "uint8"),
    "class_places": ((), "uint8"),
}
_FIRST_PIECE = 3  # the classes before it are wall, floor and ceiling


def make_labels(scene: Scene, frame: Frame) -> dict[str, NDArray[np.generic]]:
    """Compute every label of one scene.

    Parameters
    ----------
    scene : Scene
        What was looked at.
    frame : Frame
        What was seen: 64 x 64 pixels of 2 x 2 samples.

    Returns
    -------
    dict of ndarray
        By task, shaped and typed as `LABELS` says:

        - ``curvature``: larger and smaller principal curvature, inverse sinh of 1/metre; convex is
          positive
        - ``edge2d``, ``keypoint2d``: gradient, and smaller eigenvalue of the structure tensor
          (Shi and Tomasi 1994), of the image's grey values, as square roots
        - ``edge3d``: how far the inverse depth, which is linear on a plane, bends, relative to it
        - ``keypoint3d``: as keypoint2d, of normals and log depth
        - ``reshade``: cosine between normal and line of sight, a white surface lit from the camera
        - ``rgb2depth``, ``rgb2mist``: log of metres along the axis of view, and along the ray
        - ``rgb2sfnorm``: unit normal: right, up, towards the camera
        - ``segment2d``, ``segment25d``: affinity in [0, 1] of the two pixels that are `PAIRS`
          before and behind each one, by colour, and by depth and normals
        - ``room_layout``: log distances to the walls in front, left and right, to floor and
          ceiling; angle to the wall in front, in radians
        - ``vanishing_point``: pitch, roll, sine and cosine of four times the yaw: what fixes the
          vanishing points of a box
        - ``segmentsemantic``, ``class_1000``, ``class_places``: class of each pixel, of the piece
          of furniture that fills most of the image (from 0), of the room
    """
    grey = frame.image.astype(np.float32).mean(-1) / 255
    depth, normals = frame.depth[1::2, 1::2], frame.normals[:, 1::2, 1::2]
    sight = -frame.points / frame.distance
    near = _pool(np.log(frame.depth[None]), 4)
    facing = _unit(_pool(frame.normals, 4))
    color = ndimage.gaussian_filter(frame.image.astype(np.float32) / 255, (1.5, 1.5, 0))
    pieces = np.bincount(
        frame.classes[frame.classes >= _FIRST_PIECE] - _FIRST_PIECE,
        minlength=len(CLASSES) - _FIRST_PIECE,
    )
    found = {
        "curvature": _pool(np.arcsinh(_curvatures(frame.points[:, 1::2, 1::2], normals)), 2),
        "edge2d": np.sqrt(_pool(ndimage.gaussian_gradient_magnitude(grey, 0.8)[None], 2)),
        "edge3d": _pool(_bends(np.reciprocal(depth))[None], 2),
        "keypoint2d": _corners(grey[None]),
        "keypoint3d": _corners(np.concatenate([normals, np.log(depth)[None]])),
        "reshade": _pool((frame.normals * sight).sum(0, keepdims=True), 4),
        "rgb2depth": near,
        "rgb2mist": _pool(np.log(frame.distance[None]), 4),
        "rgb2sfnorm": facing,
        "room_layout": _layout(scene),
        "segment25d": _affinities(np.concatenate([facing, 2 * near]), 0.35),
        "segment2d": _affinities(_pool(color.transpose(2, 0, 1), 2), 0.12),
        "vanishing_point": _directions(scene),
        "segmentsemantic": frame.classes[2::4, 2::4],
        "class_1000": pieces.argmax(),
        "class_places": scene.kind,
    }
    return {name: np.asarray(found[name], dtype=dtype) for name, (_, dtype) in LABELS.items()}


def _pool(maps: Floats, factor: int) -> Floats:
    """Average squares of pixels."""
    c, h, w = maps.shape
    squares = maps.reshape(c, h // factor, factor, w // factor, factor)
    return np.asarray(squares.mean((2, 4)))


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.sqrt((vectors * vectors).sum(0)), 1e-6))


def _slopes(maps: Floats) -> tuple[Floats, Floats]:
    """Central differences down and across."""
    down, across = np.gradient(maps, axis=(-2, -1))
    return np.asarray(down), np.asarray(across)


def _corners(maps: Floats) -> Floats:
    """Smaller eigenvalue of the structure tensor summed over the channels, as a square root."""
    down, across = _slopes(maps)
    a, b, c = (
        ndimage.gaussian_filter((x * y).sum(0), 1.5)
        for x, y in ((down, down), (across, across), (down, across))
    )
    smaller = (a + b) / 2 - np.sqrt(((a - b) / 2) ** 2 + c * c)
    return _pool(np.sqrt(np.maximum(smaller, 0))[None], 2)


def _bends(inverse: Floats) -> Floats:
    """Second differences relative to the value, at most 1, of both axes."""
    padded = np.pad(inverse, 1, mode="reflect", reflect_type="odd")
    middle = 2 * inverse
    bend = np.abs(padded[2:, 1:-1] - middle + padded[:-2, 1:-1])
    bend += np.abs(padded[1:-1, 2:] - middle + padded[1:-1, :-2])
    return np.asarray(np.minimum(bend / inverse / 0.2, 1))


def _curvatures(points: Floats, normals: Floats) -> Floats:
    """Principal curvatures from the first two fundamental forms of the visible surface.

    The differences span pixels, so an edge of furniture or room is bent over the width of some.
    """
    down, across = _slopes(points)
    turn_down, turn_across = _slopes(normals)
    e, f, g = ((x * y).sum(0) for x, y in ((across, across), (across, down), (down, down)))
    second = (
        (turn_across * across).sum(0),
        ((turn_across * down).sum(0) + (turn_down * across).sum(0)) / 2,
        (turn_down * down).sum(0),
    )
    area = np.maximum(e * g - f * f, 1e-9)
    mean = (second[2] * e - 2 * second[1] * f + second[0] * g) / (2 * area)
    gauss = (second[0] * second[2] - second[1] ** 2) / area
    spread = np.sqrt(np.maximum(mean * mean - gauss, 0))
    return np.asarray(np.clip(np.stack([mean + spread, mean - spread]), -30, 30))


def _affinities(maps: Floats, width: float) -> Floats:
    """Compare the values before and behind every pixel; those beyond the border repeat it."""
    reach = max(max(abs(y), abs(x)) for y, x in PAIRS)
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)), mode="edge")

    def moved(y: int, x: int) -> Floats:
        rows, columns = (slice(reach + a, reach + a + LABEL_SIZE) for a in (y, x))
        return np.asarray(padded[:, rows, columns])

    apart = [((moved(y, x) - moved(-y, -x)) ** 2).sum(0) for y, x in PAIRS]
    return np.asarray(np.exp(-np.stack(apart) / (2 * width * width)))


def _layout(scene: Scene) -> list[float]:
    eye, room = scene.camera.eye, scene.room
    quarter = round(scene.camera.yaw / (math.pi / 2))
    distances = (room[0] - eye[0], room[1] - eye[1], eye[0], eye[1])  # +x, +y, -x, -y
    walls = [distances[(quarter + turn) % 4] for turn in (0, 1, -1)]  # in front, left, right
    logs = [math.log(x) for x in (*walls, eye[2], room[2] - eye[2])]
    return [*logs, scene.camera.yaw - quarter * math.pi / 2]


def _directions(scene: Scene) -> list[float]:
    camera = scene.camera
    turn = 4 * camera.yaw
    return [camera.pitch, camera.roll, math.sin(turn), math.cos(turn)]
