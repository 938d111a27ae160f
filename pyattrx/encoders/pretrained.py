"""Networks of timm and of transformers."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from pyattrx._near import did_you_mean
from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.factories import call
from pyattrx.encoders.hub import check_reachable
from pyattrx.encoders.processors import Preprocessing, ask_processor, read_configuration
from pyattrx.encoders.random_weights import drawn_from, random_seed
from pyattrx.encoders.transforms import Normalize
from pyattrx.errors import EncoderError, InvalidValueError, MissingDependencyError, PyattrxError

__all__ = ["from_timm", "from_transformers", "import_package", "timm_package"]

# Where models of images and text keep what sees the images.
_TOWERS = (
    "vision_model", "vision_tower", "vision_encoder", "image_model", "image_encoder", "visual",
)  # fmt: skip


def timm_package() -> Any:
    """Import timm; raises MissingDependencyError or EncoderError."""
    return import_package("timm", "specifications timm:NAME", "timm torchvision")


def import_package(package: str, needed_for: str, install: str) -> Any:
    """Import an optional package; raises MissingDependencyError or EncoderError."""
    try:
        return importlib.import_module(package)
    except Exception as error:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, needed_for, install) from error
        raise EncoderError(
            f"{needed_for} needs the package {package!r}, which is installed but does not import: "
            f"{type(error).__name__}: {error}"
        ) from error


def from_timm(name: str, specification: str) -> Encoder:
    """Load ``timm:NAME``; see `pyattrx.load`."""
    timm = timm_package()
    model, _, variant = name.partition("@")
    seed = random_seed(variant)
    if variant and seed is None:
        raise InvalidValueError(
            "specification", specification, "timm:NAME, timm:NAME@random or timm:NAME@random=SEED"
        )
    # No classes: the pooled features that the classifier would have seen.
    try:
        known = call(lambda: timm.get_pretrained_cfg(model), specification)
        if seed is None and known is not None and known.hf_hub_id:
            files = [known.hf_hub_filename or "model.safetensors", "pytorch_model.bin"]
            check_reachable(known.hf_hub_id, files, specification)
        with drawn_from(seed):
            module = call(
                lambda: timm.create_model(model, pretrained=seed is None, num_classes=0),
                specification,
            )
    except EncoderError as error:
        raise EncoderError(f"{error}{_near_timm(timm, model)}") from error.__cause__
    config = timm.data.resolve_model_data_config(module)
    encoder = Encoder(
        module,
        name=specification,
        transform=Normalize(config["mean"], config["std"]),
        input_size=(int(config["input_size"][1]), int(config["input_size"][2])),
    )
    encoder.known["headless"] = True
    if seed is None:
        said = getattr(module, "pretrained_cfg", None) or {}
        encoder.known["model"] = ".".join(
            said[key] for key in ("architecture", "tag") if said.get(key)
        )
    return encoder


def _near_timm(timm: Any, name: str) -> str:
    """What may have been meant by a name that timm does not know."""
    names = timm.list_models("*")
    if "." in name and name.partition(".")[0] in names:  # it is the weights that are misspelt
        names = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
    return did_you_mean(name, names)


def from_transformers(name: str, specification: str) -> tuple[Encoder, list[str]]:
    """Load ``transformers:NAME_OR_PATH``, see `pyattrx.load`; name what its checkpoint lacks."""
    transformers = import_package(
        "transformers", "specifications transformers:NAME", "transformers"
    )
    if not Path(name).exists():
        check_reachable(name, ["config.json"], specification)
    with _quiet(transformers):
        module, info = call(
            lambda: transformers.AutoModel.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            ),
            specification,
        )
        try:
            seen = _preprocessing(transformers, name)
        except EncoderError as error:
            raise EncoderError(f"{specification!r}: {error}") from error
    prefix, module = _vision_part(module, specification)
    encoder = Encoder(
        module, name=specification, transform=seen.transform, input_size=seen.input_size
    )
    encoder.known["headless"] = True  # an AutoModel has none
    missing = [key.removeprefix(prefix) for key in info["missing_keys"] if key.startswith(prefix)]
    return encoder, sorted(missing)


def _preprocessing(transformers: Any, name: str) -> Preprocessing:
    """Ask the processor that is saved beside a network, or read what is saved of it."""
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except OSError as error:
        raise EncoderError(
            "no image processor is saved with the network, or it cannot be read: save it in the "
            "same folder, with its save_pretrained, or make the Encoder yourself, with transform= "
            f"and input_size= ({_first_line(error)})"
        ) from error
    except Exception as error:  # a package that it needs is missing, or it is code of its own
        base = importlib.import_module("transformers.image_processing_base")
        config, _ = base.ImageProcessingMixin.get_image_processor_dict(name)
        try:
            return read_configuration(config)
        except PyattrxError as refused:
            raise EncoderError(
                f"its image processor cannot be built ({_first_line(error)}), and of its "
                f"configuration {refused}"
            ) from error
    return ask_processor(processor)


def _vision_part(module: nn.Module, specification: str) -> tuple[str, nn.Module]:
    """Find the part that sees images, and the prefix of its weights, where there are others."""
    asks = getattr(module, "main_input_name", "pixel_values")
    if asks == "pixel_values" and not hasattr(module, "get_image_features"):
        return "", module
    for name in _TOWERS:
        part = getattr(module, name, None)
        if isinstance(part, nn.Module):
            return f"{name}.", part
    raise EncoderError(
        f"{specification!r}: a {type(module).__name__} takes {asks} and more, and it is not known "
        "here which of its parts takes images alone; make the Encoder of that part yourself"
    )


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Leave out progress bars, and reports of missing weights: we say which of them matter."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
