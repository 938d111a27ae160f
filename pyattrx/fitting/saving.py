"""Fitted encoders in files: weights, and beside them as text what the encoder is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyattrx._files import atomic_write
from pyattrx.encoders import SUFFIX, Normalize, load_weights, register
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError
from pyattrx.fitting.encoder import FitReport, FittedEncoder
from pyattrx.fitting.networks import SmallEncoder

__all__ = ["read_fitted", "write_fitted"]

_FORMAT = "pyattrx-fitted-1"


def write_fitted(encoder: FittedEncoder, path: str | Path) -> Path:
    """Write an encoder to one file; see `FittedEncoder.save`."""
    if not isinstance(path, (str, Path)):
        raise InvalidTypeError("path", path, f"the path of a file that ends in {SUFFIX}")
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InvalidValueError("path", str(path), f"a file name that ends in {SUFFIX}")
    if not path.parent.is_dir():
        raise InvalidValueError("path", str(path), "a file in an existing folder")
    if type(encoder.module) is not SmallEncoder:
        raise EncoderError(
            f"encoder {encoder.name!r} is a {type(encoder.module).__name__}: a file describes "
            "pyattrx.fitting.SmallEncoder only; save the state_dict() of another architecture, "
            "and load it as package.module:factory?weights=FILE"
        )
    from safetensors.torch import save

    assert isinstance(encoder.transform, Normalize)
    described = {
        "name": encoder.name,
        "input_size": encoder.input_size,
        "mean": encoder.transform.mean,
        "std": encoder.transform.std,
        "report": asdict(encoder.report),
    }
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in encoder.module.state_dict().items()
    }
    metadata = {"format": _FORMAT, "encoder": json.dumps(described, allow_nan=False)}
    with atomic_write(path) as out:
        out.write(save(tensors, metadata))
    return path


def read_fitted(path: Path, metadata: Mapping[str, str]) -> FittedEncoder:
    """Read what `write_fitted` wrote; nothing in the file is executed.

    Raises
    ------
    EncoderError
        The description or the weights are not what was written.
    """
    module = SmallEncoder()
    try:
        described: dict[str, Any] = json.loads(metadata["encoder"])
        height, width = described["input_size"]
        encoder = FittedEncoder(
            module,
            name=described["name"],
            transform=Normalize(described["mean"], described["std"]),
            input_size=(height, width),
        )
        encoder.report = FitReport(**described["report"])
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(
            f"{path}: not a saved fitted encoder, or damaged ({type(error).__name__}: {error})"
        ) from error
    load_weights(module, path)
    module.eval()
    return encoder


register(_FORMAT, read_fitted)
