"""What `pyattrx env` reports: versions, devices and which optional parts are there."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pyattrx import ops

__all__ = ["environment"]

_OPTIONAL = {
    "faiss": ("faiss", "faiss-cpu or faiss-gpu: nearest neighbours in large zoos"),
    "matplotlib": ("matplotlib", "pictures"),
    "pandas": ("pandas", "data frames"),
    "timm": ("timm", "specifications timm:NAME"),
    "transformers": ("transformers", "specifications transformers:NAME"),
}


def environment() -> dict[str, Any]:
    """Collect it as JSON types."""
    backends = ops.backends()
    devices = [
        {"name": torch.cuda.get_device_name(i), "memory": torch.cuda.mem_get_info(i)[1]}
        for i in range(torch.cuda.device_count())
    ]
    return {
        "pyattrx": _version("pyattrx") or "not installed (source tree)",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cpu": {
            "ops": backends["cpu"],
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
        },
        "cuda": {
            "ops": backends["cuda"],
            "torch": torch.version.cuda or "not in this torch",
            "devices": devices,
        },
        "optional": {
            name: {"version": _optional(module, name), "for": purpose}
            for name, (module, purpose) in _OPTIONAL.items()
        },
    }


def _optional(module: str, package: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    if package == "faiss":
        return _version("faiss-gpu") or _version("faiss-cpu") or "unknown"
    return _version(package) or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
