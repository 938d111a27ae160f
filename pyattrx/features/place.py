"""Where in a network the features are that a new task would start from.

Whoever fine-tunes or probes a pretrained network throws its classifier away and keeps what the
classifier was given. So do we: the features of a network are the input of its classifier. Networks
without one are read at their own output, those that make maps larger again at their smallest maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx.encoders import Output, pick_tensor, run_until
from pyattrx.errors import EncoderError
from pyattrx.features.activated import is_activated

__all__ = ["FeatureReader", "Place", "SeveralReaders", "find_place", "place_in", "readable"]

_MOST_PREFIX = 8  # tokens before those of patches: the class token, registers


@dataclass(frozen=True)
class Place:
    """Where features are read.

    Attributes
    ----------
    pooled : str or None
        Submodule whose input (`of_input`) or output they are, one vector an image or pooled to one;
        None for the network's output.
    of_input : bool
        Whether they are its input.
    maps : str or None
        Submodule whose output has features for every location; None for that of `pooled`, or where
        there is none.
    """

    pooled: str | None = None
    of_input: bool = False
    maps: str | None = None

    def __str__(self) -> str:
        where = "output" if self.pooled is None else self.pooled
        return f"input of {where}" if self.of_input else where


@dataclass(frozen=True)
class _Answer:
    """What a submodule was given and gave back."""

    name: str
    part: nn.Module
    given: Tensor | None
    made: Tensor


def find_place(module: nn.Module, x: Tensor, *, headless: bool = False) -> Place:
    """Find where the features of a network are.

    Parameters
    ----------
    module : nn.Module
        In eval mode; called once, without gradients.
    x : Tensor [N, C, H, W]
        As the network sees images.
    headless : bool
        Whether the network is known to have no classifier any more.

    Returns
    -------
    Place
        The input of the last linear layer, or 1 x 1 convolution, that has as many outputs as the
        network has, and neither an activation after it nor a layer with weights, but for other
        heads of the same features, where the network gives one vector an image; else its smallest
        maps, where its output is larger maps; else its output.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from pyattrx.features.place import find_place
    >>> body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> print(find_place(nn.Sequential(body, nn.Linear(8, 5)), torch.rand(2, 3, 9, 9)))
    input of 1
    """
    answers: list[_Answer] = []
    hooks = [
        part.register_forward_hook(_noting(name, answers))
        for name, part in module.named_modules()
        if name and not isinstance(part, torch.jit.ScriptModule)
    ]
    try:
        with torch.no_grad():
            output = pick_tensor(module(x))
    finally:
        for hook in hooks:
            hook.remove()
    answers = [a for a in answers if len(a.made) == len(x)]
    if output.dim() == 1 and len(output) == len(x):
        output = output[:, None]  # one number an image: a column of its classifier
    if output.dim() == 2:
        return _before_classifier(answers, output, headless)
    if output.dim() == 4:
        return _smallest_maps(answers, output)
    return Place()


def place_in(module: nn.Module, facts: Any) -> Place | None:
    """See what was kept of a `Place`, as JSON types, as one of a network.

    None where it is none, or names a part that the network does not have.
    """
    if not isinstance(facts, dict) or facts.keys() != {"pooled", "of_input", "maps"}:
        return None
    parts = [None, *(name for name, _ in module.named_modules())]
    if any(facts[key] not in parts for key in ("pooled", "maps")):
        return None
    return Place(facts["pooled"], facts["of_input"] is True, facts["maps"])


def _noting(name: str, answers: list[_Answer]) -> Any:
    def note(part: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        if isinstance(made, Tensor) and made.is_floating_point() and made.dim() > 1:
            first = given[0] if given and isinstance(given[0], Tensor) else None
            if _may_classify(part):
                made = made.clone()  # an activation that follows may write into it
            answers.append(_Answer(name, part, first, made))

    return note


def _before_classifier(answers: list[_Answer], output: Tensor, headless: bool) -> Place:
    often = {answer.name: 0 for answer in answers}
    for answer in answers:
        often[answer.name] += 1
    later: Tensor | None = None  # what layers with weights were given after it, all of them
    for index in [] if headless else range(len(answers) - 1, -1, -1):
        answer = answers[index]
        if often[answer.name] > 1 or answer.given is None or len(answer.given) != len(output):
            continue
        if _is_classifier(answer, output):
            if later is not None and not _is_one_of_several_heads(answer, output, later):
                break
            width = answer.given.shape[1]
            before = [a for a in answers[:index] if often[a.name] == 1]
            return Place(answer.name, True, _last_maps(before, width))
        if _has_weights(answer) and not _is_whole(answer, answers):
            if later is not None and not _is_same(answer.given, later):
                break  # what a layer with weights follows is no classifier, however wide it is
            later = answer.given
    return Place(maps=_last_maps([a for a in answers if often[a.name] == 1], output.shape[1]))


def _is_one_of_several_heads(answer: _Answer, output: Tensor, later: Tensor) -> bool:
    """Whether layers that were called later saw the same features, and this one's is the answer."""
    assert answer.given is not None
    return _is_same(answer.given, later) and torch.equal(answer.made.flatten(), output.flatten())


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers in memory: views of one, where it was flattened."""
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape


def _has_weights(answer: _Answer) -> bool:
    return next(answer.part.parameters(recurse=False), None) is not None


def _is_whole(answer: _Answer, answers: list[_Answer]) -> bool:
    """Whether a part has all the layers with weights: it is the network, in a wrapper."""
    inside = f"{answer.name}."
    rest = [a for a in answers if a is not answer and _has_weights(a)]
    return bool(rest) and all(a.name.startswith(inside) for a in rest)


def _is_classifier(answer: _Answer, output: Tensor) -> bool:
    part, given = answer.part, answer.given
    assert given is not None
    if not _may_classify(part) or (isinstance(part, nn.Linear) and given.dim() != 2):
        return False
    return answer.made.shape[1] == output.shape[1] and not is_activated(answer.made, output)


def _may_classify(part: nn.Module) -> bool:
    if isinstance(part, nn.Conv2d):
        return part.kernel_size == (1, 1) and part.groups == 1
    return isinstance(part, nn.Linear)


def _last_maps(answers: list[_Answer], width: int) -> str | None:
    """The last answer with several locations; of those as wide as the features, if there are."""
    found = [answer for answer in answers if as_maps(answer.made, width) is not None]
    same = [a for a in found if _maps(a.made, width).shape[1] == width]
    # Only the features themselves before they were pooled: other maps may be of any other depth.
    chosen = same or [a for a in found if a.made.dim() == 4]
    return chosen[-1].name if chosen else None


def _smallest_maps(answers: list[_Answer], output: Tensor) -> Place:
    maps = [a for a in answers if a.made.dim() == 4 and min(a.made.shape[2:]) > 1]
    if not maps:
        return Place()
    least = min(a.made[0, 0].numel() for a in maps)
    if least >= output[0, 0].numel():
        return Place()
    smallest = [a for a in maps if a.made[0, 0].numel() == least]
    blocks = [a for a in smallest if next(a.part.children(), None) is not None] or smallest
    widest = max(a.made.shape[1] for a in blocks)
    last = [a for a in blocks if a.made.shape[1] == widest][-1]
    return Place(last.name)


def as_maps(values: Tensor, width: int | None = None) -> Tensor | None:
    """See features of several locations as [N, C, H, W]; None where there are none.

    Parameters
    ----------
    values : Tensor
        [N, C, H, W], [N, H, W, C] where only the last axis is `width`, or tokens [N, T, C], whose
        patches are a square after at most 8 others.
    width : int, optional
        How many features there should be.
    """
    if values.dim() == 4:
        last = width is not None and values.shape[3] == width and values.shape[1] != width
        maps = values.permute(0, 3, 1, 2) if last else values
        return maps if maps.shape[2] * maps.shape[3] > 1 else None
    if values.dim() == 3:
        side = isqrt(values.shape[1])
        prefix = values.shape[1] - side * side
        if side < 2 or prefix > _MOST_PREFIX:
            return None
        patches = values[:, prefix:].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], side, side)
    return None


def _maps(values: Tensor, width: int) -> Tensor:
    found = as_maps(values, width)
    assert found is not None
    return found


def pool(values: Tensor) -> Tensor:
    """Reduce features to one vector an image, [N, D].

    Maps to their mean; tokens to the class token, the first, where there are other than patches.
    """
    if values.dim() == 4:
        return values.mean((2, 3))
    if values.dim() == 3:
        side = isqrt(values.shape[1])
        prefix = values.shape[1] - side * side
        return values[:, 0] if 0 < prefix <= _MOST_PREFIX and side > 1 else values.mean(1)
    return values.reshape(len(values), -1)  # of one number an image, too


class FeatureReader:
    """Reads features at a place: for every image a vector, then maps of at most `grid` x `grid`.

    What `Encoder` takes as `output`. After the first call `width` and `shape` say how the numbers
    of an image are to be read.

    Parameters
    ----------
    place : Place
    grid : int
        Rows and columns that maps are area-resampled to, where they have more.
    output : str or callable, optional
        Read the features there instead, as the user said.
    """

    def __init__(self, place: Place, grid: int, output: Output = None) -> None:
        self.place, self.grid, self.output = place, grid, output
        self.width = 0
        self.shape: tuple[int, int, int] | None = None

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor:
        """Run a network; [N, width + C * H * W]."""
        return self.numbers(*self._read(module, x))

    def numbers(self, values: Tensor, maps: Tensor | None) -> Tensor:
        """Put what was read together; [N, width + C * H * W]."""
        pooled = pool(values)
        places = as_maps(maps, pooled.shape[1]) if isinstance(maps, Tensor) else None
        self.width = pooled.shape[1]
        if places is None:
            self.shape = None
            return pooled
        height, width = (min(self.grid, size) for size in places.shape[2:])
        # In float32 at least: an area mean of half numbers loses digits.
        small = F.adaptive_avg_pool2d(places, (height, width))
        self.shape = (small.shape[1], height, width)
        return torch.cat([pooled, small.flatten(1).to(pooled.dtype)], 1)

    @property
    def columns(self) -> int:
        """How many numbers an image has, after the first call."""
        return self.width + (0 if self.shape is None else prod(self.shape))

    def _read(self, module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.output is not None:
            if isinstance(self.output, str):
                found = pick_tensor(run_until(module, x, module.get_submodule(self.output)))
                if found.dim() == 1:  # a vector, such as a bias, whatever the images are
                    raise EncoderError(f"its part {self.output!r} has no row for every image")
            else:
                found = pick_tensor(self.output(module, x))
            return found, found
        seen: dict[str, Tensor] = {}
        place = self.place
        with _watching(module, place, seen):
            output = pick_tensor(module(x))
        if place.pooled is None:
            values = output
        elif "pooled" in seen:
            values = seen["pooled"]
        else:
            raise EncoderError(f"its part {place.pooled!r} is not called in a forward pass")
        return values, seen.get("maps", None if place.of_input else values)


def readable(module: nn.Module, x: Tensor, layers: Sequence[str]) -> list[str]:
    """Layers that are called once in a forward pass, and give features of every image.

    None where the pass fails: what comes after a layer may, where it is read alone.
    """
    known = {name for name, _ in module.named_modules()}
    layers = [layer for layer in layers if layer in known]
    seen: dict[str, list[Any]] = {layer: [] for layer in layers}
    hooks = [
        module.get_submodule(layer).register_forward_hook(
            lambda _, __, answer, at=layer: seen[at].append(answer)
        )
        for layer in layers
    ]
    try:
        module(x)
    except Exception:  # of any kind: it is said where the layer is read alone
        return []
    finally:
        for hook in hooks:
            hook.remove()
    return [layer for layer in layers if len(seen[layer]) == 1 and _has_rows(seen[layer][0], x)]


def _has_rows(answer: Any, x: Tensor) -> bool:
    try:
        values = pick_tensor(answer)
    except EncoderError:
        return False
    return values.is_floating_point() and values.dim() > 1 and len(values) == len(x)


class SeveralReaders:
    """Reads features at several layers in one forward pass: their numbers, side by side.

    Parameters
    ----------
    readers : sequence of FeatureReader
        Each with the name of a submodule as its `output`.
    """

    def __init__(self, readers: Sequence[FeatureReader]) -> None:
        self.readers = readers

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor:
        """Run a network; [N, all numbers of the first, then of the second, ...]."""
        seen: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            def note(_: nn.Module, __: Any, answer: Any) -> None:
                seen[name] = pick_tensor(answer).clone()  # what follows may write into it

            return note

        names = [str(reader.output) for reader in self.readers]
        hooks = [module.get_submodule(name).register_forward_hook(keep(name)) for name in names]
        try:
            module(x)
        finally:
            for hook in hooks:
                hook.remove()
        for name in names:
            if name not in seen:
                raise EncoderError(f"its part {name!r} is not called in a forward pass")
        pairs = zip(self.readers, names, strict=True)
        return torch.cat([reader.numbers(seen[name], seen[name]) for reader, name in pairs], 1)

    def split(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Numbers of each reader again."""
        ends = np.cumsum([reader.columns for reader in self.readers])[:-1]
        return np.split(numbers, ends, axis=1)


@contextmanager
def _watching(module: nn.Module, place: Place, seen: dict[str, Tensor]) -> Iterator[None]:
    def given(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen["pooled"] = arguments[0].clone()  # what follows may write into it

    def made(name: str) -> Any:
        def keep(_: nn.Module, __: Any, answer: Any) -> None:
            seen[name] = pick_tensor(answer).clone()

        return keep

    hooks = []
    if place.pooled is not None:
        part = module.get_submodule(place.pooled)
        hooks.append(
            part.register_forward_pre_hook(given)
            if place.of_input
            else part.register_forward_hook(made("pooled"))
        )
    if place.maps is not None:
        hooks.append(module.get_submodule(place.maps).register_forward_hook(made("maps")))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
