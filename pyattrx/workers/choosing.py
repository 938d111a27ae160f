"""Which engine `workers=` asks for, and whether what it shall run can be sent there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from pyattrx._checks import integer
from pyattrx._scratch import Scratch
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.workers.engine import Engine, unsendable
from pyattrx.workers.local import LocalEngine
from pyattrx.workers.on_ray import RayEngine

__all__ = ["Workers", "check_method", "check_sendable", "engine_of"]

Workers = int | str | None

_EXPECTED = (
    "None, a number of processes, 'auto', or the address of a Ray cluster such as 'ray://HOST:PORT'"
)
_HOST = re.compile(r"[\w.\-\[\]:]+:\d+")


def engine_of(
    workers: Any, device: torch.device, *, any_device: bool, scratch: Scratch | None = None
) -> Engine | None:
    """Make the engine of the argument `workers`; None for None.

    Parameters
    ----------
    workers : int, str or None
    device : torch.device
        Where this process would compute.
    any_device : bool
        Whether the caller left that to us: then all GPUs are used.
    scratch : Scratch, optional
        Where files of local workers are.

    Raises
    ------
    InvalidValueError, InvalidTypeError
    """
    if workers is None:
        return None
    place = torch.device(device.type) if any_device else device
    if isinstance(workers, str):
        if not (workers == "auto" or workers.startswith("ray://") or _HOST.fullmatch(workers)):
            raise InvalidValueError("workers", workers, _EXPECTED)
        return RayEngine(workers, device, any_device=any_device)
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise InvalidTypeError("workers", workers, _EXPECTED)
    return LocalEngine(integer("workers", workers, least=1), place, scratch or Scratch())


def check_sendable(engine: Engine, argument: str, sources: Iterable[Any]) -> None:
    """Refuse networks that cannot be sent to workers.

    Raises
    ------
    InvalidTypeError
    """
    for index, source in enumerate(sources):
        if isinstance(source, str):
            continue
        try:
            engine.pack(source)
        except Exception as error:  # of any kind: pickling runs what a class says
            raise unsendable(f"{argument}[{index}]", source, error) from error


def check_method(engine: Engine, method: Any) -> None:
    """Refuse a method that cannot be sent to workers.

    Raises
    ------
    InvalidTypeError
    """
    try:
        engine.pack(method)
    except Exception as error:  # of any kind, as above
        instead = "a method whose parts are defined at the top of a module"
        raise unsendable("method", method, error, instead) from error
