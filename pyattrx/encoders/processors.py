"""What an image processor of transformers does to pixels, found out by asking it.

A processor has options that say how an image is resized and cropped, which is done here in our own
way, and others that change its values: rescaling, normalisation, the order of channels, and what
its class does without any option. So the processor itself is run, without resizing and cropping,
on images of noise; the affine map that explains all pixels of all of them is what the network's
images go through. Where none does, the processor is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyattrx.encoders.affine import Affine
from pyattrx.encoders.transforms import Normalize
from pyattrx.errors import EncoderError

__all__ = ["Preprocessing", "ask_processor", "read_configuration"]

_ADVICE = "make the Encoder yourself, with transform= and input_size="
_GEOMETRY = ("do_resize", "do_center_crop")  # both are done here, by input_size
_SIDES = (75, 118)  # of square images; neither is a multiple of what sizes are rounded to
_MOST = 4096  # pixels a side; what makes more puts patches in a row
# Of float32 in a few operations, relative to the largest value. Values are made of 8-bit levels,
# and a map that is off by a hundredth of a level is another one.
_TOLERANCE = 1e-5

# Of a configuration whose processor cannot be built: what is done here, and what changes no value.
_DONE = {
    "do_resize", "size", "do_center_crop", "crop_size", "crop_pct", "do_rescale", "rescale_factor",
    "do_normalize", "image_mean", "image_std",
}  # fmt: skip
_SILENT = {
    "resample", "image_processor_type", "feature_extractor_type", "processor_class",
    "do_convert_rgb", "data_format", "input_data_format", "return_tensors", "device",
    "disable_grouping", "default_to_square", "antialias", "do_reduce_labels", "reduce_labels",
}  # fmt: skip
# Classes that rescale and normalise, and do nothing else that their configuration does not say.
_PLAIN = {
    "Beit", "Bit", "CLIP", "ConvNext", "DINOv3ViT", "DeiT", "Levit", "PoolFormer", "Pvt", "Siglip",
    "ViT",
}  # fmt: skip


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before a network sees it.

    Parameters
    ----------
    transform : Normalize, Affine or None
    input_size : (int, int) or None
        Height and width; None where images keep their own.
    """

    transform: Normalize | Affine | None
    input_size: tuple[int, int] | None


def ask_processor(processor: Any) -> Preprocessing:
    """Find out what a processor does to a square image.

    Parameters
    ----------
    processor : transformers.BaseImageProcessor
        Called with PIL images; not changed.

    Raises
    ------
    EncoderError
        It does something else than resizing, cropping and an affine map of each pixel's channels.
    """
    size = _size(processor)
    plain = copy.deepcopy(processor)
    for option in _GEOMETRY:
        if getattr(plain, option, None):
            setattr(plain, option, False)
    height, width = size or (_SIDES[0], _SIDES[0])
    images = [_noise(height, width, kind) for kind in range(3)]
    answers = [_run(plain, image) for image in images]
    for answer in answers:
        if answer.shape[-2:] != (height, width):
            raise _refused(
                processor,
                f"makes {answer.shape[-2]} x {answer.shape[-1]} pixels of {height} x {width} "
                "without resizing and cropping",
            )
    matrix, offset = _fit(images[0], answers[0])
    scale = max(float(np.abs(answer).max()) for answer in answers)
    for image, answer in zip(images, answers, strict=True):
        error = np.abs(_apply(matrix, offset, image) - answer).max()
        if not error <= _TOLERANCE * scale:
            raise _refused(
                processor,
                "changes pixels by more than a factor and an offset for each channel, which miss "
                f"its values by up to {error:.2g} of {scale:.2g}",
            )
    if size is not None:
        _check_filled(processor, size)
    return Preprocessing(_written(matrix, offset, processor, scale), size)


def read_configuration(config: Mapping[str, Any]) -> Preprocessing:
    """Read the configuration of a processor that cannot be built.

    Raises
    ------
    EncoderError
        It is of a class, or has an option, of which it is not known here what it does.
    """
    kind = str(config.get("image_processor_type", config.get("feature_extractor_type")))
    known = (
        kind.removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    )
    if known not in _PLAIN:
        raise EncoderError(f"it is not known here what a {kind} does; {_ADVICE}")
    more = sorted(
        key
        for key, value in config.items()
        if key not in _DONE | _SILENT and not (value is None or value is False)
    )
    if more:
        said = ", ".join(f"{key}={config[key]!r}" for key in more)
        raise EncoderError(f"it is not known here what the options {said} do; {_ADVICE}")
    factor = config.get("rescale_factor") or 1 / 255
    if not config.get("do_rescale", True) or abs(255 * factor - 1) > _TOLERANCE:
        raise EncoderError(f"its images are not in [0, 1] before they are normalised; {_ADVICE}")
    transform = None
    if config.get("do_normalize", True):
        if config.get("image_mean") is None or config.get("image_std") is None:
            raise EncoderError(f"it does not say how it normalises; {_ADVICE}")
        transform = Normalize(config["image_mean"], config["image_std"])
    return Preprocessing(transform, _size_said(config))


def _size(processor: Any) -> tuple[int, int] | None:
    """Size that the network sees of a square image; None where that is the image's own."""
    seen = [_run(processor, _noise(side, side, 0)).shape[-2:] for side in _SIDES]
    if seen[0] == seen[1]:
        if max(seen[0]) > _MOST:
            raise _refused(processor, f"makes images of {seen[0][0]} x {seen[0][1]} pixels")
        return seen[0]
    if all(shape == (side, side) for shape, side in zip(seen, _SIDES, strict=True)):
        return None
    said = " and ".join(
        f"{h} x {w} of {side} x {side}" for (h, w), side in zip(seen, _SIDES, strict=True)
    )
    raise _refused(processor, f"makes images of no fixed size ({said})")


def _check_filled(processor: Any, size: tuple[int, int]) -> None:
    """Refuse a processor that pads: what the network sees would be the image in part."""
    side = max(size)
    black, white = (_run(processor, np.full((side, side, 3), v, np.uint8)) for v in (0, 255))
    empty = (black == white).all(0).mean()
    if empty:
        raise _refused(
            processor, f"fills {empty:.0%} of {size[0]} x {size[1]} pixels with something else"
        )


def _size_said(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Size in a configuration: the crop's where there is one, since nothing is cropped here."""
    crop, size = config.get("crop_size"), config.get("size")
    if crop is not None and "do_center_crop" not in config:
        raise EncoderError(f"it does not say whether images are cropped to {crop}; {_ADVICE}")
    if config.get("do_center_crop"):
        size = crop
    elif not config.get("do_resize", True):
        return None
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    raise EncoderError(f"its size {size} is not understood; {_ADVICE}")


def _noise(height: int, width: int, kind: int) -> NDArray[np.uint8]:
    """Make an image of noise: of all levels, of dark ones, or with all levels in a ramp.

    They differ in what a processor could measure: mean, contrast, and where it is bright.
    """
    random = np.random.default_rng(kind)
    noise = random.random((height, width, 3))
    if kind == 1:
        noise = noise * [0.2, 0.3, 0.4]
    if kind == 2:
        noise = (noise + np.linspace(0, 1, height * width).reshape(height, width, 1)) / 2
    return np.asarray(noise * 255.999, np.uint8)


def _run(processor: Any, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the pixels [C, H, W] that a processor makes of one image [H, W, 3]."""
    from PIL import Image

    try:
        made = processor(images=Image.fromarray(image), return_tensors="pt")
    except Exception as error:
        height, width = image.shape[:2]
        raise _refused(
            processor, f"fails on {height} x {width} pixels ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(made, Mapping) or "pixel_values" not in made:
        keys = sorted(made) if isinstance(made, Mapping) else type(made).__name__
        raise _refused(processor, f"makes {keys}, and no pixel_values")
    pixels = torch.as_tensor(made["pixel_values"]).double().numpy()
    if pixels.ndim != 4 or len(pixels) != 1:
        raise _refused(processor, f"makes pixel_values of shape {pixels.shape} of one image")
    one: NDArray[np.float64] = pixels[0]
    return one


def _fit(
    image: NDArray[np.uint8], answer: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit matrix [C', 3] and offset [C'] to pixels in [0, 1]."""
    every = max(1, image.size // 30_000)  # enough of them for four unknowns
    pixels = image.reshape(-1, 3)[::every] / 255
    known = np.column_stack([pixels, np.ones(len(pixels))])
    wanted = answer.reshape(len(answer), -1).T[::every]
    found: NDArray[np.float64] = np.linalg.lstsq(known, wanted, rcond=None)[0].astype(np.float64)
    return found[:3].T, found[3]


def _apply(
    matrix: NDArray[np.float64], offset: NDArray[np.float64], image: NDArray[np.uint8]
) -> NDArray[np.float64]:
    made: NDArray[np.float64] = (image / 255 @ matrix.T + offset).transpose(2, 0, 1)
    return made


def _written(
    matrix: NDArray[np.float64], offset: NDArray[np.float64], processor: Any, scale: float
) -> Normalize | Affine | None:
    """Write the map in round numbers; the processor's own where it does what they say."""

    def same(other: NDArray[np.float64], more: NDArray[np.float64]) -> bool:
        return bool(np.abs(np.c_[other - matrix, more - offset]).sum(1).max() < _TOLERANCE * scale)

    if matrix.shape == (3, 3):
        if same(np.eye(3), np.zeros(3)):
            return None
        factor = np.diag(matrix)
        if factor.min() > 0 and same(np.diag(factor), offset):
            said = (getattr(processor, "image_mean", None), getattr(processor, "image_std", None))
            found = (-offset / factor, 1 / factor)
            for mean, std in (said, tuple(_rounded(v) for v in found), found):
                made = _normalize(mean, std)
                if made is not None and same(
                    np.diag(1 / np.array(made.std)), -np.array(made.mean) / np.array(made.std)
                ):
                    return made
    return Affine(_rounded(matrix, scale), _rounded(offset, scale))


def _normalize(mean: Any, std: Any) -> Normalize | None:
    try:
        mean, std = (np.broadcast_to(np.asarray(v, np.float64), 3) for v in (mean, std))
        return Normalize(mean, std)
    except (TypeError, ValueError):
        return None


def _rounded(values: NDArray[np.float64], scale: float = 1) -> Any:
    """Six digits, so that processors which round in other ways are written alike."""
    if values.ndim > 1:
        return tuple(_rounded(row, scale) for row in values)
    return tuple(float(f"{v:.6g}") if abs(v) > 1e-6 * scale else 0.0 for v in values)


def _refused(processor: Any, what: str) -> EncoderError:
    return EncoderError(f"its image processor, a {type(processor).__name__}, {what}; {_ADVICE}")
