"""Photos turned upright, whatever else their metadata holds, and without writing any."""

import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pyattrx.errors import ProbeError
from pyattrx.probes import Probes

STORED = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
TURNED = {
    1: STORED,
    2: STORED[:, ::-1],
    3: STORED[::-1, ::-1],
    4: STORED[::-1],
    5: STORED.transpose(1, 0, 2),
    6: STORED.transpose(1, 0, 2)[:, ::-1],
    7: STORED[::-1, ::-1].transpose(1, 0, 2),
    8: STORED.transpose(1, 0, 2)[::-1],
}
SHORT, RATIONAL = 3, 10
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def block(orientation, others=(), order="<", kind=SHORT, count=1):
    """An EXIF block: the orientation among other entries, given as (tag, type, count, data)."""
    value = struct.pack(f"{order}HH", orientation, 0)
    entries = sorted([(0x112, kind, count, value), *others], key=lambda entry: entry[0])
    at = 8 + 2 + 12 * len(entries) + 4
    head, behind = b"", b""
    for tag, kind, count, data in entries:
        head += struct.pack(f"{order}HHL", tag, kind, count)
        if len(data) > 4:
            head += struct.pack(f"{order}L", at + len(behind))
            behind += data
        else:
            head += data.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", 8)
    return start + struct.pack(f"{order}H", len(entries)) + head + bytes(4) + behind


def png(exif, *, last=False):
    """A PNG file with an eXIf chunk, before its pixels or behind them."""
    out = io.BytesIO()
    Image.fromarray(STORED).save(out, "PNG")
    data = out.getvalue()
    chunk = b"eXIf" + exif
    chunk = struct.pack(">L", len(exif)) + chunk + struct.pack(">L", zlib.crc32(chunk))
    at = len(data) - 12 if last else 33
    return data[:at] + chunk + data[at:]


def read(data, folder=None):
    """The one probe of a file's bytes, [H, W, 3], however it is turned."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in ((24, 40), (40, 24)):
            probes = Probes.from_images([Image.open(io.BytesIO(data))], size=size)
            found.append((probes[0].numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0))
    return found


def is_turned(data, orientation):
    expected = TURNED[orientation]
    return np.array_equal(read(data)[expected.shape[0] == 40], expected)


ODD = [
    (0x11A, RATIONAL, 1, struct.pack("<ii", -5, 0)),
    (0x11A, 5, 1, struct.pack("<II", 0, 0)),
    (0x10F, 2, 1 << 30, b"\xff\xff\xff\x7f"),  # a maker's name of 1 GiB
    (0x8769, 4, 1, struct.pack("<I", 1 << 30)),  # a directory beyond the end
    (0x8769, 2, 3, b"abc"),
    (0x10E, 12, 1, struct.pack("<d", float("nan"))),
    (0x131, 77, 3, b"abc"),  # no such type
    (0xA005, 3, 2, struct.pack("<HH", 1, 2)),
    (0x9286, 7, 9, b"\xff" * 9),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd[0]:#x} {odd[1]}")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_entries_do_not_matter(orientation, odd):
    assert is_turned(png(block(orientation, [odd])), orientation)


entries = st.tuples(
    st.integers(0, 0xFFFF).filter(lambda tag: tag != 0x112),
    st.integers(0, 20),
    st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
    st.binary(max_size=80),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 8),
    st.lists(entries, max_size=5, unique_by=lambda entry: entry[0]),
    st.sampled_from("<>"),
    st.booleans(),
    st.booleans(),
)
@example(6, [(0x10F, 2, 2**32 - 1, b"\0" * 4)], ">", True, False)
def test_any_block_with_an_orientation(orientation, others, order, last, prefix):
    data = (b"Exif\0\0" if prefix else b"") + block(orientation, others, order)
    assert is_turned(png(data, last=last), orientation)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(b"II*\0\x08\0\0\0".__add__)))
def test_any_bytes_at_all(data):
    found = read(png(data))
    assert any(np.array_equal(found[turned.shape[0] == 40], turned) for turned in TURNED.values())


@given(st.integers(0, 100))
@settings(deadline=None)
def test_a_block_that_ends_early(length):
    """It is turned where its orientation is still there, and as it is stored otherwise."""
    data = block(6, [(0x11A, 5, 1, struct.pack("<II", 72, 1))])[:length]
    assert is_turned(png(data), 6 if length >= 8 + 2 + 10 else 1)


@pytest.mark.parametrize("value", [0, 9, 77, 65535], ids=lambda value: f"orientation {value}")
def test_orientations_that_there_are_not(value):
    assert is_turned(png(block(value)), 1)


@pytest.mark.parametrize(("kind", "count"), [(2, 2), (5, 1), (7, 4), (12, 1), (99, 1)])
def test_orientations_of_a_wrong_type(kind, count):
    assert is_turned(png(block(6, kind=kind, count=count)), 1)


def test_an_orientation_in_the_middle_of_damage():
    """Entries are sorted; older Pillows read none behind one that points beyond the end."""
    assert is_turned(png(block(8, [(0x10F, 2, 500, b"\xff\xff\0\0")])), 8)


XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation{}/></x:xmpmeta>'


@pytest.mark.parametrize("form", ['="6"', ">6</tiff:Orientation>"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_by_xmp(form, kind, tmp_path):
    text, out = XMP.format(form), io.BytesIO()
    options = {"xmp": text.encode()}
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", text)
    if kind == "TIFF":
        options = {"tiffinfo": {700: text.encode()}}
    if kind == "WEBP":
        options["lossless"] = True
    if kind == "JPEG":
        options["quality"] = 100
    Image.fromarray(STORED).save(out, kind, **options)
    found = read(out.getvalue())[1].astype(int)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(out)).convert("RGB"))
    assert expected.shape == (40, 24, 3)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "MPO", "WEBP", "JPEG", "PNG"])
def test_it_is_turned_as_pillow_turns_it(orientation, kind, tmp_path):
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    image = Image.fromarray(STORED)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    if kind == "MPO":
        options = {"save_all": True, "append_images": [image]}
    image.save(out, kind, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(out)).convert("RGB"))
    tall = expected.shape[0] == 40
    assert tall == (orientation > 4)
    assert np.array_equal(read(out.getvalue())[tall], expected)
    (tmp_path / "photo.jpg").write_bytes(out.getvalue())
    there = Probes.from_folder(tmp_path, size=expected.shape[:2])
    assert there.hash == Probes.from_images([Image.fromarray(expected)], expected.shape[:2]).hash


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_damaged_metadata_in_files(kind, tmp_path):
    """From a folder and from memory: the photo, or an error of ours."""
    out = io.BytesIO()
    Image.fromarray(STORED).save(out, kind, exif=b"Exif\0\0" + block(6, ODD[1:2]))
    data = out.getvalue()
    at = data.index(b"II*\0")  # where a TIFF file begins; its directory is at the end
    places = (
        [*range(8), *range(len(data) - 150, len(data))]
        if at == 0
        else range(at, min(at + 60, len(data)))
    )
    path = tmp_path / f"photo.{kind.lower()}"

    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ProbeError):
                assert Probes.from_folder(tmp_path, size=8).shape == (1, 3, 8, 8)
            try:
                image = Image.open(path)
            except Exception:
                continue  # not ours: nobody could open it
            with contextlib.suppress(ProbeError):
                assert Probes.from_images([image], size=8).shape == (1, 3, 8, 8)


def test_what_was_turned_already_stays():
    """Somebody has turned a photo in memory and removed the orientation from what was read."""
    image = Image.open(io.BytesIO(png(block(6))))
    image.load()
    del image.getexif()[0x112]
    assert Probes.from_images([image], size=(24, 40)).shape == (1, 3, 24, 40)
    kept = Probes.from_images([image], size=(24, 40))[0].numpy() * 255
    assert np.array_equal(kept.round().transpose(1, 2, 0), STORED)


def test_a_photo_of_which_pillow_raises_anything():
    class Odd(Image.Image):
        def load(self):
            raise struct.error("argument out of range")

    image = Odd()
    image._size, image._mode = (4, 4), "RGB"
    with pytest.raises(ProbeError, match=r"images\[0\] \('image0'\): argument out of range"):
        Probes.from_images([image])


def test_metadata_that_is_no_metadata():
    for value in (3, "text", None, b"", b"Exif\0\0", [1], {"a": 1}):
        image = Image.fromarray(STORED)
        image.info["exif"] = value
        image.info["Raw profile type exif"] = "xx"
        image.info["xmp"] = value
        assert Probes.from_images([image], size=(24, 40)).shape == (1, 3, 24, 40)


def test_the_photo_given_is_not_changed():
    image = Image.open(io.BytesIO(png(block(6, ODD[:1]))))
    image.load()
    before = dict(image.info), image.size, image.tobytes()
    hashes = {Probes.from_images([image], size=16).hash for _ in range(2)}
    assert len(hashes) == 1
    assert (dict(image.info), image.size, image.tobytes()) == before
