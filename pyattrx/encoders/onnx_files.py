"""Networks in ONNX files: read, checked and converted to PyTorch, and compared with ONNX Runtime.

A file is data. What the converter makes of it is Python text that PyTorch compiles, with the file's
names in it, so names are replaced before anything is converted.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.onnx_graphs import (
    check_external,
    fold_identities,
    rename,
    unsupported_operators,
)
from pyattrx.encoders.pretrained import import_package
from pyattrx.errors import EncoderError, InvalidValueError

__all__ = ["from_onnx"]

_NEEDED_FOR = "networks in ONNX files"
_INSTALL = "onnx onnx2torch onnxruntime"
_OPSET = 17  # the last one that the converter knows whole
_SIDE = 224  # of the image for the comparison, where the file leaves it open
_TOLERANCE = 1e-4  # of the largest output; float32 sums in another order stay below


def from_onnx(path: str) -> Encoder:
    """Load a network from an ONNX file; see `pyattrx.load`.

    Its first output stands for it. A file does not say how images are normalized: it gets them in
    [0, 1].

    Raises
    ------
    InvalidValueError
        There is no such file.
    EncoderError
        It is damaged, refers to files elsewhere, has operators that cannot be converted or other
        inputs than images, or PyTorch and ONNX Runtime disagree.
    MissingDependencyError
        onnx, onnx2torch or onnxruntime is needed.
    """
    if not Path(path).is_file():
        raise InvalidValueError("specification", path, "an existing .onnx file")
    onnx, converter, runtime = (
        import_package(name, _NEEDED_FOR, _INSTALL) for name in _INSTALL.split()
    )
    model = _read(onnx, path)
    batch, size = _image_input(onnx, model, path)
    model = _convertible(onnx, model, path)
    del model.graph.output[1:]
    try:
        fold_identities(model.graph)
        rename(model.graph)
        module: nn.Module = converter.convert(model).eval()
    except Exception as error:  # of any kind: the file is somebody's
        raise EncoderError(
            f"{path}: cannot be converted ({type(error).__name__}: {error})"
        ) from error
    for part in module.modules():
        if isinstance(part, nn.LayerNorm):  # the converter writes 0 where a shape is left open
            part.normalized_shape = tuple(part.weight.shape)
    height, width = size or (_SIDE, _SIDE)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch or 2, 3, height, width, generator=generator)
    _compare(runtime, module, images, path)
    return Encoder(module, name=Path(path).stem, input_size=size)


def _read(onnx: Any, path: str) -> Any:
    """Read a file, and the files in its folder that hold its weights."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise EncoderError(
            f"{path}: not an ONNX file, or damaged ({type(error).__name__}: {error})"
        ) from error
    if not model.graph.node:
        raise EncoderError(f"{path}: not an ONNX file, or damaged (it has no operators)")
    folder = Path(path).resolve().parent
    check_external(model, folder, path)
    try:
        onnx.load_external_data_for_model(model, str(folder))
        if model.ByteSize() < 2**31:  # the checker's limit
            onnx.checker.check_model(model)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise EncoderError(f"{path}: not a valid ONNX file, or damaged ({first})") from error
    return model


def _image_input(onnx: Any, model: Any, path: str) -> tuple[int | None, tuple[int, int] | None]:
    """Read batch size, and height and width, of the one input; None where the file leaves it open.

    Raises
    ------
    EncoderError
        It takes other things than RGB images of float32, [N, 3, H, W].
    """
    weights = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    tensors = [one.type.tensor_type for one in inputs]
    shapes = [
        [axis.dim_value if axis.dim_value > 0 else None for axis in tensor.shape.dim]
        for tensor in tensors
    ]
    float32 = onnx.TensorProto.FLOAT
    if (
        len(inputs) != 1
        or tensors[0].elem_type != float32
        or len(shapes[0]) != 4
        or shapes[0][1] not in (None, 3)
    ):
        said = ", ".join(
            f"{one.name!r} {_type(onnx, tensor)} {_shape(shape)}"
            for one, tensor, shape in zip(inputs, tensors, shapes, strict=True)
        )
        raise EncoderError(
            f"{path}: takes {said or 'no input'}; expected one input of images, float32 "
            "[N, 3, H, W]: export it again so, or load it in a function of yours"
        )
    batch, _, height, width = shapes[0]
    return batch, None if height is None or width is None else (height, width)


def _type(onnx: Any, tensor: Any) -> str:
    return str(onnx.TensorProto.DataType.Name(tensor.elem_type)).lower()


def _shape(shape: list[int | None]) -> str:
    return f"[{', '.join('?' if axis is None else str(axis) for axis in shape)}]"


def _convertible(onnx: Any, model: Any, path: str) -> Any:
    """Return the model with operators that can be converted, from an older opset if need be.

    Raises
    ------
    EncoderError
        Which names every operator that cannot.
    """
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    unknown = unsupported_operators(model)
    if not unknown:
        return model
    newest = max((one.version for one in model.opset_import if not one.domain), default=0)
    if newest > _OPSET:
        from onnx.version_converter import convert_version

        try:
            older = convert_version(model, _OPSET)
        except Exception:  # the operators are named below
            older = None
        if older is not None and not unsupported_operators(older):
            return older
    hint = f"; export it with opset_version={_OPSET}" if newest > _OPSET else ""
    raise EncoderError(
        f"{path}: has operators that cannot be converted to PyTorch: {', '.join(unknown)}{hint}"
    )


def _compare(runtime: Any, module: nn.Module, images: torch.Tensor, path: str) -> None:
    """Refuse a conversion that answers otherwise than ONNX Runtime does from the file itself."""
    try:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0].name
        expected = session.run([session.get_outputs()[0].name], {entry: images.numpy()})[0]
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise EncoderError(f"{path}: ONNX Runtime cannot run it ({first})") from error
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = module(images)
    except Exception as error:
        raise EncoderError(
            f"{path}: the network converted to PyTorch fails ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != np.shape(expected):
        raise EncoderError(f"{path}: PyTorch and ONNX Runtime give outputs of different shapes")
    expected = np.asarray(expected, np.float64)
    difference = np.abs(found.double().numpy() - expected).max(initial=0)
    largest = np.abs(expected).max(initial=0)
    if not difference <= _TOLERANCE * largest:  # NaN is refused, too
        raise EncoderError(
            f"{path}: converted to PyTorch it gives other numbers than ONNX Runtime: they differ "
            f"by up to {difference:.3g}, of outputs up to {largest:.3g}; expected "
            f"{_TOLERANCE:g} of that at most"
        )
