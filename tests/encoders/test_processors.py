"""What image processors do to pixels is found out by asking them, or refused."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import pyattrx
from pyattrx.encoders import Affine
from pyattrx.encoders.processors import ask_processor, read_configuration
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError

transformers = pytest.importorskip("transformers")
# Where torchvision is missing, classes of this name are what processors fall back to.
BACKEND = "" if transformers.utils.is_torchvision_available() else "Pil"

SQUARE = {"height": 32, "width": 32}
EDGE = {"shortest_edge": 32}
MEAN, STD = [0.5, 0.25, 0.125], [0.5, 0.25, 0.0625]
CROPPED = {"size": {"shortest_edge": 36}, "crop_size": SQUARE}

PROCESSORS = {
    "plain": ("ViT", {"size": SQUARE, "image_mean": MEAN, "image_std": STD}),
    "cropped": ("CLIP", CROPPED),
    "a part of the larger image": ("ConvNext", {"size": EDGE}),
    "not normalised": ("ViT", {"size": SQUARE, "do_normalize": False}),
    "levels": ("ViT", {"size": SQUARE, "do_rescale": False, "do_normalize": False}),
    "levels normalised": (
        "ViT",
        {"size": SQUARE, "do_rescale": False, "image_mean": [120.0] * 3, "image_std": [60.0] * 3},
    ),
    "to -1 and 1": ("ViT", {"size": SQUARE, "rescale_factor": 1 / 127.5, "do_normalize": False}),
    "offset": (
        "EfficientNet",
        {"size": SQUARE, "rescale_factor": 1 / 127.5, "rescale_offset": True},
    ),
    "divided twice": ("EfficientNet", {"size": SQUARE, "image_mean": MEAN, "image_std": STD}),
    "divided alone": ("EfficientNet", {"size": SQUARE, "do_normalize": False}),
    "turned": ("MobileViT", {"size": EDGE, "crop_size": SQUARE}),
    "turned levels": ("MobileViT", {"size": EDGE, "crop_size": SQUARE, "do_rescale": False}),
    "not resized": ("ViT", {"do_resize": False}),
    "grey": ("SuperPoint", {"size": SQUARE, "do_grayscale": True}),
}


def processor(kind, **options):
    return getattr(transformers, f"{kind}ImageProcessor{BACKEND}")(**options)


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_the_processors_own(name):
    kind, options = PROCESSORS[name]
    made = processor(kind, **options)
    if name == "grey" and not BACKEND:
        with pytest.raises(EncoderError, match="changes pixels"):  # torchvision rounds to levels
            ask_processor(made)
        return
    seen = ask_processor(made)
    assert seen.input_size == (None if name == "not resized" else (32, 32))
    image = np.random.default_rng(9).integers(0, 256, (32, 32, 3), np.uint8)
    if (options.get("do_resize", True) and "crop_size" in options) or kind == "ConvNext":
        made = copy.deepcopy(made)  # of an image at the network's size nothing is cropped here
        made.do_resize = False
    theirs = made(images=Image.fromarray(image), return_tensors="pt")["pixel_values"].double()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255
    ours = pixels if seen.transform is None else seen.transform(pixels)
    assert torch.allclose(ours, theirs, rtol=0, atol=2e-6 * float(theirs.abs().max()))


def test_numbers_are_the_configurations_own():
    """To the bit, so that results of earlier releases stay valid."""
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    made = processor("CLIP", image_mean=list(mean), image_std=list(std), **CROPPED)
    assert ask_processor(made).transform == pyattrx.Normalize(mean, std)
    assert ask_processor(processor("ViT", size=SQUARE, do_normalize=False)).transform is None


def test_other_numbers_are_round():
    """Processors that round in other ways are written alike."""
    name, options = PROCESSORS["divided twice"]
    found = ask_processor(processor(name, **options)).transform
    assert found == pyattrx.Normalize(MEAN, [s * s for s in STD])
    turned = ask_processor(processor("MobileViT", size=EDGE, crop_size=SQUARE)).transform
    assert turned == Affine(((0, 0, 1), (0, 1, 0), (1, 0, 0)), (0, 0, 0))


class Custom:
    """A processor that does something to pixels [H, W, 3] in [0, 1]."""

    do_resize = True

    def __init__(self, change, side=32, fails=False):
        self.change, self.side, self.fails = change, side, fails

    def __call__(self, images, return_tensors):
        if self.fails:
            raise RuntimeError("no images of this size")
        if self.do_resize:
            images = images.resize((self.side, self.side))
        pixels = self.change(np.asarray(images) / 255)
        return {
            "pixel_values": torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        }


def posterize(pixels):
    return np.round(pixels * 51) / 51


REFUSED = {
    "contrast image by image": lambda p: (p - p.mean()) / max(p.std(), 0.01),
    "stretched": lambda p: p / np.maximum(p.max((0, 1)), 0.01),
    "gamma": lambda p: p**0.9,
    "clipped": lambda p: np.minimum(p, 0.99),
    "flipped": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "shifted": lambda p: np.roll(p, 1, 0),
    "blurred": lambda p: (p + np.roll(p, 1, 1)) / 2,
    "posterized": posterize,
    "products of channels": lambda p: p * p[..., :1],
    "a gradient": lambda p: p + np.linspace(0, 0.01, len(p))[:, None, None],
    "random": lambda p: p + np.random.default_rng().random() / 1000,
    "a different offset when dark": lambda p: p - (p.mean() < 0.3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_affine_is_refused(name):
    with pytest.raises(EncoderError, match="Custom, changes pixels by more.*transform="):
        ask_processor(Custom(REFUSED[name]))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            Custom(lambda p: np.pad(p, ((0, 4), (0, 0), (0, 0)))),
            "makes 40 x 32 pixels of 36 x 32 without resizing",
        ),
        (Custom(lambda p: p[::2]), "makes 16 x 32|makes 8 x 32"),
        (Custom(lambda p: p, fails=True), "fails on 75 x 75 pixels.*no images of this size"),
        (Custom(lambda p: p[:, :, :, None].repeat(2, 3).reshape(8, -1, 3)), "makes"),
    ],
)
def test_what_moves_pixels_is_refused(made, message):
    with pytest.raises(EncoderError, match=message):
        ask_processor(made)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Pix2Struct", {}, "makes .*flattened_patches.* no pixel_values"),
        ("VideoMAE", {"size": EDGE, "crop_size": SQUARE}, "shape .1, 1, 3, 32, 32."),
        ("GLPN", {}, "no fixed size .64 x 64 of 75 x 75 and 96 x 96 of 118 x 118."),
        ("Swin2SR", {}, "no fixed size"),
        ("Donut", {"size": {"height": 64, "width": 32}}, "fills 50% of 64 x 32"),
        ("CLIP", {"size": EDGE, "crop_size": {"height": 40, "width": 40}}, "fills 36%"),
        ("Qwen2VL", {}, "pixel_values of shape"),
    ],
)
def test_processors_that_make_something_else(kind, options, message):
    with pytest.raises(EncoderError, match=message):
        ask_processor(processor(kind, **options))


class TestConfigurations:
    """Of processors that cannot be built here."""

    plain = {  # noqa: RUF012
        "image_processor_type": "DINOv3ViTImageProcessorFast", "do_resize": True, "size": SQUARE,
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN,
        "image_std": STD, "resample": 2, "do_center_crop": None, "crop_size": None,
        "device": None, "do_pad": False,
    }  # fmt: skip

    def test_are_read(self):
        seen = read_configuration(self.plain)
        assert seen.transform == pyattrx.Normalize(MEAN, STD)
        assert seen.input_size == (32, 32)
        whole = read_configuration(self.plain | {"do_normalize": False, "do_resize": False})
        assert (whole.transform, whole.input_size) == (None, None)
        cropped = self.plain | {"do_center_crop": True, "crop_size": 24}
        assert read_configuration(cropped).input_size == (24, 24)
        edge = read_configuration(self.plain | {"size": {"shortest_edge": 40}})
        assert edge.input_size == (40, 40)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"include_top": True}, "the options include_top=True"),
            ({"do_flip_channel_order": True}, "do_flip_channel_order"),
            ({"do_pad": True, "pad_size": SQUARE}, "do_pad=True, pad_size"),
            ({"do_somethingnew": 1}, "do_somethingnew"),
            ({"image_processor_type": "EfficientNetImageProcessorFast"}, "what a EfficientNet"),
            ({"image_processor_type": "MineImageProcessor"}, "what a MineImageProcessor does"),
            ({"image_processor_type": None}, "what a None does"),
            ({"do_rescale": False}, r"not in \[0, 1\]"),
            ({"rescale_factor": 1 / 127.5}, r"not in \[0, 1\]"),
            ({"image_mean": None}, "does not say how it normalises"),
            ({"size": None}, "size None is not understood"),
            ({"size": {"longest_edge": 32}}, "size .*longest_edge.* is not understood"),
            ({"size": {"shortest_edge": 3, "longest_edge": 32}}, "is not understood"),
        ],
    )
    def test_are_refused_where_anything_is_not_understood(self, change, message):
        with pytest.raises(EncoderError, match=f"{message}.*transform="):
            read_configuration(self.plain | change)

    def test_must_say_whether_images_are_cropped(self):
        config = self.plain | {"crop_size": SQUARE}
        del config["do_center_crop"]
        with pytest.raises(EncoderError, match="whether images are cropped"):
            read_configuration(config)


@settings(suppress_health_check=[HealthCheck.too_slow])  # beside other tests
@given(
    matrix=st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=4),
    value=st.floats(-5, 5),
)
def test_affine_maps(matrix, value):
    made = Affine(matrix, [value] * len(matrix))
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    expected = (
        torch.einsum("oc,nchw->nohw", torch.tensor(matrix, dtype=images.dtype), images) + value
    )
    assert torch.allclose(made(images), expected, rtol=0, atol=1e-13)
    assert made == Affine(made.matrix, made.offset)
    assert hash(made) == hash(Affine(made.matrix, made.offset))


@pytest.mark.parametrize(
    ("matrix", "offset", "kind"),
    [
        ([[1, 2], [1]], [0, 0], InvalidValueError),
        ([], [], InvalidValueError),
        ([[1, 2]], [0, 0], InvalidValueError),
        ([[float("nan")]], [0], InvalidValueError),
        ([[1]], [float("inf")], InvalidValueError),
        ([["red"]], [0], InvalidTypeError),
        (3, [0], InvalidTypeError),
    ],
)
def test_affine_maps_that_are_none(matrix, offset, kind):
    with pytest.raises(kind, match="matrix|offset"):
        Affine(matrix, offset)


def test_an_affine_map_of_other_channels():
    with pytest.raises(InvalidValueError, match="2 channels"):
        Affine([[1, 2]], [0])(torch.rand(1, 3, 2, 2))
