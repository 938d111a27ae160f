"""Every pretrained network does what it was trained for: architecture, weights and input agree."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

from pyattrx.demo.networks import demo_networks
from pyattrx.demo.networks.crnn import greedy_text

# ImageNet classes: 285 Egyptian cat, 665 moped, 872 tripod, 967 espresso.
TOP_1 = {"chelsea": 285, "motorcycle": 665, "camera": 872, "coffee": 967}
SIZES = {n.name: n.input_size for n in demo_networks() if n.task == "image classification"}


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def centre_square(image, size):
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    return np.array(square.resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", SIZES)
def test_classifier_names_what_the_photo_shows(name, build, photos, prepare):
    x = torch.cat([prepare(centre_square(photos[p], SIZES[name]), name) for p in TOP_1])
    assert build(name)(x).argmax(1).tolist() == list(TOP_1.values())


@pytest.mark.parametrize("photo", ["chelsea", "camera"])
def test_denoiser_gains_several_decibels(photo, build, photos, prepare):
    clean = prepare(photos[photo][60:189, 60:187])  # odd on purpose
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = clean + 25 / 255 * noise

    def psnr(image):
        return -10 * (image - clean).square().mean().log10().item()

    denoised = build("ffdnet")(noisy)
    assert denoised.shape == clean.shape
    assert psnr(denoised) > psnr(noisy) + 8


def test_text_detector_finds_the_text(build, photos, prepare):
    plain = Image.fromarray(photos["coffee"][60:188, :320])
    written, font, corner = plain.copy(), ImageFont.load_default(48), (40, 30)
    draw = ImageDraw.Draw(written)
    draw.text(corner, "ESPRESSO", font=font, fill=(255, 255, 255))
    left, top, right, bottom = (int(v) // 2 for v in draw.textbbox(corner, "ESPRESSO", font=font))
    inside = torch.zeros(64, 160, dtype=torch.bool)
    inside[top:bottom, left:right] = True

    images = torch.cat([prepare(image, "craft") for image in (written, plain)])
    on_text, on_photo = build("craft")(images)[:, 0]
    assert on_text[inside].mean() > 0.3
    assert on_text[~inside].mean() < 0.03
    assert on_photo[inside].mean() < 0.03


def test_recogniser_reads_a_line(build, prepare):
    lines = ["transfer", "NeurIPS 2019"]
    for line in lines:
        font = ImageFont.load_default(44)
        image = Image.new("RGB", (int(font.getbbox(line)[2]) + 24, 64), (200, 210, 190))
        ImageDraw.Draw(image).text((12, 32), line, font=font, fill=(40, 20, 60), anchor="lm")
        assert greedy_text(build("crnn")(prepare(image, "crnn"))) == [line]


SHIFT = 16  # two cells


@pytest.fixture
def shifted_pair(photos, prepare):
    """Two views of one photo: the pixel p of the second is the pixel p + SHIFT of the first."""
    image = prepare(photos["astronaut"], "xfeat")
    end = 256 + 32
    return image[..., 32:end, 32:end], image[
        ..., 32 + SHIFT : end + SHIFT, 32 + SHIFT : end + SHIFT
    ]


def test_descriptors_match_between_shifted_views(build, shifted_pair):
    first, second = (F.normalize(build("xfeat")(view)[0][0], dim=0) for view in shifted_pair)
    cells = SHIFT // 8
    # Cells of the second view that the first one shows too, and where it shows them.
    common = second[:, : 32 - cells, : 32 - cells].flatten(1)
    matches = (common.T @ first.flatten(1)).argmax(1)
    rows, columns = torch.meshgrid(*[torch.arange(cells, 32)] * 2, indexing="ij")
    near = torch.maximum(
        (matches // 32 - rows.flatten()).abs(), (matches % 32 - columns.flatten()).abs()
    )
    # By chance 1 in 1024 would match, and 9 in 1024 would be a cell off at most.
    assert (near == 0).float().mean() > 0.6
    assert (near <= 1).float().mean() > 0.85


def test_keypoints_move_with_the_view(build, photos, prepare):
    image = prepare(photos["astronaut"], "xfeat")
    dy, dx = 2, 5

    def keypoints(view):
        logits = build("xfeat")(view)[1]
        probability = F.pixel_shuffle(logits.softmax(1)[:, :-1], 8)
        peaks = probability == F.max_pool2d(probability, 5, 1, 2)
        return (peaks & (probability > 0.1)).float()

    first = keypoints(image[..., 32:288, 32:288])
    second = keypoints(image[..., 32 - dy : 288 - dy, 32 - dx : 288 - dx])
    # Where the second view has a keypoint within a pixel, in the coordinates of the first.
    near = F.max_pool2d(second, 3, 1, 1).roll((-dy, -dx), (2, 3))
    repeated = (first * near).sum() / first.sum()
    # Chance would repeat the share of pixels that are near; so does a grid read the wrong way.
    assert first.sum() > 100
    assert repeated > 3 * near.mean()
