"""A ray-caster for `scenes`: one image and what is known of every sample of it.

Every primitive is a unit box, sphere or cylinder in coordinates of its own, all rays meet one
primitive at a time, and a ray is given such a length that its parameter is the depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .furniture import BOX, ELLIPSOID
from .scenes import Scene, make_scene
from .textures import LEVELS, TEXTURE_SIZE, texture_bank

__all__ = ["Frame", "render", "view"]

Floats = NDArray[np.float32]

_AMBIENT = 0.42
_OFF_SURFACE = 2e-3  # metres that a shadow ray starts off its surface


@dataclass(frozen=True)
class Frame:
    """An image and its geometry; R = size * samples.

    Attributes
    ----------
    image : ndarray, uint8, [size, size, 3]
        RGB, the mean over samples x samples rays a pixel.
    depth, distance : ndarray, float32, [R, R]
        Metres along the axis of view, and along the ray.
    points, normals : ndarray, float32, [3, R, R]
        Where the ray ends, and the surface's unit normal on the visible side; camera coordinates:
        right, up, backwards.
    surfaces, objects, classes : ndarray, int16, [R, R]
        Which surface of the scene, and its object and class.
    albedo : ndarray, float32, [3, R, R]
        The surface's own colour.
    lit : ndarray, bool, [R, R]
        Whether the lamp shines there.
    """

    image: NDArray[np.uint8]
    depth: Floats
    distance: Floats
    points: Floats
    normals: Floats
    surfaces: NDArray[np.int16]
    objects: NDArray[np.int16]
    classes: NDArray[np.int16]
    albedo: Floats
    lit: NDArray[np.bool_]


def render(scene: Scene, size: int = 64, samples: int = 2) -> Frame:
    """Look at a scene through its camera.

    Parameters
    ----------
    scene : Scene
        What there is.
    size : int
        Pixels across and down.
    samples : int
        Rays across and down a pixel.

    Returns
    -------
    Frame
        The image and its buffers.
    """
    side = size * samples
    axes = scene.camera.axes.astype(np.float32)
    eye = scene.camera.eye.astype(np.float32)
    step = (2 * (np.arange(side, dtype=np.float32) + 0.5) / side - 1) * scene.camera.half_width
    local = np.stack(
        [np.tile(step, side), -np.repeat(step, side), np.full(side * side, -1.0)]
    ).astype(np.float32)
    rays = axes.T @ local

    with np.errstate(divide="ignore", invalid="ignore"):  # a ray along a face; no hit comes of it
        depth, surfaces = _first_hits(scene, eye[:, None], rays)
        points = eye[:, None] + depth * rays
        normals, own, facing = _surface_frames(scene, points, rays, surfaces)
        lengths = np.sqrt((rays * rays).sum(0))
        albedo = _albedo(scene, surfaces, own, facing, depth, 2 * scene.camera.half_width / size)
        to_light = scene.light.astype(np.float32)[:, None] - points
        away = np.sqrt((to_light * to_light).sum(0))
        slant = (normals * to_light).sum(0) / away
        lit = slant > 0
        start = points[:, lit] + _OFF_SURFACE * normals[:, lit]
        lit[lit] = ~_blocked(scene, start, to_light[:, lit])

    direct = np.where(lit, slant, 0) * (1.1 / (1 + (away / 5) ** 2))
    # Light that comes from everywhere, a little more from above: corners keep their shape in shade.
    ambient = _AMBIENT * (1 + 0.2 * normals[2])
    shade = ambient + direct * scene.light_color.astype(np.float32)[:, None]
    colors = np.clip(albedo * shade, 0, 1).reshape(3, size, samples, size, samples).mean((2, 4))
    ids = surfaces.reshape(side, side)
    return Frame(
        image=np.rint(255 * colors.transpose(1, 2, 0) ** (1 / 1.4)).astype(np.uint8),
        depth=depth.reshape(side, side),
        distance=(depth * lengths).reshape(side, side),
        points=(local * depth).reshape(3, side, side),
        normals=(axes @ normals).reshape(3, side, side),
        surfaces=ids,
        objects=scene.objects.astype(np.int16)[ids],
        classes=scene.classes.astype(np.int16)[ids],
        albedo=albedo.reshape(3, side, side),
        lit=lit.reshape(side, side),
    )


def _first_hits(scene: Scene, eye: Floats, rays: Floats) -> tuple[Floats, NDArray[np.int16]]:
    """Return the parameter of the nearest surface along every ray, and which it is."""
    high = scene.room.astype(np.float32)[:, None]
    walls = np.where(rays > 0, high - eye, -eye) / rays
    walls = np.where(rays == 0, np.float32(np.inf), walls)
    axis = walls.argmin(0)
    nearest = walls.min(0)
    towards = np.take_along_axis(rays, axis[None], 0)[0] > 0
    surfaces = (2 * axis + towards).astype(np.int16)
    for index in range(len(scene.shapes)):
        near = _enter(scene, index, eye, rays)
        closer = near < nearest
        np.copyto(nearest, near, where=closer)
        surfaces[closer] = 6 + index
    return nearest, surfaces


def _blocked(scene: Scene, start: Floats, way: Floats) -> NDArray[np.bool_]:
    """Whether a primitive lies on the way, which is the whole vector to the lamp."""
    blocked = np.zeros(start.shape[1], dtype=np.bool_)
    for index in range(len(scene.shapes)):
        blocked |= _enter(scene, index, start, way) < 1
    return blocked


def _frame(scene: Scene, index: int) -> Floats:
    """Matrix from the world's directions to those of a primitive of half extents 1."""
    cos, sin = np.cos(scene.yaws[index]), np.sin(scene.yaws[index])
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return np.asarray(turn / scene.halves[index][:, None], dtype=np.float32)


def _enter(scene: Scene, index: int, start: Floats, rays: Floats) -> Floats:
    """Return the parameter where rays from outside enter a primitive; infinite where they do not.

    All three are convex, so a ray is inside for one interval, which is an intersection of slabs and
    of a quadratic's.
    """
    matrix = _frame(scene, index)
    o = matrix @ (start - scene.centers[index].astype(np.float32)[:, None])
    d = matrix @ rays
    shape = scene.shapes[index]
    if shape == BOX:
        inverse = 1 / d
        middle, reach = -o * inverse, np.abs(inverse)
        low, high = middle - reach, middle + reach
        near = np.maximum(np.maximum(low[0], low[1]), low[2])
        far = np.minimum(np.minimum(high[0], high[1]), high[2])
    else:
        n = 3 if shape == ELLIPSOID else 2
        a, b = (d[:n] * d[:n]).sum(0), (o[:n] * d[:n]).sum(0)
        root = np.sqrt(b * b - a * ((o[:n] * o[:n]).sum(0) - 1))  # NaN where it misses
        near, far = (-b - root) / a, (-b + root) / a
        if n == 2:
            inverse = 1 / d[2]
            middle, reach = -o[2] * inverse, np.abs(inverse)
            near, far = np.maximum(near, middle - reach), np.minimum(far, middle + reach)
    return np.where((near < far) & (near > 0), near, np.float32(np.inf))


def _surface_frames(
    scene: Scene, points: Floats, rays: Floats, surfaces: NDArray[np.int16]
) -> tuple[Floats, Floats, NDArray[np.int8]]:
    """Return world normals, each surface's own coordinates in metres, and the own axis it faces."""
    normals = np.zeros_like(points)
    own = points.copy()
    facing = np.zeros(len(surfaces), dtype=np.int8)
    for wall in range(6):
        here = surfaces == wall
        normals[wall // 2, here] = 1 - 2 * (wall % 2)
        facing[here] = wall // 2
    for index in range(len(scene.shapes)):
        here = np.flatnonzero(surfaces == 6 + index)
        if not len(here):
            continue
        matrix = _frame(scene, index)
        local = matrix @ (points[:, here] - scene.centers[index].astype(np.float32)[:, None])
        shape = scene.shapes[index]
        if shape == BOX:
            axis = np.abs(local).argmax(0)
            normal = np.zeros_like(local)
            at = np.arange(len(here))
            normal[axis, at] = np.sign(local[axis, at])
        else:
            normal = local.copy()
            if shape != ELLIPSOID:
                cap = np.abs(local[2]) > np.hypot(local[0], local[1])
                normal[2] = np.where(cap, np.sign(local[2]), 0)
                normal[:2, cap] = 0
        world = matrix.T @ normal
        normals[:, here] = world / np.sqrt((world * world).sum(0))
        halves = scene.halves[index].astype(np.float32)[:, None]
        own[:, here] = local * halves
        facing[here] = np.abs(normal / halves).argmax(0)
    return normals, own, facing


def _albedo(
    scene: Scene,
    surfaces: NDArray[np.int16],
    own: Floats,
    facing: NDArray[np.int8],
    depth: Floats,
    pixel: float,
) -> Floats:
    """Look up the textures; `pixel` is the width of a pixel at a depth of one metre."""
    scales = scene.scales.astype(np.float32)[surfaces].T
    texels = own * scales + scene.offsets.astype(np.float32)[surfaces].T
    u = np.where(facing == 0, texels[1], texels[0])
    v = np.where(facing == 2, texels[1], -texels[2])
    level = np.log2(np.maximum(depth * pixel * scales.max(0), 1)).astype(np.int64)
    factor = texture_bank()[
        scene.textures[surfaces],
        np.minimum(level, LEVELS - 1),
        v.astype(np.int64) % TEXTURE_SIZE,
        u.astype(np.int64) % TEXTURE_SIZE,
    ]
    return np.asarray(np.clip(factor * scene.colors.astype(np.float32)[surfaces], 0, 1).T)


def view(seed: int, index: int) -> tuple[Scene, Frame]:
    """Make scenes up until the camera of one sees something.

    Parameters
    ----------
    seed, index : int
        Non-negative; the same two give the same scene.

    Returns
    -------
    (Scene, Frame)
        At least two pieces of furniture fill a hundredth of the image each, and nothing is nearer
        than 25 cm.
    """
    attempt = 0
    while True:
        scene = make_scene(seed, index, attempt)
        frame = render(scene)
        pixels = np.bincount(frame.objects.ravel(), minlength=6)[6:]
        if (pixels >= frame.objects.size / 100).sum() >= 2 and frame.depth.min() > 0.25:
            return scene, frame
        attempt += 1
