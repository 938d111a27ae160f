"""What a specification says: a line of text that says how to load a network, or several."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from pyattrx.errors import InvalidValueError

__all__ = ["FORMS", "Parts", "anywhere", "is_file", "network_file"]

FORMS = (
    "package.module:factory, path/file.py:factory, timm:NAME, torchvision:NAME, "
    "transformers:NAME_OR_PATH, taskonomy:FOLDER_OR_FILE, fitted.safetensors, network.onnx or "
    "program.pt2; "
    "?output=LAYER&features=LAYER,...&weights=FILE may follow, each of them, in any order"
)
_KINDS = ("timm", "torchvision", "transformers", "taskonomy", "onnx")
_OPTIONS = re.compile(r"[?&](output|features|weights)=")
_OTHER = re.compile(r"[?&](\w+)=")


@dataclass(frozen=True)
class Parts:
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
    def of(cls, specification: str) -> Parts:
        """Read a specification.

        Raises
        ------
        InvalidValueError
            An option has no value, or is there twice.
        """
        options: dict[str, str] = {}
        mark = _OPTIONS.search(specification)
        target = specification if mark is None else specification[: mark.start()]
        while mark is not None:
            name, begin = mark[1], mark.end()
            mark = _OPTIONS.search(specification, begin)
            if name == "weights" and Path(specification[begin:]).is_file():
                mark = None  # a path may hold anything
            value = specification[begin : None if mark is None else mark.start()]
            if not value or name in options:
                what = "a file" if name == "weights" else "a layer"
                expected = f"{what} after {name}=, once"
                raise InvalidValueError("specification", specification, expected)
            options[name] = value
        other = _OTHER.search(target)
        if other is not None and not Path(target).exists():
            expected = f"output=, features= or weights= in the place of {other[1]}="
            raise InvalidValueError("specification", specification, expected)
        weights = options.pop("weights", "")
        return cls(target, dict(sorted(options.items(), reverse=True)), weights)

    def at_each(self) -> list[Parts]:
        """Say the same for every layer of ``?features=LAYER,LAYER``; itself where there is one.

        Raises
        ------
        InvalidValueError
            A layer is empty, or there twice.
        """
        layers = self.layers.get("features", "").split(",")
        if len(layers) == 1:
            return [self]
        if not all(layers) or len(set(layers)) < len(layers):
            raise InvalidValueError("specification", str(self), "different layers between commas")
        return [replace(self, layers={**self.layers, "features": layer}) for layer in layers]

    def elsewhere(self) -> str:
        """The same without ``?features=``: what networks read at several places have in common."""
        kept = {option: layer for option, layer in self.layers.items() if option != "features"}
        return str(replace(self, layers=kept))

    @property
    def chosen(self) -> str:
        """The layers, as they are written."""
        return _written(self.layers)

    def __str__(self) -> str:
        weights = {"weights": self.weights} if self.weights else {}
        return self.target + _written({**self.layers, **weights})


def _written(options: dict[str, str]) -> str:
    pairs = "&".join(f"{name}={value}" for name, value in options.items())
    return f"?{pairs}" if pairs else ""


def is_file(target: str) -> bool:
    """Whether the network is said by a file alone, which describes it."""
    return bool(network_file(target))


def network_file(target: str) -> str:
    """Path of the file that describes a network by itself; empty where there is none."""
    kind, _, name = target.partition(":")
    if kind == "onnx":
        return name
    alone = target.endswith((".pt2", ".safetensors", ".onnx")) and kind not in _KINDS
    return target if alone else ""


def anywhere(parts: Parts) -> str:
    """Specification that means the same in every folder: its paths are absolute."""
    target = parts.target
    kind, colon, name = target.partition(":")
    place, mark, factory = target.rpartition(":")
    if is_file(target):
        file = network_file(target)
        target = target.removesuffix(file) + str(Path(file).absolute())
    elif kind == "taskonomy" or (kind == "transformers" and Path(name).exists()):
        target = f"{kind}{colon}{Path(name).absolute()}"
    elif place.endswith(".py"):
        target = f"{Path(place).absolute()}{mark}{factory}"
    weights = str(Path(parts.weights).absolute()) if parts.weights else ""
    return str(replace(parts, target=target, weights=weights))
