"""Networks by specification: a line of text that says how to load one, or several."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pyattrx._near import did_you_mean
from pyattrx.encoders.curated import curated
from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.factories import from_factory
from pyattrx.encoders.missing import settle_missing
from pyattrx.encoders.onnx_files import from_onnx
from pyattrx.encoders.pretrained import from_timm, from_transformers, timm_package
from pyattrx.encoders.random_weights import random_seed
from pyattrx.encoders.saved import SUFFIX, from_saved
from pyattrx.encoders.specifications import FORMS, Parts, anywhere, is_file, network_file
from pyattrx.encoders.taskonomy import load_taskonomy, taskonomy_files
from pyattrx.encoders.torchvision_models import from_torchvision, torchvision_names
from pyattrx.encoders.untrained import looks_untrained
from pyattrx.encoders.weights import load_weights
from pyattrx.errors import (
    EncoderError,
    InvalidTypeError,
    InvalidValueError,
    UntrainedWarning,
    UntrustedError,
)

__all__ = ["expand", "load", "load_many"]


def load(
    specification: str,
    *,
    output: str | None = None,
    features: str | None = None,
    weights: str | Path | None = None,
    trust: bool = False,
) -> Encoder:
    """Load one network.

    Parameters
    ----------
    specification : str
        ``package.module:factory`` or ``path/file.py:factory``: a function without arguments that
        returns an `Encoder` or a module; a file and what it imports from its own folder are
        executed anew at each load. ``timm:NAME``: a pretrained timm network, its pooled
        features, its own normalisation and input size without cropping. ``torchvision:NAME``: the
        same of a classifier of torchvision, with its default weights or with those of
        ``torchvision:NAME@WEIGHTS``. For both, ``NAME@random`` has random weights, the same ones
        each time, and ``NAME@random=SEED`` others (a whole number; 0 where it is not said).
        ``transformers:NAME_OR_PATH``: an AutoModel, of models of images and text the part that sees
        images, with what its image processor does to pixels, and its size, from safetensors, never
        with remote code. ``taskonomy:FILE``: weights of an encoder of Taskonomy, see
        `load_taskonomy`. ``fitted.safetensors``: what
        `FittedEncoder.save` wrote. ``network.onnx`` or ``onnx:FILE``: converted to PyTorch, which
        must agree with ONNX Runtime to 1e-4; images come in [0, 1] and are not normalized, as the
        file does not say how. ``program.pt2``: an exported program, with `trust` only.

        ``?output=LAYER&features=LAYER&weights=FILE`` may follow, each of them, in any order: as the
        arguments of these names. They become part of the name.
    output, features : str, optional
        Dotted names of submodules as for `Encoder`, in place of what the specification says.
    weights : path, optional
        A safetensors file, or a PyTorch file that holds nothing but tensors, to load into the
        module, in place of what the specification says; keys must match.
    trust : bool
        Allow files whose loading may execute code (exported programs).

    Returns
    -------
    Encoder
        Named after the specification unless the factory named it. Its own specification loads the
        same network from any folder: it holds the weights, and paths are absolute.

    Warns
    -----
    UntrainedWarning
        A checkpoint lacks weights that the output depends on, or a function of
        ``torchvision.models`` has given random ones.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Not a specification, or one of several networks.
    EncoderError
        The network cannot be found or made.
    MissingDependencyError
        timm, torchvision, transformers, or the packages for ONNX are needed.
    UntrustedError
        Loading would execute code.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.load("torch.nn:Identity").name
    'torch.nn:Identity'
    """
    names = expand(specification)
    if len(names) != 1:
        raise InvalidValueError(
            "specification", specification, f"one network, not {len(names)}; see load_many"
        )
    return _load(_with_layers(names[0], output, features, weights), trust)


def _with_layers(
    specification: str,
    output: str | None,
    features: str | None,
    weights: str | Path | None = None,
) -> str:
    """Return a specification with some of its options replaced."""
    asked = {"output": output, "features": features}
    given = {option: layer for option, layer in asked.items() if layer is not None}
    for option, layer in given.items():
        if not isinstance(layer, str) or not layer:
            raise InvalidTypeError(option, layer, "the name of a submodule, such as 'layer4'")
    if weights is not None and not isinstance(weights, (str, Path)):
        raise InvalidTypeError("weights", weights, "the path of a file")
    if not given and weights is None:
        return specification
    parts = Parts.of(specification)
    layers = {**parts.layers, **given}
    parts = replace(parts, layers={o: layers[o] for o in asked if o in layers})
    return str(parts if weights is None else replace(parts, weights=str(weights)))


def load_many(
    specification: str,
    *,
    output: str | None = None,
    features: str | None = None,
    trust: bool = False,
) -> Iterator[Encoder]:
    """Load all networks that a specification stands for, one after another.

    Parameters
    ----------
    specification : str
        As for `load`; ``timm:PATTERN`` and ``torchvision:PATTERN`` may hold the wildcards ``*`` and
        ``?``, ``timm:@small``, ``timm:@base`` and ``timm:@diverse`` are curated lists of twenty,
        ``taskonomy:FOLDER`` stands for all files of weights in it, and after ``?features=``
        may be several layers with commas between them.
    output, features, trust
        As for `load`, for each of them.

    Yields
    ------
    Encoder

    Raises
    ------
    InvalidValueError
        Nothing matches; otherwise as `load`.

    Examples
    --------
    >>> import pyattrx
    >>> [encoder.name for encoder in pyattrx.load_many("torch.nn:Identity")]
    ['torch.nn:Identity']
    """
    # What is wrong with the arguments is said at the call, not when the first network is asked for.
    names = [_with_layers(name, output, features) for name in expand(specification)]
    return (_load(name, trust) for name in names)


def expand(specification: Any) -> list[str]:
    """List the specifications of single networks that one stands for, without loading any."""
    if not isinstance(specification, str):
        raise InvalidTypeError("specification", specification, FORMS)
    parts = Parts.of(specification)
    places = parts.at_each()
    if len(places) > 1:
        # One network after another, not one layer after another.
        networks = zip(*(expand(str(place)) for place in places), strict=True)
        return [name for names in networks for name in names]
    target = parts.target
    kind, colon, name = target.partition(":")
    if kind == "timm" and name.startswith("@"):
        return [str(replace(parts, target=one)) for one in curated(name, specification)]
    if kind == "timm" and any(c in name for c in "*?["):
        pattern, at, variant = name.partition("@")
        pretrained = random_seed(variant) is None
        found = timm_package().list_models(pattern, pretrained=pretrained)
        if not found:
            known = timm_package().list_models("*", pretrained=pretrained)
            near = did_you_mean(pattern.strip("*?"), [model.partition(".")[0] for model in known])
            expected = f"a pattern that timm has models for{near}"
            raise InvalidValueError("specification", specification, expected)
        return [str(replace(parts, target=f"timm:{model}{at}{variant}")) for model in found]
    if kind == "torchvision" and any(c in name for c in "*?["):
        found = torchvision_names(name, specification)
        return [str(replace(parts, target=f"torchvision:{model}")) for model in found]
    if kind == "taskonomy" and name:
        return [str(replace(parts, target=f"taskonomy:{path}")) for path in taskonomy_files(name)]
    if not is_file(target) and not (colon and kind and name):
        bare = target.isidentifier()
        near = f"; did you mean timm:{target} or torchvision:{target}?" if bare else ""
        raise InvalidValueError("specification", specification, FORMS + near)
    return [specification]


def _load(specification: str, trust: bool) -> Encoder:
    parts = Parts.of(specification)
    target = parts.target
    kind, _, name = target.partition(":")
    missing: list[str] = []
    if kind == "onnx" or target.endswith(".onnx"):
        encoder = from_onnx(network_file(target))
    elif is_file(target):
        saved = target.endswith(SUFFIX)
        encoder = from_saved(target) if saved else _exported(target, trust)
    elif kind == "timm":
        encoder = from_timm(name, target)
    elif kind == "torchvision":
        encoder = from_torchvision(name, target)
    elif kind == "transformers":
        encoder, missing = from_transformers(name, target)
    elif kind == "taskonomy":
        encoder = load_taskonomy(name)
    else:
        encoder = from_factory(target)
    named_by_itself = encoder.name != target
    if parts.layers:
        encoder = encoder.read_at(**parts.layers, name=encoder.name + parts.chosen)
    if parts.weights:
        encoder = _with_weights(encoder, parts.weights)
        if not named_by_itself:  # files of weights for one factory are different networks
            encoder.name = specification
    else:
        settle_missing(encoder, missing)
        _warn_of_bare(encoder, target)
    encoder.specification = anywhere(parts)
    return encoder


def _warn_of_bare(encoder: Encoder, target: str) -> None:
    """Say that functions of torchvision give random weights unless they are asked for others."""
    place, _, name = target.partition(":")
    if place == "torchvision.models" and looks_untrained(encoder.module) is not None:
        warnings.warn(
            f"{target!r} has random weights: write torchvision:{name} for pretrained ones",
            UntrainedWarning,
            stacklevel=4,
        )


def _with_weights(encoder: Encoder, weights: str | Path) -> Encoder:
    """Load weights into a copy: a factory may return one and the same module every time."""
    encoder = copy.copy(encoder)
    try:
        encoder.module = copy.deepcopy(encoder.module)
    except Exception as error:
        raise EncoderError(
            f"network {encoder.name!r} cannot be copied to load weights into it: "
            f"{type(error).__name__}: {error}"
        ) from error
    load_weights(encoder.module, weights)
    # What is known of weights is not known of others.
    encoder.known = {key: value for key, value in encoder.known.items() if key == "headless"}
    return encoder


def _exported(path: str, trust: bool) -> Encoder:
    if not Path(path).is_file():
        raise InvalidValueError("specification", path, "an existing .pt2 file")
    if not trust:
        raise UntrustedError(
            f"{path}: loading an exported program may execute code that it contains; if you know "
            f"where the file comes from, give pyattrx.load({path!r}, trust=True) instead of the "
            "path, or trust=True where a call takes it"
        )
    try:
        module = torch.export.load(path).module()
    except Exception as error:
        raise EncoderError(
            f"{path}: not an exported program ({type(error).__name__}: {error})"
        ) from error
    return Encoder(module, name=Path(path).stem)
