"""One photo: modes, orientation, transparency, and what is cut from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError
from pyattrx.photos.photos import Cuts
from pyattrx.probes import Probes


def noise(height=20, width=30, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def read(tmp_path, image, suffix="png", **options):
    """Save an image, read it at its own size and return it as uint8 [H, W, 3]."""
    image.save(tmp_path / f"photo.{suffix}", **options)
    probes = Probes.from_folder(tmp_path, size=(image.height, image.width))
    return to_bytes(probes[0])


def to_bytes(image):
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def grey_as_rgb(grey):
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    photo = noise()
    options = {"lossless": True} if suffix == "webp" else {}
    assert np.array_equal(read(tmp_path, Image.fromarray(photo), suffix, **options), photo)


def test_jpeg(tmp_path):
    image = Image.fromarray(noise()).resize((300, 200), Image.Resampling.BICUBIC)
    found = read(tmp_path, image, "jpg", quality=95)
    assert np.abs(found.astype(int) - np.asarray(image)).mean() < 4


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp"])
def test_the_first_of_several_frames(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    found = read(tmp_path, frames[0], suffix, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(found, np.asarray(frames[0]))


def test_photos_of_phones_that_hold_several_pictures(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    found = read(tmp_path, frames[0], "jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert found.min() == 255


def test_grey(tmp_path):
    grey = noise(channels=0)
    assert np.array_equal(read(tmp_path, Image.fromarray(grey)), grey_as_rgb(grey))


def test_black_and_white(tmp_path):
    bits = noise(channels=0) > 127
    assert np.array_equal(read(tmp_path, Image.fromarray(bits)), grey_as_rgb(bits * 255))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    grey = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    found = read(tmp_path, Image.fromarray(grey), suffix)
    assert np.array_equal(found, grey_as_rgb(np.round(grey / 257)))


def test_transparency_shows_white(tmp_path):
    colours = np.zeros((2, 2, 4), np.uint8)
    colours[..., :3] = (200, 100, 0)
    colours[..., 3] = [[0, 255], [128, 255]]
    expected = np.array([[[255, 255, 255], [200, 100, 0]], [[227, 177, 127], [200, 100, 0]]])
    assert np.array_equal(read(tmp_path, Image.fromarray(colours)), expected)


def test_grey_with_alpha(tmp_path):
    image = Image.merge("LA", [Image.new("L", (4, 4), 80), Image.new("L", (4, 4), 0)])
    image.putpixel((1, 0), (80, 255))
    found = read(tmp_path, image)
    assert found[0, 1].tolist() == [80, 80, 80]
    assert found[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
def test_a_transparent_colour(tmp_path, mode):
    image = Image.new("RGB", (4, 4), "black")
    image.paste("white" if mode == "1" else (90, 90, 90), (2, 0, 4, 4))
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    key = {"RGB": (0, 0, 0)}.get(mode, image.getpixel((0, 0)))
    found = read(tmp_path, image, transparency=key)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 3].tolist() == [255 if mode == "1" else 90] * 3


def test_a_palette(tmp_path):
    image = Image.new("RGB", (6, 4), (10, 20, 30))
    image.paste((200, 100, 50), (3, 0, 6, 4))
    assert np.array_equal(read(tmp_path, image.quantize(8)), np.asarray(image))


def test_four_colour_print(tmp_path):
    found = read(tmp_path, Image.new("RGB", (16, 16), (250, 10, 20)).convert("CMYK"), "jpg")
    assert np.abs(found.astype(int) - (250, 10, 20)).max() <= 3


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_of_no_known_range(tmp_path, mode):
    with pytest.raises(ProbeError, match=rf"photo\.tiff: pixels of mode {mode} have no known"):
        read(tmp_path, Image.new(mode, (4, 4), 3), "tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_orientation(tmp_path, orientation, suffix):
    # Quarters of four colours show every turn and mirroring.
    upright = Image.new("RGB", (32, 16), "red")
    upright.paste("lime", (16, 0, 32, 8))
    upright.paste("blue", (0, 8, 16, 16))
    stored = {
        1: lambda i: i,
        2: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda i: i.transpose(Image.Transpose.ROTATE_180),
        4: lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda i: i.transpose(Image.Transpose.TRANSPOSE),
        6: lambda i: i.transpose(Image.Transpose.ROTATE_90),
        7: lambda i: i.transpose(Image.Transpose.TRANSVERSE),
        8: lambda i: i.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    stored.save(tmp_path / f"photo.{suffix}", exif=exif, **options)
    found = to_bytes(Probes.from_folder(tmp_path, size=(16, 32))[0]).astype(int)
    assert np.abs(found - np.asarray(upright)).max() <= (0 if suffix == "png" else 4)


def test_the_centre_is_cut_at_the_aspect_of_the_size():
    photo = np.zeros((40, 100, 3), np.uint8)
    photo[:, 30:70] = 255
    square = Probes.from_images([photo], size=20)[0]
    assert square.shape == (3, 20, 20)
    assert square[:, :, 1:-1].min() == 1  # resizing mixes only the columns at the edge
    wide = Probes.from_images([photo], size=(20, 50))[0]
    assert wide[:, :, 17:33].min() == 1
    assert wide[:, :, :12].max() == 0


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_the_centre_is_that_of_pillow(shape, size):
    photo = Image.fromarray(noise(*shape))
    found = to_bytes(Probes.from_images([photo], size=size)[0])
    scale = min(shape[0] / size[0], shape[1] / size[1])
    if min(scale * size[0], scale * size[1]) < 1:
        return  # where a part has less than one pixel, only its shape is promised
    expected = ImageOps.fit(photo, size[::-1], Image.Resampling.BICUBIC)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 1


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    crops=st.integers(1, 8),
    min_crop=st.floats(0.01, 1),
    name=st.text(max_size=5),
)
def test_parts_lie_within_the_photo(width, height, size, crops, min_crop, name):
    boxes = Cuts(size, crops, min_crop, 0).boxes(name, width, height)
    assert len(boxes) == crops
    scale = min(height / size[0], width / size[1])
    for left, upper, right, lower in boxes:
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height
        w, h = right - left, lower - upper
        assert w >= 1 - 1e-9
        assert h >= 1 - 1e-9
        # Sides are whole pixels: a half is the most that rounding adds.
        assert min_crop * scale * size[1] - 0.51 <= w <= max(1, scale * size[1] + 0.51)
        assert min_crop * scale * size[0] - 0.51 <= h <= max(1, scale * size[0] + 0.51)


def test_random_parts_cover_scales_and_places():
    boxes = Cuts((10, 10), 2000, 0.25, 0).boxes("photo", 400, 200)
    sides = np.array([right - left for left, _, right, _ in boxes]) / 200
    assert sides.min() < 0.26
    assert sides.max() > 0.99
    assert abs(sides.mean() - 0.625) < 5 * 0.75 / np.sqrt(12 * 2000)
    middles = np.array([(left + right) / 800 for left, _, right, _ in boxes])
    assert abs(middles.mean() - 0.5) < 0.02
    assert np.allclose([(b[2] - b[0], b[3] - b[1]) for b in boxes][0], sides[0] * 200)


def test_random_parts_are_those_of_a_published_rule():
    boxes = Cuts((10, 20), 3, 0.5, 7).boxes("cat.jpg", 640, 480)
    assert boxes == [(176, 55, 592, 263), (7, 31, 640, 347), (63, 206, 605, 477)]


def test_seed_and_name_decide_the_parts():
    cut = {
        (seed, name): Cuts((8, 8), 4, 0.5, seed).boxes(name, 300, 200)
        for seed in (0, 1)
        for name in ("a", "b")
    }
    assert len({str(boxes) for boxes in cut.values()}) == 4
    assert Cuts((8, 8), 2, 0.5, 0).boxes("a", 300, 200) == cut[0, "a"][:2]


def test_photos_in_memory_are_cut_as_those_in_a_folder(tmp_path):
    for index in range(3):
        Image.fromarray(noise(seed=index)).save(tmp_path / f"{index}.png")
    there = Probes.from_folder(tmp_path, size=8, crops=3, seed=5)
    order = [name.removesuffix("#0") for name in there.names[::3]]
    photos = [Image.open(tmp_path / name) for name in order]
    here = Probes.from_images(photos, size=8, crops=3, seed=5, names=order)
    assert (here.hash, here.names) == (there.hash, there.names)
    arrays = [noise(seed=int(name[0])) for name in order]
    assert Probes.from_images(arrays, 8, crops=3, seed=5, names=order).hash == there.hash


def test_photos_in_memory_keep_their_order_and_are_not_changed():
    photos = [Image.fromarray(noise(seed=index)) for index in range(4)]
    before = [photo.tobytes() for photo in photos]
    probes = Probes.from_images([*photos, photos[0]], size=(20, 30))
    assert probes.names == ("image0", "image1", "image2", "image3", "image4")
    assert [to_bytes(image).tobytes() for image in probes] == [*before, before[0]]
    assert [photo.tobytes() for photo in photos] == before


def test_groups_of_photos_in_memory():
    photos = [noise(seed=index) for index in range(3)]

    def groups(value):
        return Probes.from_images(photos, size=8, crops=2, groups=value).groups.tolist()

    assert groups("photo") == [0, 0, 1, 1, 2, 2]
    assert groups(None) == [0, 1, 2, 3, 4, 5]
    assert groups(["x", "y", "x"]) == [0, 0, 1, 1, 0, 0]
    same = Probes.from_images(photos, size=8, crops=2, groups=None, names=["one"] * 3)
    assert same.n_groups == 6


def test_grey_and_alpha_arrays():
    grey, alpha = noise(8, 8, 0), noise(8, 8, 4)
    alpha[..., 3] = 0
    probes = Probes.from_images([grey, alpha], size=8)
    assert np.array_equal(to_bytes(probes[0]), grey_as_rgb(grey))
    assert probes[1].min() == 1


def test_a_photo_that_cannot_be_loaded(tmp_path):
    Image.effect_noise((64, 64), 80).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    named = pytest.raises(ProbeError, match=r"images\[1\] \('image1'\): .*truncated")
    with Image.open(tmp_path / "a.jpg") as half, named:
        Probes.from_images([noise(), half])
    with pytest.raises(ProbeError, match=r"images\[0\] \('image0'\): it has no pixels"):
        Probes.from_images([Image.new("RGB", (0, 4))])


@pytest.mark.parametrize(
    ("images", "kind", "message"),
    [
        ([], InvalidValueError, "images"),
        ("photos", InvalidTypeError, "images='photos'"),
        (noise(), InvalidTypeError, "(?s)images=.*a list of PIL images"),
        (torch.zeros(2, 3, 4, 4), InvalidTypeError, "from_tensor"),
        ([noise(), "a.jpg"], InvalidTypeError, r"images\[1\]='a.jpg'"),
        ([noise() / 255], InvalidTypeError, r"images\[0\]\.dtype"),
        ([noise(channels=2)], InvalidValueError, r"images\[0\]\.shape=\(20, 30, 2\)"),
        ([noise()[0, 0]], InvalidValueError, r"images\[0\]\.shape=\(3,\)"),
    ],
)
def test_wrong_images(images, kind, message):
    with pytest.raises(kind, match=message):
        Probes.from_images(images)


def test_wrong_names_and_groups():
    with pytest.raises(InvalidValueError, match="names=.*2 names"):
        Probes.from_images([noise(), noise()], names=["one"])
    with pytest.raises(InvalidValueError, match="groups='each'"):
        Probes.from_images([noise()], groups="each")
    with pytest.raises(InvalidValueError, match="groups=.*1 groups"):
        Probes.from_images([noise()], groups=[1, 2])
