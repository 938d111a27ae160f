"""Read the weights out of an ONNX file: a message of protocol buffers, of which nothing is run.

The numbers of fields are those of ``onnx.proto``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx.errors import EncoderError

__all__ = ["read_onnx"]

_GRAPH = 7  # of the model
_NODES, _INITIALIZERS = 1, 5  # of the graph
_INPUTS, _OUTPUTS = 1, 2  # of a node
_DIMS, _DTYPE, _NAME, _RAW = 1, 2, 8, 9  # of a tensor
_FLOAT = 1
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # how a field is encoded


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Read float32 weights by where they are used.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Tensor
        ``output/i`` is input i of the node that makes `output`. Their own names often say nothing.

    Raises
    ------
    EncoderError
        It is no ONNX file, or damaged.
    """
    try:
        graph = _message(_message(memoryview(path.read_bytes()))[_GRAPH][0])
        weights = dict(map(_tensor, graph[_INITIALIZERS]))
        found = {}
        for node in map(_message, graph[_NODES]):
            for position, name in enumerate(node.get(_INPUTS, [])):
                weight = weights.get(_text(name))
                if weight is not None:
                    found[f"{_text(node[_OUTPUTS][0])}/{position}"] = weight
    except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise EncoderError(f"{path}: not an ONNX file, or damaged ({error!r})") from error
    return found


def _tensor(data: memoryview) -> tuple[str, Tensor | None]:
    """Name and values; None of anything but float32, such as shapes."""
    fields = _message(data)
    if fields[_DTYPE] != [_FLOAT]:
        return _text(fields[_NAME][0]), None
    values = np.frombuffer(fields[_RAW][0], "<f4").reshape(fields.get(_DIMS, [])).astype(np.float32)
    return _text(fields[_NAME][0]), torch.from_numpy(values)


def _text(data: memoryview) -> str:
    return str(data, "utf-8")


def _message(data: memoryview) -> dict[int, list[Any]]:
    """Values of all fields by their number: integers, and everything else as bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            fields.setdefault(key >> 3, []).append(value)
            continue
        if kind == _LENGTH:
            size, at = _varint(data, at)
        else:
            size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}[kind]
        if at + size > len(data):
            raise ValueError(f"field {key >> 3} ends {at + size - len(data)} bytes after the file")
        fields.setdefault(key >> 3, []).append(data[at : at + size])
        at += size
    return fields


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first; returned with where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
