"""Galleries: photos and maps in their places, on scales that show them."""

import itertools

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import gallery

RNG = np.random.default_rng(0)


def case(networks, photos, size=(6, 6), long=False):
    rng = np.random.default_rng(networks)
    tail = "/with_a_long_specification.of_a_network:factory" if long else ""
    return (
        rng.random((photos, 3, *size)),
        rng.normal(size=(networks, photos, 5, 4)),
        [f"network_{i}{tail}" for i in range(networks)],
    )


def panels(figure, networks):
    """Return images by [photo][column], the photo in column 0."""
    images = figure.axes[0].images
    return [images[i : i + networks + 1] for i in range(0, len(images), networks + 1)]


def labels_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize("networks", [1, 2, 8, 40])
def test_rows_are_photos_and_columns_are_networks(networks):
    photos, maps, names = case(networks, 2)
    figure = gallery(photos, maps, names, photo_names=["cat", "cup"])
    ax = figure.axes[0]
    assert labels_of(ax.xaxis) == names
    assert labels_of(ax.yaxis) == ["cat", "cup"]
    rows = panels(figure, networks)
    assert [len(row) for row in rows] == [networks + 1] * 2
    for photo, row in zip(photos, rows, strict=True):
        np.testing.assert_allclose(row[0].get_array(), photo.transpose(1, 2, 0))
    # Panels follow one another to the right and downwards, and names stand over their column.
    lefts = [image.get_extent()[0] for image in rows[0]]
    assert lefts == sorted(lefts)
    assert lefts == [image.get_extent()[0] for image in rows[1]]
    assert rows[0][0].get_extent()[2] < rows[1][0].get_extent()[3]
    for place, image in zip(ax.get_xticks(), rows[0][1:], strict=True):
        assert place == pytest.approx(np.mean(image.get_extent()[:2]))


@pytest.mark.parametrize(
    ("networks", "long", "size"),
    [
        *itertools.product([1, 2, 8], [False, True], [(6, 6)]),
        *itertools.product([40], [False, True], [(6, 6), (4, 9)]),
        (300, True, (4, 9)),
    ],
)
def test_nothing_overlaps_or_is_cut_off(networks, long, size):
    photos, maps, names = case(networks, 3, size, long)
    figure = gallery(photos, maps, names, photo_names=["a", "bb", "c" * 60], title="Maps")
    figure.set_dpi(100)
    renderer = FigureCanvasAgg(figure).get_renderer()
    box = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    ax = figure.axes[0]
    places = ax.transData.transform([(x, 0) for x in ax.get_xticks()])[:, 0]
    pitch = np.diff(places).min() if networks > 1 else np.inf
    (angle,) = {label.get_rotation() for label in ax.get_xticklabels()}
    for label in ax.get_xticklabels():
        if angle == 0:
            assert label.get_window_extent(renderer).width <= pitch
        else:
            label.set_rotation(0)
            room = pitch * np.sin(np.radians(angle))
            assert label.get_window_extent(renderer).height <= room * 1.001
    places = ax.transData.transform([(0, y) for y in ax.get_yticks()])[:, 1]
    for label in ax.get_yticklabels():
        assert label.get_window_extent(renderer).height <= -np.diff(places).max() * 1.001


def test_panels_have_the_shape_of_the_photos():
    photos, maps, names = case(2, 2, size=(10, 20))
    image = panels(gallery(photos, maps, names), 2)[1][2]
    left, right, bottom, top = image.get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(2.0)


def test_signed_maps_have_zero_in_the_middle():
    photos, maps, names = case(2, 2)
    figure = gallery(photos, maps, names)
    for row in panels(figure, 2):
        for image in row[1:]:
            assert image.get_clim() == (-1, 1)
            assert image.get_cmap().name == "RdBu_r"
    assert labels_of(figure.axes[1].xaxis) == ["−", "0", "+"]


def test_magnitudes_start_at_zero():
    photos, maps, names = case(2, 2)
    figure = gallery(photos, np.abs(maps), names)
    for row in panels(figure, 2):
        for image in row[1:]:
            assert image.get_clim() == (0, 1)
            assert image.get_cmap().name == "magma"
    assert labels_of(figure.axes[1].xaxis) == ["0", "+"]


def test_maps_are_scaled_by_the_99th_percentile_of_their_magnitude():
    maps = RNG.normal(size=(1, 1, 30, 30))
    maps[0, 0, 0, 0] = 1e6  # one pixel must not turn the rest grey
    image = panels(gallery(np.zeros((1, 3, 30, 30)), maps, ["a"]), 1)[0][1]
    reach = np.percentile(np.abs(maps), 99)
    np.testing.assert_allclose(image.get_array(), np.clip(maps[0, 0] / reach, -1, 1))


@pytest.mark.parametrize("factor", [1e-320, 1e-30, 1e-12, 1e30, 1e300])
def test_the_size_of_the_gradients_does_not_matter(factor):
    photos, maps, names = case(1, 1)
    maps = np.round(maps * 64) / 64 + 1
    expected = panels(gallery(photos, maps, names), 1)[0][1].get_array()
    shown = panels(gallery(photos, maps * factor, names), 1)[0][1].get_array()
    np.testing.assert_allclose(shown, expected, atol=2e-2 if factor < 1e-300 else 1e-9)


def test_maps_of_zeros_and_of_one_pixel():
    photos, maps, names = case(2, 1)
    maps[:] = 0
    maps[1, 0, 2, 3] = -4.0
    row = panels(gallery(photos, maps, names), 2)[0]
    assert not row[1].get_array().any()
    shown = row[2].get_array()
    assert shown[2, 3] == -1
    assert np.count_nonzero(shown) == 1


def test_kinds_of_photos():
    pixels = RNG.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    _, maps, names = case(1, 2, size=(8, 8))
    first = panels(gallery(pixels, maps, names), 1)[0][0].get_array()
    assert np.array_equal(first, pixels[0])
    floats = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
    second = panels(gallery(floats, torch.tensor(maps), names), 1)[0][0].get_array()
    np.testing.assert_allclose(second * 255, pixels[0], atol=1e-4)


def test_many_photos():
    photos, maps, names = case(2, 200)
    figure = gallery(photos, maps, names, photo_names=[f"photo_{i}" for i in range(200)])
    assert len(figure.axes[0].images) == 600
    assert figure.get_size_inches().max() < 45


GOOD = dict(zip(("photos", "maps", "names"), case(2, 3), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photos": GOOD["photos"][0]}, r"photos=\(3, 6, 6\)"),
        ({"photos": GOOD["photos"][:, :1]}, r"photos=\(3, 1, 6, 6\)"),
        ({"photos": np.zeros((3, 3, 6, 6), np.uint8)}, r"photos=\(3, 3, 6, 6\)"),
        ({"photos": np.zeros((0, 3, 6, 6))}, r"photos=\(0, 3, 6, 6\)"),
        ({"photos": GOOD["photos"] * 255}, r"photos=.*\[0, 1\]"),
        ({"photos": GOOD["photos"] - 0.5}, r"photos=.*\[0, 1\]"),
        ({"photos": GOOD["photos"] * np.nan}, "photos=.*nan"),
        ({"maps": GOOD["maps"][0]}, r"maps=\(3, 5, 4\)"),
        ({"maps": GOOD["maps"][:, :2]}, r"maps=\(2, 2, 5, 4\): .* P = 3"),
        ({"maps": GOOD["maps"][:0]}, r"maps=\(0, 3, 5, 4\)"),
        ({"names": ["a"]}, "names=.*2 strings"),
        ({"photo_names": ["a"]}, "photo_names=.*3 strings"),
        ({"path": "gallery.jpg"}, "path='gallery.jpg'"),
        ({"photos": np.zeros((3, 3, 1, 600))}, "maps=.*elongated"),
    ],
)
def test_wrong_values(options, message):
    with pytest.raises(InvalidValueError, match=message):
        gallery(**{**GOOD, **options})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite(bad):
    maps = GOOD["maps"].copy()
    maps[1, 2, 0, 3] = bad
    with pytest.raises(InvalidValueError, match=rf"maps={bad}: .*network 1, photo 2"):
        gallery(**{**GOOD, "maps": maps})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photos": "photos"}, "photos="),
        ({"photos": np.zeros((3, 3, 6, 6), int)}, "photos=(?s:.*)int64"),
        ({"photos": torch.zeros(3, 3, 6, 6, requires_grad=True)}, "photos=(?s:.*)detach"),
        ({"maps": "maps"}, "maps="),
        ({"maps": GOOD["maps"] * 1j}, "maps=(?s:.*)complex"),
        ({"names": "ab"}, "names='ab'"),
        ({"names": ["a", 2]}, "names=2"),
        ({"photo_names": "abc"}, "photo_names='abc'"),
        ({"title": 1}, "title=1"),
        ({"path": 1}, "path=1"),
    ],
)
def test_wrong_types(options, message):
    with pytest.raises(InvalidTypeError, match=message):
        gallery(**{**GOOD, **options})
