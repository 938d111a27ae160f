"""Batch norm folded into the layer before it, for architectures of any kind.

Which batch norm follows which layer is found by watching forward passes, so that it does not
matter how the forward method is written. A batch norm is folded where it is the only use of the
layer's output; whether that holds for other images is noticed while they pass. Whoever folds
compares the result with the network as it was.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx._modes import Arguments, Function, FunctionMode, Named
from pyattrx.encoders.copying import tensors_in

__all__ = ["DESCRIPTIONS", "FOLDED_IN", "TOLERANCE", "Folding", "Pairs", "Tracer", "agree"]

Pairs = list[tuple[nn.Module, str]]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# Of the output's largest element. Batch norm is not folded in the half types, where rounding the
# folded weights would show.
FOLDED_IN = (torch.float32, torch.float64)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}

# Elements: half a megabyte of float64.
_IN_CACHE = 1 << 16

# Reading a tensor's description is not a use of its values.
DESCRIPTIONS = {
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


class _Place:
    """What a batch norm does that is part of the layer before it now: nothing but to look."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer: Any = layer
        self.hook = layer.register_forward_hook(self._hand_out)
        self.begin({})

    def begin(self, views: dict[int, weakref.ref[Tensor]]) -> None:
        """Begin a pass; stand-ins for outputs are noted in `views`."""
        self._views = views
        self._calls = self._layer_calls = 0
        self._strange = False
        self._waiting: dict[int, tuple[Tensor, Tensor]] = {}

    def held(self, passes: int) -> bool:
        """Tell whether layer and batch norm were called once in each pass, one after the other."""
        return self._calls == self._layer_calls == passes and not self._strange

    def _hand_out(self, _: nn.Module, __: Any, answer: Tensor) -> Tensor:
        """Give what stands for the layer's output until the batch norm asks for it.

        A view, so that whoever else uses it can be told from who uses the batch norm's output.
        """
        self._layer_calls += 1
        with torch._C.DisableTorchFunction():
            view = answer.view(answer.shape)
        self._waiting[id(view)] = (view, answer)
        self._views[id(view)] = weakref.ref(view)
        return view

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the layer, which is that of the batch norm."""
        self._calls += 1
        _, answer = self._waiting.pop(id(x), (x, None))
        self._strange |= answer is None
        return x if answer is None else answer


class Folding:
    """Batch norms that were folded.

    Parameters
    ----------
    module : nn.Module
        In eval mode, owned by the caller; changed in place.
    pairs : list of (nn.Module, str)
        Layers, and the names of the batch norms that alone use their outputs; see `Tracer`.
    """

    def __init__(self, module: nn.Module, pairs: Pairs) -> None:
        self._module = module
        self._names = [name for _, name in pairs]
        with torch.no_grad():
            done = [_fold(module, layer, name) for layer, name in pairs]
        self._places = [place for place, _ in done]
        self._undo = [undo for _, undo in done]

    def __len__(self) -> int:
        return len(self._undo)

    @contextmanager
    def watching(self) -> Iterator[_Folded]:
        """Watch a pass; `_Folded.held` tells afterwards whether it went as those that were traced.

        A network may take another way for another image: then a layer answered as if its batch norm
        followed and none did, or something else used the layer's output or its weights.
        """
        with _Folded(self._places) as watch:
            yield watch

    def settle(self) -> None:
        """From now on watch nothing: programs are made of what stands here."""
        for place in self._places:
            place.hook.remove()
        for name in self._names:
            _replace(self._module, name, nn.Identity())
        self._places = []

    def undo(self) -> None:
        """Bring the batch norms back."""
        for restore in self._undo:
            restore()
        self._places, self._undo = [], []


def agree(before: Tensor, after: Tensor, images: torch.dtype) -> bool:
    """Tell whether two outputs differ by no more than rounding; NaN and Inf must be alike.

    Rounding is that of the outputs' type, or of the images' where that is coarser.
    """
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    dtype, finite = before.dtype, before.isfinite()
    if not torch.equal(finite, after.isfinite()):
        return False
    if not torch.equal(before[~finite].nan_to_num(), after[~finite].nan_to_num()):
        return False
    before, after = before[finite].double(), after[finite].double()
    if before.numel() == 0:
        return True
    allowed = max(TOLERANCE[dtype], TOLERANCE[images])
    return bool((after - before).abs().max() <= allowed * before.abs().max())


class _Uses(FunctionMode):
    """Counts the function calls that take each watched tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: dict[int, Tensor] = {}  # holding the tensor keeps its id its own
        self.count: Counter[int] = Counter()
        self.halves = False  # whether a function answered in float16

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        if function not in DESCRIPTIONS:
            for tensor in tensors_in((arguments, named)):
                if id(tensor) in self.watched:
                    self.count[id(tensor)] += 1
        answer = function(*arguments, **named)
        self.halves |= isinstance(answer, Tensor) and answer.dtype == torch.float16
        return answer


class _Folded(FunctionMode):
    """Sees who else uses the outputs and weights of folded layers."""

    def __init__(self, places: Iterable[_Place]) -> None:
        super().__init__()
        self._places = list(places)
        self._views: dict[int, weakref.ref[Tensor]] = {}
        self._weights: dict[int, _Place] = {}
        self._weight_uses: Counter[_Place] = Counter()
        self._used = False
        for place in self._places:
            place.begin(self._views)
            self._weights[id(place.layer.weight)] = place

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        if function not in DESCRIPTIONS:
            for tensor in tensors_in((arguments, named)):
                self._see(tensor)
        return function(*arguments, **named)

    def _see(self, tensor: Tensor) -> None:
        view = self._views.get(id(tensor))
        if view is not None and view() is tensor:  # an id may be another tensor's by now
            self._used = True
        place = self._weights.get(id(tensor))
        if place is not None:
            self._weight_uses[place] += 1

    def held(self, answers: Iterable[Tensor], passes: int) -> bool:
        """Tell whether every batch norm alone used its layer, once in each pass.

        Parameters
        ----------
        answers : iterable of Tensor
            What the network answered with.
        passes : int
        """
        for tensor in answers:
            self._see(tensor)
        return not self._used and all(
            place.held(passes) and self._weight_uses[place] <= passes for place in self._places
        )


class Tracer:
    """Finds batch norms that can be folded, by watching passes.

    Parameters
    ----------
    module : nn.Module
        In eval mode.
    keep : iterable of nn.Module
        Layers to leave alone.

    Attributes
    ----------
    pairs : list of (nn.Module, str)
        Layers and the names of batch norms that alone used their outputs in every pass so far.
    halves : bool
        Whether something was computed in float16.
    """

    def __init__(self, module: nn.Module, keep: Iterable[nn.Module] = ()) -> None:
        self._names = _foldable(module, set(keep))
        self._found: list[Pairs] = []
        self.halves = False

    @property
    def pairs(self) -> Pairs:
        """What all passes have in common."""
        first, *others = self._found or [[]]
        return [pair for pair in first if all(pair in some for some in others)]

    def forget(self) -> None:
        """Forget what was seen so far."""
        self._found.clear()

    @contextmanager
    def watching(self) -> Iterator[Callable[[Iterable[Tensor]], None]]:
        """Watch a pass; the function that is yielded is told what the pass answered."""
        names, uses = self._names, _Uses()
        made_by: dict[int, nn.Module] = {}
        calls: Counter[nn.Module] = Counter()
        read: dict[nn.Module, int] = {}
        answers: set[int] = set()
        hooks = []

        def after_layer(layer: nn.Module, _: Any, output: Any) -> None:
            calls[layer] += 1
            if isinstance(output, Tensor):
                uses.watched[id(output)] = output
                made_by[id(output)] = layer

        def before_norm(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
            calls[norm] += 1
            # The id of a tensor that is not watched may be another's by the end of the pass.
            if inputs and uses.watched.get(id(inputs[0])) is inputs[0]:
                read[norm] = id(inputs[0])

        for part in names:
            if isinstance(part, _NORMS):
                hooks.append(part.register_forward_pre_hook(before_norm))
            else:
                hooks.append(part.register_forward_hook(after_layer))
        try:
            with uses:
                yield lambda tensors: answers.update(map(id, tensors))
        finally:
            for hook in hooks:
                hook.remove()
            self.halves |= uses.halves
        pairs: Pairs = []
        for norm, tensor in read.items():
            layer = made_by.get(tensor)
            if (
                layer is not None
                and calls[norm] == calls[layer] == 1
                and uses.count[tensor] == 1
                and tensor not in answers
                and _fits(layer, norm, uses.watched[tensor])
            ):
                pairs.append((layer, names[norm]))
        self._found.append(pairs)


def _foldable(module: nn.Module, keep: set[nn.Module]) -> dict[nn.Module, str]:
    """Layers and batch norms that belong to one place only and do what their class says."""
    places: dict[nn.Module, list[str]] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        places.setdefault(part, []).append(name)
    owners = Counter(id(p) for part in places for p in part.parameters(recurse=False))
    found = {}
    for part, names in places.items():
        # Subclasses, parametrised layers among them, may do something else with their weights.
        if type(part) not in _LAYERS + _NORMS:
            continue
        hooked = any(getattr(part, kind) for kind in _HOOKS)
        shared = len(names) > 1 or any(owners[id(p)] > 1 for p in part.parameters(recurse=False))
        plain = isinstance(getattr(part, "weight", None), nn.Parameter | None) and isinstance(
            getattr(part, "bias", None), nn.Parameter | None
        )
        # Methods of its own, in place of its class's: `forward` replaced, say.
        own = any(callable(value) and hasattr(type(part), key) for key, value in vars(part).items())
        usable = not isinstance(part, _NORMS) or (
            part.running_mean is not None and part.running_var is not None and not part.training
        )
        refused = part in keep or hooked or shared or own
        if names[0] and plain and usable and not refused:
            found[part] = names[0]
    return found


def _fits(layer: nn.Module, norm: nn.Module, between: Tensor) -> bool:
    """Tell whether the batch norm's channels, which are dimension 1, are the layer's outputs."""
    assert isinstance(layer, _LAYERS)
    assert isinstance(norm, _NORMS)
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    # Without a batch dimension, or of a Linear over sequences, dimension 1 is something else.
    batched = between.dim() == (2 if isinstance(layer, nn.Linear) else layer.weight.dim())
    return batched and outputs == norm.num_features


def _fold(module: nn.Module, layer: nn.Module, name: str) -> tuple[_Place, Callable[[], None]]:
    """Fold one batch norm; return what stands in its place, and what undoes it."""
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
    if isinstance(layer, _TRANSPOSED):  # weights are [inputs, outputs / groups, ...]
        per_group = weight.double().unflatten(0, (layer.groups, -1))
        factor = scale.view(layer.groups, 1, -1, *[1] * (weight.dim() - 2))
        folded = (per_group * factor).flatten(0, 1).to(weight.dtype)
    else:
        folded = _times(weight, scale.view(-1, *[1] * (weight.dim() - 1)))
    layer.weight = nn.Parameter(folded, requires_grad=False)
    layer.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
    place = _Place(layer)
    # The module stays, for whoever asks for its class or its weights on the way.
    vars(norm)["forward"] = place.forward

    def restore() -> None:
        place.hook.remove()
        layer.weight, layer.bias = weight, bias
        del vars(norm)["forward"]
        _replace(module, name, norm)

    return place, restore


def _times(weight: Tensor, factor: Tensor) -> Tensor:
    """Multiply every row by a number in float64, few at a time: all of them would leave the cache.

    New memory costs more than the numbers that are put there.
    """
    made = torch.empty_like(weight)
    count = max(1, _IN_CACHE * len(weight) // max(1, weight.numel()))
    for rows, by, into in zip(*(t.split(count) for t in (weight, factor, made)), strict=True):
        into.copy_(rows.double() * by)
    return made


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)
