"""Classifiers of torchvision with their weights, and the preprocessing that belongs to these."""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from pyattrx._near import did_you_mean
from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.factories import call
from pyattrx.encoders.pretrained import import_package
from pyattrx.encoders.random_weights import drawn_from, random_seed
from pyattrx.encoders.transforms import Normalize
from pyattrx.errors import EncoderError, InvalidValueError

__all__ = ["from_torchvision", "torchvision_meta", "torchvision_names", "torchvision_size"]

_CLASSES = 1000  # of weights that do not name theirs
_PRESET = "ImageClassification"


def from_torchvision(name: str, specification: str) -> Encoder:
    """Load ``torchvision:NAME``; see `pyattrx.load`."""
    models = _models()
    model, _, variant = name.partition("@")
    if model not in _names(models):
        near = did_you_mean(model, _names(models)) or (
            "; detection, segmentation and video are loaded by a function of yours, which says "
            "what they see: path/file.py:factory"
        )
        raise InvalidValueError(
            "specification", specification, f"a classifier of torchvision{near}"
        )
    known = models.get_model_weights(model)
    seed = random_seed(variant)
    if seed is None and variant not in ("", *known.__members__):
        accepted = (*known.__members__, "random", "random=SEED")
        expected = ", ".join(f"{model}@{one}" for one in accepted)
        raise InvalidValueError(
            "specification", specification, f"torchvision:{model}, or {expected}"
        )
    weights = known[variant] if variant in known.__members__ else known.DEFAULT
    preset = weights.transforms()
    if type(preset).__name__ != _PRESET:
        raise EncoderError(
            f"{specification!r}: it is not known here what the preset {type(preset).__name__} does "
            "to images; make the Encoder yourself, with transform= and input_size="
        )
    with drawn_from(seed):
        module = _made(models, model, weights if seed is None else None, specification)
    _remove_classifier(module, len(weights.meta.get("categories") or ()) or _CLASSES, specification)
    encoder = Encoder(
        module,
        name=specification,
        transform=Normalize(preset.mean, preset.std),
        input_size=int(preset.crop_size[0]),
    )
    encoder.known["headless"] = True
    if seed is None:
        encoder.known |= _facts(weights)
    return encoder


def torchvision_names(pattern: str, specification: str) -> list[str]:
    """List the ``NAME`` or ``NAME@WEIGHTS`` of torchvision that a pattern stands for.

    Raises
    ------
    InvalidValueError
        There is none.
    """
    models = _models()
    names, at, variant = pattern.partition("@")
    found = [name for name in _names(models) if fnmatchcase(name, names)]
    if variant and random_seed(variant) is None:
        found = [name for name in found if variant in models.get_model_weights(name).__members__]
    if not found:
        near = did_you_mean(names.strip("*?"), _names(models))
        expected = f"a pattern that torchvision has classifiers for{near}"
        raise InvalidValueError("specification", specification, expected)
    return [f"{name}{at}{variant}" for name in found]


def torchvision_size(name: str) -> tuple[int, int] | None:
    """Height and width that ``NAME`` or ``NAME@WEIGHTS`` sees; None where its preset has none."""
    sizes = getattr(_weights(name).transforms(), "crop_size", None)
    return None if sizes is None else (int(sizes[0]), int(sizes[0]))


def torchvision_meta(name: str) -> nn.Module:
    """Make ``NAME`` or ``NAME@WEIGHTS`` without weights and classifier, on the default device."""
    model, weights = name.partition("@")[0], _weights(name)
    module: nn.Module = _models().get_model(model, weights=None)
    _remove_classifier(module, len(weights.meta.get("categories") or ()) or _CLASSES, name)
    return module


def _weights(name: str) -> Any:
    model, _, variant = name.partition("@")
    known = _models().get_model_weights(model)
    return known[variant] if variant in known.__members__ else known.DEFAULT


def _models() -> Any:
    return import_package("torchvision", "specifications torchvision:NAME", "torchvision").models


def _names(models: Any) -> list[str]:
    """Only classifiers are in the module itself; others are in modules of their own."""
    return list(models.list_models(module=models))


def _made(models: Any, name: str, weights: Any, specification: str) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of how random weights are drawn
            made: nn.Module = call(
                lambda: models.get_model(name, weights=weights, progress=False), specification
            )
            return made
    except EncoderError as error:
        if weights is None or not isinstance(error.__cause__, OSError):
            raise
        raise EncoderError(
            f"{specification!r}: its weights cannot be read or downloaded ({error.__cause__}); put "
            f"{weights.url} into {torch.hub.get_dir()}/checkpoints, or write "
            f"torchvision:{name}@random for random weights"
        ) from error.__cause__


def _remove_classifier(module: nn.Module, classes: int, specification: str) -> None:
    """Let through what the last layer with an output a class was given."""
    for name, part in reversed(list(module.named_modules())):
        width = getattr(part, "out_features", getattr(part, "out_channels", None))
        if isinstance(part, nn.Linear | nn.Conv2d) and width == classes:
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, nn.Identity())
            return
    raise EncoderError(f"{specification!r} has no layer with {classes} outputs, one a class")


def _facts(weights: Any) -> dict[str, Any]:
    """What torchvision says of weights; what it does not say is not there."""
    facts: dict[str, Any] = {"url": weights.url}
    if isinstance(weights.meta.get("license"), str):
        facts["license"] = weights.meta["license"]
    measured = weights.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    if isinstance(measured, float | int):
        facts["imagenet_top1"] = float(measured)
    return facts
