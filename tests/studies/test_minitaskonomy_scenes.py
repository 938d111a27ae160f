"""Rendered rooms against closed forms, and labels against rooms whose answer is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from studies.minitaskonomy import furniture, labels, rooms, scenes, tasks, textures
from studies.minitaskonomy import render as renderer

ROOM = (4.0, 6.0, 3.0)
EYE = (1.5, 2.0, 1.25)


def room_with(*primitives, yaw=0.0, pitch=0.0, roll=0.0, light=(2.0, 3.0, 2.9)):
    """A room with primitives (shape, centre, half extents, yaw), seen from EYE."""
    n = 6 + len(primitives)
    columns = list(zip(*primitives, strict=True)) if primitives else [[], [], [], []]
    return scenes.Scene(
        kind=2,
        room=np.array(ROOM),
        camera=scenes.Camera(np.array(EYE), yaw, pitch, roll, math.tan(math.radians(35))),
        light=np.array(light),
        light_color=np.ones(3),
        shapes=np.array(columns[0], dtype=np.int64),
        centers=np.array(columns[1], dtype=float).reshape(-1, 3),
        halves=np.array(columns[2], dtype=float).reshape(-1, 3),
        yaws=np.array(columns[3], dtype=float),
        classes=np.array([0, 0, 0, 0, 1, 2, *range(3, 3 + len(primitives))]),
        objects=np.arange(n),
        textures=np.zeros(n, dtype=np.int64),
        colors=np.full((n, 3), 0.5),
        scales=np.full((n, 3), 50.0),
        offsets=np.zeros((n, 3)),
    )


def steps(scene, side=128):
    """Coordinates of the samples on the image plane at depth 1: across, and down the image."""
    at = (2 * (np.arange(side) + 0.5) / side - 1) * scene.camera.half_width
    return at[None, :], at[:, None]


def world_points(scene, frame):
    flat = frame.points.reshape(3, -1).astype(float)
    return scene.camera.eye[:, None] + scene.camera.axes.T @ flat


def inside(scene, index, points, grow=0.0):
    """Whether world points are inside a primitive grown by a share; no ray takes part."""
    away = points - scene.centers[index][:, None]
    cos, sin = math.cos(scene.yaws[index]), math.sin(scene.yaws[index])
    own = np.stack([cos * away[0] + sin * away[1], cos * away[1] - sin * away[0], away[2]])
    own /= scene.halves[index][:, None] * (1 + grow)
    if scene.shapes[index] == furniture.BOX:
        return np.abs(own).max(0) < 1
    if scene.shapes[index] == furniture.ELLIPSOID:
        return (own**2).sum(0) < 1
    return (np.hypot(own[0], own[1]) < 1) & (np.abs(own[2]) < 1)


@pytest.fixture(scope="module")
def seen():
    return [renderer.view(11, index) for index in range(6)]


def test_depth_of_a_wall_ahead():
    scene = room_with(yaw=0.0)
    frame = renderer.render(scene)
    across, down = steps(scene)
    ahead = frame.surfaces == 1  # x high, 2.5 m away
    assert ahead[64, 64]
    np.testing.assert_allclose(frame.depth[ahead], 2.5, rtol=1e-6)
    distance = 2.5 * np.sqrt(1 + across**2 + down**2)
    np.testing.assert_allclose(frame.distance[ahead], distance[ahead], rtol=1e-5)
    np.testing.assert_allclose(frame.normals[:, ahead].T, [[0, 0, 1]] * ahead.sum(), atol=1e-6)
    # The floor is met where the ray has fallen by the height of the eye.
    floor = frame.surfaces == 4
    expected = np.broadcast_to(EYE[2] / np.where(down > 0, down, np.inf), floor.shape)
    np.testing.assert_allclose(frame.depth[floor], expected[floor], rtol=1e-5)
    assert floor[-1].all()
    assert not floor[:64].any()


def test_sphere_against_its_equation():
    center, r = np.array([3.2, 2.1, 1.0]), 0.5
    scene = room_with((furniture.ELLIPSOID, center, (r, r, r), 0.3))
    frame = renderer.render(scene)
    across, down = steps(scene)
    # Yaw 0 looks along x; right is -y, down is -z.
    way = np.stack(np.broadcast_arrays(1.0, -across, -down))
    o = np.array(EYE) - center
    a, b = (way**2).sum(0), np.tensordot(o, way, 1)
    inside_root = b**2 - a * (o @ o - r * r)
    hit = frame.surfaces == 6
    np.testing.assert_array_equal(hit, inside_root > 0)
    assert 200 < hit.sum() < 8000
    depth = (-b - np.sqrt(np.maximum(inside_root, 0))) / a
    np.testing.assert_allclose(frame.depth[hit], depth[hit], rtol=2e-4)


def test_first_hits_of_all_shapes(seen):
    """Nothing is met before the hit, and the hit lies on the surface that is named."""
    shapes = set()
    for scene, frame in seen:
        points = world_points(scene, frame)
        surfaces = frame.surfaces.ravel()
        for wall in range(6):
            here = points[wall // 2, surfaces == wall]
            place = scene.room[wall // 2] if wall % 2 else 0.0
            np.testing.assert_allclose(here, place, atol=2e-5)
        eye = scene.camera.eye[:, None]
        for index in range(len(scene.shapes)):
            own = points[:, surfaces == 6 + index]
            # A thousandth of a rug of 12 mm is less than single precision tells from afar.
            thin = 2e-5 / scene.halves[index].min()
            slack = max(1e-3, thin)
            assert inside(scene, index, own, grow=slack).all()
            assert not inside(scene, index, own, grow=-slack).any()
            for share in np.linspace(0.02, 0.98, 25):
                assert not inside(scene, index, eye + share * (points - eye), grow=-slack).any()
            if own.size:
                shapes.add(int(scene.shapes[index]))
    assert shapes == {furniture.BOX, furniture.ELLIPSOID, furniture.CYLINDER}


def test_normals_are_unit_and_face_the_camera(seen):
    for _, frame in seen:
        np.testing.assert_allclose((frame.normals**2).sum(0), 1, rtol=1e-5)
        cosine = -(frame.normals * frame.points).sum(0) / frame.distance
        assert cosine.min() > -1e-3  # a silhouette is seen at 90 degrees, but for rounding
        assert cosine.max() <= 1 + 1e-5


def test_normals_of_an_ellipsoid_against_differences_of_its_points():
    scene = room_with((furniture.ELLIPSOID, (3.3, 2.0, 1.2), (0.4, 0.7, 0.5), 0.4))
    frame = renderer.render(scene)
    middle = (slice(None), slice(60, 69), slice(60, 69))
    assert (frame.surfaces[middle[1:]] == 6).all()
    down, across = np.gradient(frame.points.astype(float)[middle], axis=(1, 2))
    normal = np.cross(down, across, axis=0)
    normal /= np.sqrt((normal**2).sum(0))
    inner = (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(frame.normals[middle][inner], normal[inner], atol=2e-3)


def test_shadow_of_a_box():
    # The lamp hangs 1.9 m over a plate of 1 x 1 m that floats 1 m above the floor.
    plate = (furniture.BOX, (2.5, 2.0, 1.0), (0.5, 0.5, 0.01), 0.0)
    scene = room_with(plate, pitch=-0.5, light=(2.5, 2.0, 2.9))
    frame = renderer.render(scene)
    points = world_points(scene, frame)
    floor = frame.surfaces.ravel() == 4
    half = 0.5 * 2.9 / (2.9 - 1.01)  # of the shadow, by similar triangles
    away = np.abs(points[:2] - np.array([[2.5], [2.0]])).max(0)
    lit = frame.lit.ravel()
    assert (floor & (away < half - 0.01)).sum() > 100
    assert not lit[floor & (away < half - 0.01)].any()
    assert lit[floor & (away > half + 0.01)].all()


def test_shadows_of_whole_scenes_against_sampled_ways(seen):
    for scene, frame in seen[:3]:
        points = world_points(scene, frame)
        normals = scene.camera.axes.T @ frame.normals.reshape(3, -1)
        to_light = scene.light[:, None] - points
        facing = (normals * to_light).sum(0) > 0
        blocked = np.zeros(points.shape[1], dtype=bool)
        for share in np.linspace(0.01, 0.99, 150):
            on_way = points + share * to_light
            for index in range(len(scene.shapes)):
                blocked |= inside(scene, index, on_way, grow=-0.002)
        # Sampling at 150 places misses ways that graze a primitive or a rug.
        agree = (frame.lit.ravel() == (facing & ~blocked)).mean()
        assert agree > 0.985


def test_the_same_seed_gives_the_same_bytes(seen):
    scene, frame = renderer.view(11, 2)
    np.testing.assert_array_equal(frame.image, seen[2][1].image)
    np.testing.assert_array_equal(frame.depth, seen[2][1].depth)
    np.testing.assert_array_equal(scene.colors, seen[2][0].colors)
    assert not np.array_equal(renderer.view(12, 2)[1].image, frame.image)
    assert not np.array_equal(renderer.view(11, 3)[1].image, frame.image)


def test_scenes_show_furniture_from_outside(seen):
    for scene, frame in seen:
        assert len(scene.shapes) <= 18
        for index in range(len(scene.shapes)):
            assert not inside(scene, index, scene.camera.eye[:, None]).any()
        shares = np.bincount(frame.objects.ravel(), minlength=6)[6:] / frame.objects.size
        assert (shares >= 0.01).sum() >= 2
        assert frame.image.std() > 5


@pytest.mark.parametrize("yaw", [0.0, 0.4, -2.0, 3.0])
def test_axes_are_a_rotation(yaw):
    axes = scenes.Camera(np.zeros(3), yaw, -0.3, 0.1, 0.7).axes
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    forward = [math.cos(yaw) * math.cos(0.3), math.sin(yaw) * math.cos(0.3), -math.sin(0.3)]
    np.testing.assert_allclose(-axes[2], forward)


def test_labels_are_what_they_promise(seen):
    for scene, frame in seen:
        found = labels.make_labels(scene, frame)
        assert set(found) == set(labels.LABELS)
        for name, (shape, dtype) in labels.LABELS.items():
            assert found[name].shape == shape, name
            assert found[name].dtype == dtype, name
            assert np.isfinite(found[name].astype(float)).all(), name
        for name in ("segment2d", "segment25d", "edge3d"):
            assert 0 <= found[name].min() <= found[name].max() <= 1
        assert (found["rgb2mist"] >= found["rgb2depth"]).all()
        assert found["segmentsemantic"].max() < len(scenes.CLASSES)
        assert found["class_1000"] < len(furniture.FURNITURE)
        assert found["class_places"] == scene.kind


def test_labels_of_a_bare_wall():
    scene = dataclasses.replace(room_with(), room=np.array([4.0, 40.0, 30.0]))
    scene = dataclasses.replace(
        scene, camera=dataclasses.replace(scene.camera, eye=np.array([1.5, 20.0, 15.0]))
    )
    frame = renderer.render(scene)
    found = labels.make_labels(scene, frame)
    np.testing.assert_allclose(found["rgb2depth"], math.log(2.5), rtol=1e-3)
    np.testing.assert_allclose(found["curvature"], 0, atol=1e-3)
    np.testing.assert_allclose(found["edge3d"], 0, atol=1e-3)
    np.testing.assert_allclose(found["segment25d"], 1, atol=1e-3)
    across, down = steps(scene, 32)
    np.testing.assert_allclose(found["reshade"][0], 1 / np.sqrt(1 + across**2 + down**2), rtol=2e-3)


def test_curvature_of_a_ball():
    r = 0.6
    scene = room_with((furniture.ELLIPSOID, (3.0, 2.0, 1.25), (r, r, r), 0.0))
    found = labels.make_labels(scene, renderer.render(scene))["curvature"]
    np.testing.assert_allclose(found[:, 14:18, 14:18], math.asinh(1 / r), rtol=0.02)


def test_layout_and_directions_by_hand():
    scene = room_with(yaw=math.pi / 2 + 0.3, pitch=-0.2, roll=0.05)  # looks along y
    found = labels.make_labels(scene, renderer.render(scene))
    ahead, left, right = ROOM[1] - EYE[1], EYE[0], ROOM[0] - EYE[0]
    logs = np.log([ahead, left, right, EYE[2], ROOM[2] - EYE[2]])
    np.testing.assert_allclose(found["room_layout"], [*logs, 0.3], rtol=1e-5)
    turn = 4 * (math.pi / 2 + 0.3)
    expected = [-0.2, 0.05, math.sin(turn), math.cos(turn)]
    np.testing.assert_allclose(found["vanishing_point"], expected, rtol=1e-5)


def test_mirrored_labels_are_those_of_the_mirrored_room():
    pieces = [
        (furniture.BOX, (3.2, 3.4, 0.4), (0.3, 0.5, 0.4), 0.5),
        (furniture.ELLIPSOID, (3.0, 2.2, 0.5), (0.5, 0.4, 0.5), 0.2),
        (furniture.CYLINDER, (3.4, 1.3, 0.9), (0.2, 0.3, 0.9), -0.4),
    ]
    scene = room_with(*pieces, yaw=0.25, pitch=-0.2, roll=0.06)
    other = np.array([1, -1, 1.0])
    move = np.array([0, ROOM[1], 0.0])
    camera = dataclasses.replace(
        scene.camera, eye=move + other * scene.camera.eye, yaw=-0.25, roll=-0.06
    )
    mirrored = dataclasses.replace(
        scene,
        camera=camera,
        light=move + other * scene.light,
        centers=move + other * scene.centers,
        yaws=-scene.yaws,
    )
    one = labels.make_labels(scene, renderer.render(scene))
    two = labels.make_labels(mirrored, renderer.render(mirrored))
    for name in ("rgb2depth", "rgb2mist", "rgb2sfnorm", "reshade", "segment25d", "room_layout",
                 "vanishing_point"):  # fmt: skip
        task = tasks.TASKS[name]
        back = task.mirrored(torch.from_numpy(one[name][None])).numpy()[0].astype(float)
        # Half precision, and silhouettes that a sample just meets or misses.
        off = np.abs(back - two[name].astype(float)) > 0.01
        assert off.mean() < 0.01, name
        assert np.abs(one[name].astype(float) - two[name].astype(float)).mean() > 0.01, name


def test_textures():
    bank = textures.texture_bank()
    assert bank.shape == (len(textures.TEXTURES), textures.LEVELS, 128, 128, 3)
    plain = bank[: len(textures.TEXTURES) - len(textures.PICTURES)]
    np.testing.assert_allclose(plain.mean((1, 2, 3, 4)), 1, atol=0.02)
    assert (plain.std((2, 3, 4))[:, 0] > plain.std((2, 3, 4))[:, -1]).all()
    np.testing.assert_array_equal(plain[..., 0], plain[..., 2])
    assert bank.min() >= 0


def test_every_kind_of_furniture():
    rng = np.random.default_rng(0)
    for name, make in furniture.FURNITURE.items():
        for piece in make(rng):
            assert piece.shape in (furniture.BOX, furniture.ELLIPSOID, furniture.CYLINDER)
            assert piece.texture in textures.TEXTURES
            assert min(piece.half) > 0
            if name != "picture":  # hung up later
                assert piece.center[2] - piece.half[2] > -1e-9
    used = {name for room in rooms.ROOMS.values() for name in room.furniture}
    assert used == set(furniture.FURNITURE)
