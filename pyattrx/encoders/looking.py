"""The look at a network before it is used: is it what methods take it for, and what may be changed?

Two images, three passes forward and back where nothing is wrong: each image alone through the plain
copy, then both together, in the other order and with their last bits changed, through the prepared
one. If the passes agree, the network repeats itself, treats an image alike alone and beside others,
and was prepared without harm; whether it does so in a large batch, the run's first one shows
(`pyattrx.encoders.first_batch`). If gradients alone do not agree, both together are run once more,
their last bits as they were: in white or black parts of photos these choose the largest of equal
numbers. Only if these do not agree either is it found out which of the three fails. A
network that asks its images which way to go is run one image at a time; one whose answers are made
of other images than their own is asked again from the beginning, in the other order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pyattrx.encoders.assumptions import (
    Scene,
    check_alone_exactly,
    check_forgets,
    check_function_of_one_image,
)
from pyattrx.encoders.carried import Carried
from pyattrx.encoders.deciding import Decisions, Number, always_the_same
from pyattrx.encoders.folding import Tracer
from pyattrx.encoders.originals import original_untouched
from pyattrx.encoders.passes import Pass, joined, nudged, observe
from pyattrx.encoders.preparing import Preparation, Steps
from pyattrx.encoders.reading import Reader
from pyattrx.encoders.used import Used
from pyattrx.encoders.watching import Watch
from pyattrx.errors import AssumptionError, EncoderError

__all__ = ["Looked", "look"]

# Of the allowance for rounding: what is farther apart may be a small share of another image.
_FOR_CERTAIN = 0.1


@dataclass(frozen=True)
class Looked:
    """What was seen.

    Attributes
    ----------
    plain : Pass
        What the network as it is answered to each image alone.
    prepared : Pass
        What the prepared copy answered to them, with their last bits changed: how far it is away
        is what rounding does.
    used : frozenset of str
        Names of the parts that took part; see `Used`.
    """

    plain: Pass
    prepared: Pass
    used: frozenset[str]


def look(
    reader: Reader,
    preparation: Preparation,
    original: nn.Module,
    x: Tensor,
    *,
    batch_size: int,
    keep: Iterable[nn.Module],
    exact: Callable[[], Reader],
    fresh: Callable[[], Reader],
    prepare: bool = True,
) -> Looked:
    """Look at a network, and prepare it.

    Parameters
    ----------
    reader : Reader
        Of the copy, as it is.
    preparation : Preparation
        Of the same copy; no step is taken yet.
    original : nn.Module
        What the copy was made of.
    x : Tensor [N, C, H, W]
        One or two images, as the network sees them.
    batch_size : int
        Images in the batches to come.
    keep : iterable of nn.Module
        Layers that are read, and left alone.
    exact : callable
        Returns a reader of the network in other arithmetic.
    fresh : callable
        Returns a reader of another copy, which has seen nothing.
    prepare : bool
        Whether to make the copy faster.

    Returns
    -------
    Looked

    Raises
    ------
    AssumptionError
        The network is not what methods take it for.
    EncoderError
        It fails.
    """
    watch = Watch(reader.module, x.device)
    alone = _Plain(reader.module, keep)
    with original_untouched(original, reader.name):
        plain = alone.answers(reader, x, batch_size)
        if alone.tracer.halves and reader.widened is None and x.dtype.itemsize > 2:
            # Casts or autocast on the way: most gradients would be zero.
            reader.widened = x.dtype
            plain = alone.answers(reader, x, batch_size)
    closely = watch.drew() or watch.wrote()
    reader.copies_input = reader.wrote
    preparation.pairs = alone.tracer.pairs
    scene = Scene(reader, x, plain, batch_size, exact, fresh)
    if closely:
        check_function_of_one_image(scene, closely=True)
    if alone.mixed:
        check_forgets(scene, alone.carried, alone.read)
    if prepare:
        steps = preparation.possible()  # a stem is faster in the backward pass only
        preparation.take(steps if reader.gradients else replace(steps, stems=False))
    together: list[Number] = []
    prepared = _prepared(scene, preparation, alone.decisions.noted(together))
    if scene.at_once > 1 and not always_the_same([*alone.read, together]):
        reader.one_at_a_time()
        prepared = _prepared(scene, preparation)
    seen = prepared
    if prepared is not None and _only_gradients_differ(plain, prepared):
        # Other last bits choose others of several maxima that are equal, as in a photo's white sky.
        seen = _prepared(scene, preparation, as_it_is=True)
    if prepared is None or seen is None or not plain.agrees(seen):
        wanted = preparation.steps
        preparation.take(Steps())
        _ = scene.shaken  # of the network as it is
        check_function_of_one_image(scene, closely=closely)
        _take_one_by_one(scene, preparation, wanted)
        seen = prepared = _prepared(scene, preparation) or scene.shaken
    if not _agrees_for_certain(scene, preparation, seen):
        check_alone_exactly(scene)
    return Looked(plain, prepared, frozenset(alone.used.names))


class _Plain:
    """Passes of the network as it is over each image alone, and who watches them."""

    def __init__(self, module: nn.Module, keep: Iterable[nn.Module]) -> None:
        self.tracer = Tracer(module, keep)  # for batch norms that can be folded
        self.decisions = Decisions(module)
        self.used = Used(module)
        self.carried = Carried()
        self.read: list[list[Number]] = []
        self.mixed = False  # whether an answer may be made of another image than its own

    def answers(self, reader: Reader, x: Tensor, batch_size: int) -> Pass:
        """Run the network."""
        self.tracer.forget()
        self.read = [[] for _ in x]
        try:
            passes = [self._one(reader, x, 0)]
        except AssumptionError:
            raise
        except EncoderError as error:
            reader.find_sizes(x, batch_size, error)
            self.mixed = True  # what it keeps may be of any of these batches
            self.tracer.forget()
            first, self.read[0] = self.read[0], []
            passes = [self._one(reader, x, 0)]
            self.read[0] = self.read[0] or first  # none are left of what is kept already
        passes += [self._one(reader, x, index) for index in range(1, len(x))]
        # Numbers that are read once only may be kept.
        self.mixed |= len({len(numbers) for numbers in self.read}) > 1
        return joined(passes)

    def _one(self, reader: Reader, x: Tensor, index: int) -> Pass:
        @contextmanager
        def noted() -> Iterator[None]:
            numbers = self.decisions.noted(self.read[index])
            with self.carried.following(given, index), self.used, numbers:
                yield

        given = x[index : index + 1].clone()
        seen = observe(reader, given, self.tracer, noted())
        self.mixed |= not self.carried.sources([seen.output, seen.features]) <= {index}
        return seen


def _prepared(
    scene: Scene,
    preparation: Preparation,
    noted: AbstractContextManager[object] | None = None,
    *,
    as_it_is: bool = False,
) -> Pass | None:
    """Both images in one batch, in the other order and their last bits changed; in their order."""
    count, order = len(scene.x), scene.order
    x = scene.x if as_it_is else nudged(scene.x)
    try:
        if scene.at_once < 2:
            order = list(range(count))
            passes = [observe(scene.reader, preparation.laid_out(x[i : i + 1])) for i in order]
            seen = joined(passes)
        else:
            batch = preparation.laid_out(x[torch.tensor(order, device=x.device)])
            seen = observe(scene.reader, batch, noted=noted)
    except Exception:  # of any kind: a backward pass that needs the plain layout, say
        return None
    return seen.of([order.index(i) for i in range(count)])


def _only_gradients_differ(one: Pass, other: Pass) -> bool:
    values, gradients = one.distance(other)
    return values <= 1 < gradients < float("inf")


def _agrees_for_certain(scene: Scene, preparation: Preparation, prepared: Pass) -> bool:
    """Whether what is between the answers alone and together is too little for another image."""
    if scene.alone.agrees(prepared, within=_FOR_CERTAIN):
        return True
    if scene.at_once < 2:
        return False
    # Less is rounded otherwise where the same images go through the network as it is.
    steps = preparation.steps
    preparation.take(Steps())
    try:
        again = scene.together(scene.order)
    except EncoderError:
        return False
    finally:
        preparation.take(steps)
    return scene.alone.of(scene.order).agrees(again, within=_FOR_CERTAIN)


def _take_one_by_one(scene: Scene, preparation: Preparation, wanted: Steps) -> None:
    """Take the steps that change nothing but rounding."""
    taken = Steps()
    for name in wanted.names():
        trial = replace(taken, **{name: True})
        preparation.take(trial)
        seen = _prepared(scene, preparation)
        if seen is not None and scene.same(seen, list(range(len(scene.x)))):
            taken = trial
    preparation.take(taken)
