"""Weights from files that hold data and nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from pyattrx.errors import EncoderError, InvalidValueError, UntrustedError

__all__ = ["load_weights", "read_weights"]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read tensors by name, without executing anything in the file.

    Parameters
    ----------
    path : path
        ``.safetensors``, or a PyTorch file of tensors (a state dict, also under the key
        ``state_dict`` or ``model``).

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    InvalidValueError
        There is no such file.
    UntrustedError
        Reading it would execute code.
    EncoderError
        It is damaged or holds something else.

    Examples
    --------
    >>> import pathlib, tempfile, torch
    >>> from pyattrx.encoders import read_weights
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.pt"
    >>> torch.save(torch.nn.Linear(2, 3).state_dict(), path)
    >>> sorted(read_weights(path))
    ['bias', 'weight']
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidValueError("weights", str(path), "an existing file")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise EncoderError(f"{path}: not a safetensors file, or damaged ({error})") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UntrustedError(
            f"{path}: reading these weights would execute code, which is never done; save them as "
            f"safetensors, or as a plain state dict ({_first_line(error)})"
        ) from error
    except Exception as error:
        if "TorchScript archive" in str(error):
            raise UntrustedError(
                f"{path}: a TorchScript archive holds code, which is never loaded as weights; save "
                "its state_dict() as safetensors"
            ) from error
        raise EncoderError(f"{path}: not a weights file, or damaged ({error})") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise EncoderError(f"{path}: holds a {type(content).__name__}, expected tensors by name")
    return content


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a weights file into a module, in place; every key must match.

    Parameters
    ----------
    module : nn.Module
    path : path
        As for `read_weights`.

    Raises
    ------
    EncoderError
        Keys or shapes do not match; otherwise as `read_weights`.
    """
    weights = read_weights(path)
    if weights and all(name.startswith("module.") for name in weights):  # saved by DataParallel
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise EncoderError(f"{path} does not fit {type(module).__name__}: {error}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
