"""What a network costs its user: parameters, multiply-adds, milliseconds, and a licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import flop_registry

from pyattrx._modes import Arguments, DispatchMode, Function, Named
from pyattrx.encoders import Encoder, PreparedEncoder

__all__ = ["Costs", "multiply_adds", "origin"]


@dataclass(frozen=True)
class Costs:
    """What it takes to use a network.

    Attributes
    ----------
    parameters : int
    multiply_adds : int or None
        Of one image; None where PyTorch cannot count them.
    milliseconds : float or None
        Measured, an image, in batches.
    measured_on : str or None
        The device, and the number of threads on a CPU.
    width : int
        Features of an image.
    input_size : (int, int)
        Height and width of what the network sees.
    license, source : str or None
        Where its loader says so.
    """

    parameters: int
    multiply_adds: int | None
    milliseconds: float | None
    measured_on: str | None
    width: int
    input_size: tuple[int, int]
    license: str | None = None
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {**asdict(self), "input_size": list(self.input_size)}


def multiply_adds(prepared: PreparedEncoder, x: torch.Tensor) -> int | None:
    """Count the multiply-adds of convolutions and matrix products of one image [1, C, H, W]."""
    counter = _Counter()
    try:
        with counter:
            prepared.outputs(x)
    except Exception:  # of any kind: programs that PyTorch cannot look into
        return None
    passes = prepared.sizes.passes(1)
    # An operation is a multiplication or an addition; batches that are filled up count whole.
    least = max(1, prepared.sizes.least) * passes
    return counter.operations // (2 * least) if counter.operations else None


class _Counter(DispatchMode):
    """Counts as PyTorch's own counter does, which would import the compiler."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        count = flop_registry.get(getattr(function, "overloadpacket", None))
        if count is None and hasattr(function, "decompose"):
            with self:
                answer = function.decompose(*arguments, **named)
            if answer is not NotImplemented:
                return answer
        answer = function(*arguments, **named)
        if count is not None:
            self.operations += count(*arguments, **named, out_val=answer)
        return answer


def origin(encoder: Encoder) -> tuple[str | None, str | None]:
    """Licence and source of a network, where its loader left them."""
    license = source = None
    facts = {**_facts(encoder.module), **encoder.known}
    for key in ("license", "licence"):
        if isinstance(facts.get(key), str):
            license = facts[key]
    for key in ("hf_hub_id", "url", "_name_or_path"):
        if source is None and isinstance(facts.get(key), str) and facts[key]:
            source = facts[key]
    return license, source or encoder.specification


def _facts(module: nn.Module) -> Mapping[str, Any]:
    config = getattr(module, "pretrained_cfg", None)  # timm
    if isinstance(config, Mapping):
        return config
    config = getattr(module, "config", None)  # transformers
    return vars(config) if hasattr(config, "__dict__") else {}
