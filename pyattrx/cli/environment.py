"""``pyattrx env``: versions, devices and which optional parts are there."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import typer

from pyattrx import ops
from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.output import console, print_json

__all__ = ["add_commands", "environment"]

_OPTIONAL = {
    "faiss": ("faiss", "faiss-cpu or faiss-gpu: nearest neighbours in large zoos"),
    "matplotlib": ("matplotlib", "pictures"),
    "pandas": ("pandas", "data frames"),
    "ray": ("ray", "workers of a cluster"),
    "timm": ("timm", "specifications timm:NAME"),
    "transformers": ("transformers", "specifications transformers:NAME"),
}


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("env", **examples("pyattrx env", "pyattrx env --json"))(env_command)


def env_command(as_json: options.Json = False) -> None:
    """Show versions, devices and which optional parts are installed."""
    found = environment()
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"pyattrx {found['pyattrx']}, torch {found['torch']}, Python {found['python']}")
    out.print(f"CPU: {found['cpu']['ops']}, {found['cpu']['threads']} threads")
    cuda = found["cuda"]
    out.print(f"CUDA: {cuda['ops']}; torch's CUDA: {cuda['torch']}")
    for device in cuda["devices"]:
        out.print(f"  {device['name']}, {device['memory'] / 2**30:.0f} GiB")
    if not cuda["devices"]:
        out.print("  no CUDA device")
    for name, part in found["optional"].items():
        state = part["version"] or "not installed"
        out.print(f"{name}: {state} ({part['for']})")


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
