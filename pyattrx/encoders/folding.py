"""Batch norm folded into the layer before it, for architectures of any kind.

Which batch norm follows which layer is found by watching one forward pass, so that it does not
matter how the forward method is written. A batch norm is folded where it is the only use of the
layer's output; the result is compared with the unfolded network and undone if it differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

__all__ = ["fold_batch_norms"]

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}  # of the output's largest element

# Reading a tensor's description is not a use of its values.
_DESCRIPTIONS = {
    torch.Tensor.size,
    torch.Tensor.dim,
    torch.Tensor.numel,
    torch.Tensor.stride,
    torch.Tensor.is_contiguous,
    torch.Tensor.is_floating_point,
    torch.Tensor.__len__,
    *(
        getattr(torch.Tensor, name).__get__
        for name in ("shape", "ndim", "dtype", "device", "layout", "is_cuda", "requires_grad")
    ),
}


def fold_batch_norms(
    module: nn.Module, run: Callable[[], Tensor], keep: Iterable[nn.Module] = ()
) -> int:
    """Fold what can be folded, in place.

    Parameters
    ----------
    module : nn.Module
        In eval mode, owned by the caller.
    run : callable
        Runs the module on an example and returns the output that matters.
    keep : iterable of nn.Module
        Layers to leave alone.

    Returns
    -------
    int
        How many batch norms were folded.
    """
    with torch.no_grad():
        pairs, before = _find_pairs(module, run, set(keep))
        if not pairs or before.dtype not in _TOLERANCE:
            return 0
        undo = [_fold(module, layer, name) for layer, name in pairs]
        try:
            after = run()
            scale = before.abs().max()
            same = bool((after - before).abs().max() <= _TOLERANCE[before.dtype] * scale)
        except Exception:  # a forward that reads the batch norm's own attributes, say
            same = False
        if not same:
            for restore in undo:
                restore()
            return 0
    return len(pairs)


class _Uses(TorchFunctionMode):
    """Counts the function calls that take each watched tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: dict[int, Tensor] = {}  # holding the tensor keeps its id its own
        self.count: Counter[int] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _DESCRIPTIONS:
            for tensor in _tensors((args, kwargs)):
                if id(tensor) in self.watched:
                    self.count[id(tensor)] += 1
        return func(*args, **kwargs)


def _find_pairs(
    module: nn.Module, run: Callable[[], Tensor], keep: set[nn.Module]
) -> tuple[list[tuple[nn.Module, str]], Tensor]:
    """Layers and the names of the batch norms that alone use their outputs; and the output."""
    names = _foldable(module, keep)
    uses = _Uses()
    made_by: dict[int, nn.Module] = {}
    calls: Counter[nn.Module] = Counter()
    read: dict[nn.Module, int] = {}
    hooks = []

    def after_layer(layer: nn.Module, _: Any, output: Any) -> None:
        calls[layer] += 1
        if isinstance(output, Tensor):
            uses.watched[id(output)] = output
            made_by[id(output)] = layer

    def before_norm(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        calls[norm] += 1
        read[norm] = id(inputs[0]) if inputs else 0

    for part in names:
        if isinstance(part, _NORMS):
            hooks.append(part.register_forward_pre_hook(before_norm))
        else:
            hooks.append(part.register_forward_hook(after_layer))
    try:
        with uses:
            output = run()
    finally:
        for hook in hooks:
            hook.remove()
    pairs = []
    for norm, tensor in read.items():
        layer = made_by.get(tensor)
        if (
            layer is not None
            and calls[norm] == calls[layer] == 1
            and uses.count[tensor] == 1
            and tensor != id(output)
            and _fits(layer, norm)
        ):
            pairs.append((layer, names[norm]))
    return pairs, output


def _foldable(module: nn.Module, keep: set[nn.Module]) -> dict[nn.Module, str]:
    """Layers and batch norms that belong to one place only and do what their class says."""
    places: dict[nn.Module, list[str]] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        places.setdefault(part, []).append(name)
    owners = Counter(id(p) for part in places for p in part.parameters(recurse=False))
    found = {}
    for part, names in places.items():
        if not isinstance(part, _LAYERS) and type(part) not in _NORMS:
            continue
        hooked = any(
            getattr(part, kind)
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        )
        shared = len(names) > 1 or any(owners[id(p)] > 1 for p in part.parameters(recurse=False))
        plain = isinstance(getattr(part, "weight", None), nn.Parameter | None) and isinstance(
            getattr(part, "bias", None), nn.Parameter | None
        )
        usable = not isinstance(part, _NORMS) or (
            part.running_mean is not None and part.running_var is not None and not part.training
        )
        if (
            names[0]
            and part not in keep
            and not hooked
            and not shared
            and plain
            and usable
            and not parametrize.is_parametrized(part)
        ):
            found[part] = names[0]
    return found


def _fits(layer: nn.Module, norm: nn.Module) -> bool:
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.groups == 1 and isinstance(norm, nn.BatchNorm2d)
    if isinstance(layer, nn.Linear):
        return isinstance(norm, nn.BatchNorm1d)
    return True


def _fold(module: nn.Module, layer: nn.Module, name: str) -> Callable[[], None]:
    """Fold one batch norm and return what undoes it."""
    norm = module.get_submodule(name)
    assert isinstance(norm, _NORMS)
    assert isinstance(layer, _LAYERS)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = layer.weight, layer.bias
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if bias is not None:
        shift = shift + bias.double() * scale
    outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    shape = [1] * weight.dim()
    shape[outputs] = -1
    folded = (weight.double() * scale.view(shape)).to(weight.dtype)
    layer.weight = nn.Parameter(folded, requires_grad=False)
    layer.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
    parent_name, _, child = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    setattr(parent, child, nn.Identity())

    def restore() -> None:
        layer.weight, layer.bias = weight, bias
        setattr(parent, child, norm)

    return restore


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
