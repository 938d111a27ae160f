"""Graphs of ONNX files: what they refer to and contain, and names that are safe."""

from __future__ import annotations

import copy
import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from pyattrx.errors import EncoderError

__all__ = ["check_external", "fold_identities", "rename", "unsupported_operators"]


def check_external(model: Any, folder: Path, path: str) -> None:
    """Refuse weights in files outside a file's own folder.

    Parameters
    ----------
    model : ModelProto
    folder : Path
        Resolved.
    path : str
        For the message.

    Raises
    ------
    EncoderError
    """
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            place = Path(entry.value)
            inside = (folder / place).resolve().is_relative_to(folder)
            if place.is_absolute() or ".." in place.parts or not inside:
                raise EncoderError(
                    f"{path}: refers to weights in {entry.value!r}, outside its own folder"
                )
            if not (folder / place).is_file():
                raise EncoderError(
                    f"{path}: its weights are in {entry.value!r}, which is not in its folder"
                )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message, also in subgraphs, functions and attributes."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            several = not hasattr(value, "DESCRIPTOR")
            for one in value if several else [value]:
                yield from _tensors(one)


def unsupported_operators(model: Any) -> list[str]:
    """Name the operators that the converter does not know, each once."""
    from onnx2torch.node_converters import get_converter

    versions = {one.domain: one.version for one in model.opset_import}
    unknown = []
    for node in model.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = versions.get(node.domain, versions.get(domain, 0))
        try:
            get_converter(operation_type=node.op_type, version=version, domain=domain)
        except Exception:  # of what has no name there, or no version
            origin = f"{domain}." if domain else ""
            unknown.append(f"{origin}{node.op_type} (opset {version})")
    return sorted(set(unknown))


def fold_identities(graph: Any) -> None:
    """Give each user of an initializer its own one: exporters share equal ones by ``Identity``."""
    weights = {one.name: one for one in graph.initializer}
    ends = {one.name for one in graph.output}
    kept = []
    for node in graph.node:
        source = weights.get(node.input[0]) if node.op_type == "Identity" else None
        if source is None or node.output[0] in ends:
            kept.append(node)
            continue
        same = copy.deepcopy(source)
        same.name = node.output[0]
        graph.initializer.append(same)
        weights[same.name] = same
    kept = [copy.deepcopy(node) for node in kept]
    del graph.node[:]
    graph.node.extend(kept)


def rename(graph: Any) -> None:
    """Replace all names by ones that are nothing but names.

    Nodes keep their letters and digits, since layers are called by them: ``/layer1/conv/Conv``
    becomes ``layer1_conv_Conv``. Everything else is numbered.
    """
    values: dict[str, str] = {"": ""}

    def value(name: str) -> str:
        return values.setdefault(name, f"value_{len(values)}")

    for one in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        one.name = value(one.name)
    taken: set[str] = {"initializers"}
    for node in graph.node:
        node.input[:] = [value(name) for name in node.input]
        node.output[:] = [value(name) for name in node.output]
        node.name = _plain(node.name or node.op_type, taken)
        taken.add(node.name)


def _plain(name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "node"
    if plain[0].isdigit() or keyword.iskeyword(plain) or hasattr(nn.Module, plain):
        plain = f"node_{plain}"
    found, number = plain, 1
    while found in taken:
        number += 1
        found = f"{plain}_{number}"
    return found
