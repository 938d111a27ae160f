"""Networks by specification: a line of text that says how to load one, or several."""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.taskonomy import load_taskonomy, taskonomy_files
from pyattrx.encoders.transforms import Normalize
from pyattrx.encoders.weights import load_weights
from pyattrx.errors import (
    EncoderError,
    InvalidType,
    InvalidValue,
    MissingDependency,
    PyattrxError,
    UntrustedError,
)

__all__ = ["expand", "load", "load_many"]

_FORMS = (
    "package.module:factory, path/file.py:factory, timm:NAME, transformers:NAME_OR_PATH, "
    "taskonomy:FOLDER_OR_FILE or program.pt2; ?output=LAYER, ?features=LAYER and, last, "
    "?weights=FILE may follow"
)
_WEIGHTS = "?weights="
_LAYERS = re.compile(r"\?(output|features)=")


@dataclass(frozen=True)
class _Parts:
    """What a specification says.

    Parameters
    ----------
    target : str
        Where the network comes from.
    layers : dict of str to str
        ``output`` and ``features``.
    weights : str
        A file, or nothing.
    """

    target: str
    layers: dict[str, str]
    weights: str

    @classmethod
    def of(cls, specification: str) -> _Parts:
        rest, mark, weights = specification.partition(_WEIGHTS)  # a path may hold anything
        if mark and not weights:
            raise InvalidValue("specification", specification, "a file after ?weights=")
        if _LAYERS.search(weights) and not Path(weights).exists():
            expected = "?output= and ?features= before ?weights=, which comes last"
            raise InvalidValue("specification", specification, expected)
        target, *pairs = _LAYERS.split(rest)
        layers = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if not all(pairs) or len(pairs) > 2 * len(layers):
            expected = "a layer after ?output= or ?features=, each at most once"
            raise InvalidValue("specification", specification, expected)
        return cls(target, dict(sorted(layers.items(), reverse=True)), weights)

    @property
    def chosen(self) -> str:
        """The layers, as they are written."""
        return "".join(f"?{option}={layer}" for option, layer in self.layers.items())

    def __str__(self) -> str:
        return self.target + self.chosen + (f"{_WEIGHTS}{self.weights}" if self.weights else "")


def load(specification: str, *, weights: str | Path | None = None, trust: bool = False) -> Encoder:
    """Load one network.

    Parameters
    ----------
    specification : str
        ``package.module:factory`` or ``path/file.py:factory``: a function without arguments that
        returns an `Encoder` or a module. ``timm:NAME``: a pretrained timm network, its pooled
        features, its own normalisation and input size without cropping (``timm:NAME@random``: with
        random weights). ``transformers:NAME_OR_PATH``: an AutoModel with its image processor's
        normalisation and size, from safetensors, never with remote code. ``taskonomy:FILE``:
        weights of an encoder of Taskonomy, see `load_taskonomy`. ``program.pt2``: an exported
        program, with `trust` only.

        ``?output=LAYER`` and ``?features=LAYER`` may follow, dotted names of submodules as for
        `Encoder`, which become part of the name; and last ``?weights=FILE``, as `weights`.
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

    Raises
    ------
    InvalidValue, InvalidType
        Not a specification, or one of several networks.
    EncoderError
        The network cannot be found or made.
    MissingDependency
        timm or transformers is needed.
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
        raise InvalidValue(
            "specification", specification, f"one network, not {len(names)}; see load_many"
        )
    if weights is None:
        return _load(names[0], trust)
    parts = _Parts.of(names[0])
    encoder = _with_weights(_load(str(replace(parts, weights="")), trust), weights)
    encoder.specification = _anywhere(replace(parts, weights=str(weights)))
    return encoder


def load_many(specification: str, *, trust: bool = False) -> Iterator[Encoder]:
    """Load all networks that a specification stands for, one after another.

    Parameters
    ----------
    specification : str
        As for `load`; ``timm:PATTERN`` may hold the wildcards ``*`` and ``?``, and
        ``taskonomy:FOLDER`` stands for all files of weights in it.
    trust : bool
        As for `load`.

    Yields
    ------
    Encoder

    Raises
    ------
    InvalidValue
        Nothing matches; otherwise as `load`.

    Examples
    --------
    >>> import pyattrx
    >>> [encoder.name for encoder in pyattrx.load_many("torch.nn:Identity")]
    ['torch.nn:Identity']
    """
    for name in expand(specification):
        yield _load(name, trust)


def expand(specification: Any) -> list[str]:
    """List the specifications of single networks that one stands for, without loading any."""
    if not isinstance(specification, str):
        raise InvalidType("specification", specification, _FORMS)
    parts = _Parts.of(specification)
    target = parts.target
    kind, colon, name = target.partition(":")
    if kind == "timm" and any(c in name for c in "*?["):
        pattern, at, variant = name.partition("@")
        found = _timm().list_models(pattern, pretrained=variant != "random")
        if not found:
            raise InvalidValue("specification", specification, "a pattern that timm has models for")
        return [str(replace(parts, target=f"timm:{model}{at}{variant}")) for model in found]
    if kind == "taskonomy" and name:
        return [str(replace(parts, target=f"taskonomy:{path}")) for path in taskonomy_files(name)]
    if not target.endswith(".pt2") and not (colon and kind and name):
        raise InvalidValue("specification", specification, _FORMS)
    return [specification]


def _load(specification: str, trust: bool) -> Encoder:
    parts = _Parts.of(specification)
    target = parts.target
    kind, _, name = target.partition(":")
    if target.endswith(".pt2"):
        encoder = _exported(target, trust)
    elif kind == "timm":
        encoder = _from_timm(name, target)
    elif kind == "transformers":
        encoder = _from_transformers(name, target)
    elif kind == "taskonomy":
        encoder = load_taskonomy(name)
    else:
        encoder = _from_factory(target)
    named_by_itself = encoder.name != target
    if parts.layers:
        encoder = encoder.read_at(**parts.layers, name=encoder.name + parts.chosen)
    if parts.weights:
        encoder = _with_weights(encoder, parts.weights)
        if not named_by_itself:  # files of weights for one factory are different networks
            encoder.name = specification
    encoder.specification = _anywhere(parts)
    return encoder


def _anywhere(parts: _Parts) -> str:
    """Specification that means the same in every folder: its paths are absolute."""
    target = parts.target
    kind, colon, name = target.partition(":")
    place, mark, factory = target.rpartition(":")
    if target.endswith(".pt2"):
        target = str(Path(target).absolute())
    elif kind == "taskonomy" or (kind == "transformers" and Path(name).exists()):
        target = f"{kind}{colon}{Path(name).absolute()}"
    elif place.endswith(".py"):
        target = f"{Path(place).absolute()}{mark}{factory}"
    weights = str(Path(parts.weights).absolute()) if parts.weights else ""
    return str(replace(parts, target=target, weights=weights))


def _from_factory(specification: str) -> Encoder:
    place, _, name = specification.rpartition(":")
    module = _import_file(place) if place.endswith(".py") else _import(place, specification)
    factory: Any = module
    for part in name.split("."):
        if not hasattr(factory, part):
            raise EncoderError(f"{specification!r}: {place} has no {name!r}")
        factory = getattr(factory, part)
    if not callable(factory):
        raise EncoderError(f"{specification!r} is a {type(factory).__name__}: expected a function")
    made = _call(factory, specification)
    if isinstance(made, Encoder):
        return copy.copy(made)  # its specification is about to be set
    if isinstance(made, nn.Module):
        return Encoder(made, name=specification)
    raise EncoderError(
        f"{specification!r} returned a {type(made).__name__}: expected an Encoder or a module"
    )


def _call(factory: Callable[[], Any], specification: str) -> Any:
    try:
        return factory()
    except PyattrxError:
        raise
    except Exception as error:
        raise EncoderError(f"{specification!r} failed: {type(error).__name__}: {error}") from error


def _import(name: str, specification: str) -> ModuleType:
    # What one can import from the command line: the current folder, too.
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise EncoderError(
            f"{specification!r}: importing {name} failed: {type(error).__name__}: {error}"
        ) from error
    finally:
        if added:
            sys.path.remove(here)


def _import_file(path: str) -> ModuleType:
    if not Path(path).is_file():
        raise InvalidValue("specification", path, "an existing Python file before ':factory'")
    folder = str(Path(path).resolve().parent)
    digest = hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:8]
    name = f"pyattrx_factory_{Path(path).stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # As when the file is run: it may import its neighbours, and its classes can be looked up.
    sys.path.insert(0, folder)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise EncoderError(f"{path} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


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
    return encoder


def _exported(path: str, trust: bool) -> Encoder:
    if not Path(path).is_file():
        raise InvalidValue("specification", path, "an existing .pt2 file")
    if not trust:
        raise UntrustedError(
            f"{path}: loading an exported program may execute code that it contains; allow it with "
            "trust=True (--trust) if you know where the file comes from"
        )
    try:
        module = torch.export.load(path).module()
    except Exception as error:
        raise EncoderError(
            f"{path}: not an exported program ({type(error).__name__}: {error})"
        ) from error
    return Encoder(module, name=Path(path).stem)


def _timm() -> Any:
    return _optional("timm", "specifications timm:NAME", "timm torchvision")


def _optional(package: str, needed_for: str, install: str) -> Any:
    try:
        return importlib.import_module(package)
    except Exception as error:
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(package, needed_for, install) from error
        raise EncoderError(
            f"{needed_for} needs the package {package!r}, which is installed but does not import: "
            f"{type(error).__name__}: {error}"
        ) from error


def _from_timm(name: str, specification: str) -> Encoder:
    timm = _timm()
    model, _, variant = name.partition("@")
    if variant not in ("", "random"):
        raise InvalidValue("specification", specification, "timm:NAME or timm:NAME@random")
    # No classes: the pooled features that the classifier would have seen.
    module = _call(
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


def _from_transformers(name: str, specification: str) -> Encoder:
    transformers = _optional("transformers", "specifications transformers:NAME", "transformers")
    module = _call(
        lambda: transformers.AutoModel.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False
        ),
        specification,
    )
    processing = importlib.import_module("transformers.image_processing_base")
    config, _ = _call(
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
