"""Networks of timm and of transformers."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.factories import call
from pyattrx.encoders.transforms import Normalize
from pyattrx.errors import EncoderError, InvalidValue, MissingDependency

__all__ = ["from_timm", "from_transformers", "timm_package"]


def timm_package() -> Any:
    """Import timm; raises MissingDependency or EncoderError."""
    return _package("timm", "specifications timm:NAME", "timm torchvision")


def _package(package: str, needed_for: str, install: str) -> Any:
    try:
        return importlib.import_module(package)
    except Exception as error:
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(package, needed_for, install) from error
        raise EncoderError(
            f"{needed_for} needs the package {package!r}, which is installed but does not import: "
            f"{type(error).__name__}: {error}"
        ) from error


def from_timm(name: str, specification: str) -> Encoder:
    """Load ``timm:NAME``; see `pyattrx.load`."""
    timm = timm_package()
    model, _, variant = name.partition("@")
    if variant not in ("", "random"):
        raise InvalidValue("specification", specification, "timm:NAME or timm:NAME@random")
    # No classes: the pooled features that the classifier would have seen.
    module = call(
        lambda: timm.create_model(model, pretrained=variant != "random", num_classes=0),
        specification,
    )
    config = timm.data.resolve_model_data_config(module)
    return Encoder(
        module,
        name=specification,
        transform=Normalize(config["mean"], config["std"]),
        input_size=(int(config["input_size"][1]), int(config["input_size"][2])),
    )


def from_transformers(name: str, specification: str) -> Encoder:
    """Load ``transformers:NAME_OR_PATH``; see `pyattrx.load`."""
    transformers = _package("transformers", "specifications transformers:NAME", "transformers")
    module = call(
        lambda: transformers.AutoModel.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False
        ),
        specification,
    )
    processing = importlib.import_module("transformers.image_processing_base")
    config, _ = call(
        lambda: processing.ImageProcessingMixin.get_image_processor_dict(name), specification
    )
    if not config.get("do_normalize", True):
        transform = None
    elif "image_mean" in config and "image_std" in config:
        transform = Normalize(config["image_mean"], config["image_std"])
    else:
        raise EncoderError(
            f"{specification!r}: the image processor does not say how it normalises; make the "
            "Encoder yourself, with transform= and input_size="
        )
    return Encoder(
        module,
        name=specification,
        transform=transform,
        input_size=_processor_size(config, specification),
    )


def _processor_size(config: dict[str, Any], specification: str) -> tuple[int, int] | None:
    """Size that the network sees: the crop's where there is one, since nothing is cropped here."""
    size = (config.get("do_center_crop") and config.get("crop_size")) or config.get("size")
    if size is None or not config.get("do_resize", True):
        return None
    if isinstance(size, int):
        return size, size
    if "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    raise EncoderError(f"{specification!r}: the image processor's size {size} is not understood")
