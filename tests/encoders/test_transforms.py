"""Normalize, and the check that a transform leaves the image where it is."""

import pytest
import torch
import torch.nn.functional as F

import pyattrx
from networks import build
from pyattrx.encoders import check_geometry
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError

SIZES = [(224, 224), (32, 48), (97, 33), (8, 8)]


def standardised(x):
    return (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 1e-6)


def stretched(x):
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low)


KEEPS = {
    "normalize": pyattrx.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
    "scaled": lambda x: 255 * x,
    "inverted": lambda x: 1 - x,
    "bgr": lambda x: x.flip(1),
    "grey": lambda x: x.mean(1, keepdim=True),
    "grey repeated": lambda x: x.mean(1, keepdim=True).expand(-1, 3, -1, -1),
    "colour differences": lambda x: x[:, :2] - x[:, 1:],
    "standardised": standardised,
    "stretched": stretched,
    "gamma": lambda x: x**2.2,
    "blurred": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "enlarged": lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
    "reduced": lambda x: F.interpolate(x, size=(112, 112), mode="bilinear", antialias=True),
    "squeezed": lambda x: F.interpolate(x, size=(100, 224), mode="bicubic", antialias=True),
    "double": lambda x: x.double(),
}


@pytest.mark.parametrize("name", KEEPS)
def test_transforms_that_keep_the_geometry(name):
    check_geometry(KEEPS[name], (224, 224))


@pytest.mark.parametrize("size", SIZES)
def test_any_size(size):
    check_geometry(KEEPS["normalize"], size)
    check_geometry(KEEPS["standardised"], size)
    check_geometry(KEEPS["stretched"], size)


def test_a_much_smaller_result():
    check_geometry(lambda x: F.interpolate(x, size=(7, 9)), (224, 224))


@pytest.mark.parametrize("size", [(8, 8), (12, 12), (33, 10)])
@pytest.mark.parametrize(
    "transform",
    [lambda x: x.flip(-1), lambda x: x[..., 2:-2, 2:-2], lambda x: x.roll(4, -2)],
    ids=["flip", "crop", "shift"],
)
def test_small_images_are_checked_too(transform, size):
    with pytest.raises(EncoderError, match="crops or moves"):
        check_geometry(transform, size)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda x: (x - x.mean()) / x.std(), "beside another image"),
        (lambda x: (x - 0.5).log(), "NaN or Inf"),
    ],
)
def test_batches_and_values(transform, message):
    with pytest.raises(EncoderError, match=message):
        check_geometry(transform, (32, 32))


@pytest.mark.parametrize("pixels", [2, 8])
def test_a_crop_of_a_few_pixels_after_global_statistics(pixels):
    with pytest.raises(EncoderError, match="outermost 2 pixel.*top"):
        check_geometry(lambda x: standardised(x)[..., pixels:-pixels, pixels:-pixels], (64, 64))


def test_a_transform_in_place_leaves_the_images_alone(images):
    before = images.clone()
    run = pyattrx.Encoder(build("plain"), transform=lambda x: x.sub_(0.5)).prepare("cpu", images)
    assert torch.equal(run.preprocess(images), before - 0.5)
    assert torch.equal(images, before)


class Centred(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x - 0.5)


def test_a_transform_that_is_a_module_is_copied_and_put_in_eval_mode(images):
    transform = Centred()
    run = pyattrx.Encoder(build("plain"), transform=transform).prepare("cpu", images)
    assert torch.equal(run.preprocess(images), images - 0.5)
    assert transform.training


def centre_crop(share):
    def crop(x):
        h, w = x.shape[-2:]
        dh, dw = round(h * (1 - share) / 2), round(w * (1 - share) / 2)
        return x[..., dh : h - dh, dw : w - dw]

    return crop


MOVES = {
    "crop 0.5": centre_crop(0.5),
    "crop 0.875": centre_crop(0.875),
    "crop 0.95": centre_crop(0.95),
    "crop and resize back": lambda x: F.interpolate(
        centre_crop(0.875)(x), size=x.shape[-2:], mode="bilinear"
    ),
    "corner crop": lambda x: x[..., :200, :200],
    "flipped": lambda x: x.flip(-1),
    "upside down": lambda x: x.flip(-2),
    "transposed": lambda x: x.transpose(2, 3),
    "shifted": lambda x: x.roll(5, -1),
    "padded": lambda x: F.pad(x, (0, 40, 0, 40)),
    "ignores it": torch.zeros_like,
}


@pytest.mark.parametrize("name", MOVES)
def test_transforms_that_move_the_image(name):
    with pytest.raises(EncoderError, match="crops or moves the image.*input_size="):
        check_geometry(MOVES[name], (224, 224))


def test_a_random_transform():
    with pytest.raises(EncoderError, match="random"):
        check_geometry(lambda x: x + torch.rand_like(x), (32, 32))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda x: x[0], "returned.*expected a floating tensor"),
        (lambda x: (255 * x).byte(), "torch.uint8"),
        (lambda x: x.numpy(), "returned ndarray"),
        (lambda x: x.view(3, 32, 32), r"failed on a batch|returned \(3, 32, 32\)"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_transforms_that_do_not_work(transform, message):
    with pytest.raises(EncoderError, match=message):
        check_geometry(transform, (32, 32))


def test_a_cropping_transform_is_refused_by_name(images):
    encoder = pyattrx.Encoder(build("plain"), name="cropped", transform=centre_crop(0.875))
    with pytest.raises(EncoderError, match="'cropped'.*crops or moves"):
        encoder.prepare("cpu", images)


def test_normalize():
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (images - torch.tensor(mean).double().view(3, 1, 1)) / torch.tensor(
        std, dtype=torch.float64
    ).view(3, 1, 1)
    normalize = pyattrx.Normalize(mean, std)
    assert torch.allclose(normalize(images), expected, atol=1e-7)
    assert normalize(images).dtype == torch.float64
    assert normalize == pyattrx.Normalize(list(mean), list(std))
    assert hash(normalize) == hash(pyattrx.Normalize(mean, std))


@pytest.mark.parametrize(
    ("mean", "std", "kind", "message"),
    [
        ((0.5,), (0.5, 0.5), InvalidValueError, "std"),
        ((0.5, 0.5), (0.5, 0.0), InvalidValueError, "positive"),
        (0.5, 0.5, InvalidTypeError, "mean=0.5"),
        (("a",), (1,), InvalidTypeError, "mean"),
        ((float("nan"),), (1.0,), InvalidValueError, "finite"),
        ((), (), InvalidValueError, "mean"),
    ],
)
def test_wrong_normalisations(mean, std, kind, message):
    with pytest.raises(kind, match=message):
        pyattrx.Normalize(mean, std)


def test_normalize_needs_its_channels():
    with pytest.raises(InvalidValueError, match="2 channels"):
        pyattrx.Normalize((0.5, 0.5), (1, 1))(torch.rand(1, 3, 2, 2))
