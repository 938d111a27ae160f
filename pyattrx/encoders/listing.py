"""Which networks there are: those that a pattern stands for, by size and by input."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from pyattrx._progress import progress
from pyattrx.encoders.loading import expand
from pyattrx.encoders.pretrained import timm_package
from pyattrx.encoders.specifications import Parts
from pyattrx.encoders.torchvision_models import torchvision_meta, torchvision_size
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingDependencyError,
    SkippedWarning,
)

__all__ = ["list_models"]

_KINDS = ("timm", "torchvision")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmb]?)", re.IGNORECASE)
_COUNT_EXPECTED = "a positive number of parameters, such as 30_000_000, '30M' or '1.5B'"


def list_models(
    pattern: str = "*",
    *,
    pretrained: bool = True,
    max_params: int | str | None = None,
    input_size: int | None = None,
) -> list[str]:
    """List networks of timm and torchvision. Nothing is downloaded, and no weights are made.

    Parameters
    ----------
    pattern : str
        ``timm:PATTERN`` or ``torchvision:PATTERN`` with the wildcards ``*`` and ``?``, a curated
        list such as ``timm:@small``, or a pattern alone, for all packages that are installed.
    pretrained : bool
        List networks with their pretrained weights. False lists every architecture, with
        ``@random`` after its name.
    max_params : int or str, optional
        The most parameters, without the classifier, which `load` removes: ``30_000_000``,
        ``"30M"`` or ``"1.5B"``. Networks are built on PyTorch's meta device to count them, a
        fraction of a second each.
    input_size : int, optional
        Height and width of the images that the network sees.

    Returns
    -------
    list of str
        Specifications for `load`, `recommend` and all other calls that take networks. Empty where
        networks match the pattern and none of them is within the limits.

    Warns
    -----
    SkippedWarning
        Networks whose parameters cannot be counted, with the reason.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Nothing matches the pattern, or a wrong argument.
    MissingDependencyError
        timm or torchvision is needed.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.list_models("timm:@small")[:2]
    ['timm:resnet18.a1_in1k', 'timm:resnet18.fb_swsl_ig1b_ft_in1k']
    >>> pyattrx.list_models("timm:*resnet*", max_params="30M", input_size=224)  # doctest: +SKIP
    ['timm:cspresnet50.ra_in1k', 'timm:ecaresnet26t.ra2_in1k', ...]
    """
    most = _count(max_params)
    if input_size is not None:
        if isinstance(input_size, bool) or not isinstance(input_size, int):
            raise InvalidTypeError("input_size", input_size, "a whole number of pixels, or None")
        if input_size < 1:
            raise InvalidValueError("input_size", input_size, "at least 1")
    if not isinstance(pretrained, bool):
        raise InvalidTypeError("pretrained", pretrained, "True or False")
    names = _matching(pattern, pretrained)
    if input_size is not None:
        names = [name for name in names if _input_size(name) == (input_size, input_size)]
    return names if most is None else _within(names, most)


def _matching(pattern: Any, pretrained: bool) -> list[str]:
    """Specifications that a pattern stands for, of one package or of all that are installed."""
    if not isinstance(pattern, str):
        raise InvalidTypeError("pattern", pattern, "a pattern such as 'timm:*resnet*'")
    kind, colon, _ = pattern.partition(":")
    if colon and kind not in _KINDS:
        raise InvalidValueError("pattern", pattern, "timm:PATTERN, torchvision:PATTERN or PATTERN")
    if pattern.startswith(("@", "torchvision:@")):
        raise InvalidValueError("pattern", pattern, "timm: before the name of a curated list")
    kinds = [kind] if colon else [kind for kind in _KINDS if _installed(kind)]
    if not kinds:
        raise MissingDependencyError("timm", "list_models", "timm torchvision")
    found: list[str] = []
    refused = None
    for one in kinds:
        asked = pattern if colon else f"{one}:{pattern}"
        parts = Parts.of(asked)
        name = parts.target.partition(":")[2]
        model = name.partition("@")[0]
        if model and not any(c in model for c in "*?["):
            name = f"[{name[0]}]{name[1:]}"  # a pattern, so that it is looked up
        if not pretrained and "@random" not in name:
            name += "@random"
        asked = str(replace(parts, target=f"{one}:{name}"))
        try:
            found += expand(asked)
        except InvalidValueError as error:
            refused = error
    if refused is not None and not found:
        raise refused
    return found


def _installed(package: str) -> bool:
    return sys.modules.get(package) is not None or importlib.util.find_spec(package) is not None


def _count(value: Any) -> int | None:
    """Read a number of parameters."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidTypeError("max_params", value, f"{_COUNT_EXPECTED}; or None")
    match = _COUNT.fullmatch(str(value).strip().replace("_", ""))
    count = 0 if match is None else round(float(match[1]) * _UNITS[match[2].lower()])
    if count < 1:
        raise InvalidValueError("max_params", value, _COUNT_EXPECTED)
    return count


def _name(specification: str) -> tuple[str, str]:
    """Package and model, with its tag, of a specification."""
    kind, _, name = Parts.of(specification).target.partition(":")
    return kind, name if kind == "torchvision" else name.partition("@")[0]


def _input_size(specification: str) -> tuple[int, int] | None:
    kind, name = _name(specification)
    if kind == "torchvision":
        return torchvision_size(name)
    known = timm_package().get_pretrained_cfg(name)
    return None if known is None else (int(known.input_size[1]), int(known.input_size[2]))


def _within(names: list[str], most: int) -> list[str]:
    """Those with at most so many parameters; what cannot be counted is left out, and said."""
    counted: dict[tuple[str, str, tuple[int, int] | None], int | str] = {}
    kept, unknown = [], {}
    with progress("counting parameters", len(names)) as advance:
        for specification in names:
            kind, name = _name(specification)
            # Weights of one architecture differ in parameters where they differ in size of input.
            key = (kind, name.partition("@")[0].partition(".")[0], _input_size(specification))
            if key not in counted:
                counted[key] = _parameters(kind, name)
            count = counted[key]
            if isinstance(count, str):
                unknown[specification] = count
            elif count <= most:
                kept.append(specification)
            advance(1)
    if unknown:
        said = "; ".join(f"{name}: {reason}" for name, reason in list(unknown.items())[:5])
        more = f"; and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warnings.warn(
            f"left out, since their parameters cannot be counted without weights: {said}{more}",
            SkippedWarning,
            stacklevel=3,
        )
    return kept


def _parameters(kind: str, name: str) -> int | str:
    """Count the parameters of a network without weights, or say why that fails."""
    make: Callable[[], torch.nn.Module]
    if kind == "timm":
        timm = timm_package()
        make = partial(timm.create_model, name, pretrained=False, num_classes=0)
    else:
        make = partial(torchvision_meta, name)
    reason = ""
    for place in (torch.device("meta"), _Unfilled()):
        try:
            with place, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = make()
        except Exception as error:  # whatever an architecture cannot do there
            first = next(iter(str(error).splitlines()), "")
            reason = f"{type(error).__name__}: {first}"
        else:
            return sum(parameter.numel() for parameter in module.parameters())
    return reason


class _Unfilled(TorchFunctionMode):
    """Leave out the memory of weights alone: some networks compute their widths with tensors."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)
