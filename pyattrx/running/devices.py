"""Where networks run, and what a run is told about it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pyattrx._checks import flag, integer
from pyattrx.errors import InvalidValueError

__all__ = ["check_batch_size", "check_compile", "device_name", "resolve_device", "versions"]


def check_batch_size(batch_size: Any) -> None:
    """Refuse what is not a number of images."""
    integer("batch_size", batch_size, least=1)


def check_compile(compile: Any) -> None:
    """Refuse what does not say whether to compile."""
    flag("compile", compile)


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Turn a device's name, or None for the GPU if there is one, into a device that is there."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidValueError(
            "device", device, "a torch device such as 'cpu' or 'cuda:0'"
        ) from error
    if place.type == "meta":
        raise InvalidValueError("device", str(device), "a device that holds values, such as 'cpu'")
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidValueError("device", str(device), "'cpu': no CUDA device is available")
        index = torch.cuda.current_device() if place.index is None else place.index
        if index >= torch.cuda.device_count():
            raise InvalidValueError(
                "device", str(device), f"one of {torch.cuda.device_count()} CUDA devices"
            )
        place = torch.device("cuda", index)
    return place


def device_name(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    try:
        own = version("pyattrx")
    except PackageNotFoundError:
        own = "unknown"
    return {"pyattrx": own, "torch": torch.__version__, "python": platform.python_version()}
