"""What every method takes a network for, and how it is found out that one is something else.

A network that breaks one of these would get a number like any other, with a small standard error.
So each is tested when a network is looked at, and one that fails is refused with its own message.
The cheap look (`pyattrx.encoders.looking`) compares three passes over two images; only where they
differ, or random numbers were drawn, do the tests here run, to say which assumption fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pyattrx.encoders.carried import Carried
from pyattrx.encoders.deciding import Decisions, Number
from pyattrx.encoders.passes import Pass, joined, nudged, observe
from pyattrx.encoders.reading import Reader
from pyattrx.errors import AssumptionError, EncoderError

__all__ = [
    "ASSUMPTIONS",
    "Scene",
    "check_alone_exactly",
    "check_forgets",
    "check_function_of_one_image",
    "check_large_batch",
]

# Passes over the same images, where random numbers were drawn or something was written: what
# happens to one image in ten shows with a chance of 97 %.
_REPEATS = 16
# Of the allowance for rounding, where nothing is rounded otherwise but by the order of sums.
_REPEATED = 1e-2


@dataclass
class Scene:
    """A network, two images, and what the plain network answered to each alone.

    Attributes
    ----------
    reader : Reader
        The network as it is, not prepared.
    x : Tensor [2, C, H, W]
        The images as it sees them; one where there is no second.
    alone : Pass
        Each by itself.
    batch_size : int
        Images in the batches to come.
    exact : callable
        Returns a reader of the network in other arithmetic.
    fresh : callable
        Returns a reader of another copy, which has seen nothing.
    """

    reader: Reader
    x: Tensor
    alone: Pass
    batch_size: int
    exact: Callable[[], Reader]
    fresh: Callable[[], Reader]

    @property
    def name(self) -> str:
        """The network's name."""
        return self.reader.name

    @property
    def at_once(self) -> int:
        """Images that the network will see at once: more than are asked for, if it needs more."""
        sizes = self.reader.sizes
        return 1 if sizes.alone else max(self.batch_size, sizes.least)

    @property
    def order(self) -> list[int]:
        """The images in another order, in a batch of another size than they have alone."""
        sizes, count = self.reader.sizes, len(self.x)
        more = 0 if sizes.fixed or sizes.least == 1 or self.at_once <= sizes.least else 1
        return [(count - 1 - i) % count for i in range(max(count, sizes.least + more))]

    @cached_property
    def shaken(self) -> Pass:
        """What it answers when the last bits of the images are others."""
        return self.each(nudged(self.x))

    def each(self, x: Tensor) -> Pass:
        """Observe every image by itself."""
        passes = [observe(self.reader, x[i : i + 1]) for i in range(len(x))]
        return joined(passes)

    def together(self, order: list[int]) -> Pass:
        """Observe some of the images in one batch."""
        return observe(self.reader, self.x[torch.tensor(order, device=self.x.device)])

    def same(self, answer: Pass, order: list[int]) -> bool:
        """Tell whether a batch answered as the images alone did, but for rounding."""
        # Only where it differs does it matter how far rounding reaches.
        return self.alone.of(order).agrees(answer) or self.alone.of(order).agrees(
            answer, self.shaken.of(order)
        )

    def alike_exactly(self, order: list[int]) -> bool | None:
        """Tell whether a batch answers as the images alone do where less is rounded.

        None where nothing rounds less.
        """
        if self.x.dtype == torch.float64:
            return None
        x = self.x.double()
        try:
            reader = self.exact()
            alone = joined([observe(reader, some) for some in x.split(1)]).of(order)
            together = observe(reader, x[torch.tensor(order, device=x.device)])
            if alone.agrees(together):
                return True
            # Where nothing but rounding is left of the answer.
            shaken = joined([observe(reader, some) for some in nudged(x).split(1)]).of(order)
        except EncoderError:
            return None
        return alone.agrees(together, shaken)


def check_repeats(scene: Scene, times: int = 2) -> None:
    """The same image twice has the same answer."""
    for _ in range(times):
        if not scene.alone.agrees(scene.each(scene.x), within=_REPEATED):
            raise AssumptionError(
                "repeats",
                f"network {scene.name!r}: the output is random, or depends on what was run before: "
                "two passes over the same image differ. eval() does not switch off functional "
                "dropout, sampling, or statistics that go on; pass training=self.training to them, "
                "or choose an output before them with output=",
            )


def check_forgets(scene: Scene, carried: Carried, read: Sequence[Sequence[Number]]) -> None:
    """An image has the same answer whichever image was seen first.

    Called where answers were made of other images than their own, or might be. What a network
    keeps need not matter, so a copy that has seen nothing sees the images in the other order.

    Parameters
    ----------
    scene : Scene
    carried : Carried
        That has followed the passes of `Scene.alone`, in which images were called 0, 1, ...
    read : sequence of sequence of numbers
        What was read out of tensors in each of these.

    Raises
    ------
    AssumptionError
    """
    reader, count = scene.fresh(), len(scene.x)
    decisions = Decisions(reader.module)
    passes: dict[int, Pass] = {}
    numbers: list[list[Number]] = [[] for _ in read]
    outside = False
    for image in reversed(range(count)):
        x = scene.x[image : image + 1].clone()
        with carried.following(x, count + image):
            passes[image] = one = observe(reader, x, noted=decisions.noted(numbers[image]))
        # Made of what another copy has seen: it is kept beside the network.
        outside |= min(carried.sources([one.output, one.features]), default=count) < count
    # The same of numbers: this copy reads no more of the image that it sees first than the other
    # did, which had seen one before, and less of the image that was the other's first.
    lengths = [(len(now), len(then)) for now, then in zip(numbers, read, strict=True)]
    outside |= lengths[0][0] < lengths[0][1] and lengths[-1][0] == lengths[-1][1]
    order = list(range(count))
    if outside or not scene.same(joined([passes[image] for image in order]), order):
        raise AssumptionError(
            "repeats",
            f"network {scene.name!r} answers to an image by what it has seen before: it keeps "
            "something that is made of the first image, such as a cache, a mask or statistics "
            "that the first batch sets. Run it once on what it is to keep before its Encoder is "
            "made, if it keeps that in the module, or make that anew for each image",
        )


def check_alone(scene: Scene) -> None:
    """An image has the same answer beside another as alone, wherever it stands."""
    sizes = scene.reader.sizes
    orders = [[0, 1], [1, 0], [0, 1, 0]]
    if scene.at_once < 2 or len(scene.x) < 2:
        orders = []
    elif sizes.least > 1:
        orders = [[(i + first) % 2 for i in range(sizes.least)] for first in (0, 1)]
        orders += [scene.order]
    for order in orders:
        try:
            answer = scene.together(order)
        except AssumptionError:
            raise
        except EncoderError as error:
            raise AssumptionError(
                "alone",
                f"network {scene.name!r} runs on one image alone, and fails on a batch of "
                f"{len(order)}: {error}; batch_size=1 runs it one by one",
            ) from error
        if not scene.same(answer, order) and scene.alike_exactly(order):
            raise _rounded(scene.name)
        if not scene.same(answer, order):
            raise _mixed(scene.reader)


def check_alone_exactly(scene: Scene) -> None:
    """What might be rounding is not there where less is rounded."""
    if scene.at_once >= 2 and len(scene.x) == 2 and scene.alike_exactly(scene.order) is False:
        raise _mixed(scene.reader)


def check_large_batch(reader: Reader, x: Tensor, exact: Callable[[], Reader]) -> None:
    """Refuse a network whose first or last image has another answer in a batch than alone.

    Parameters
    ----------
    reader : Reader
    x : Tensor [N, C, H, W]
        A batch, as the network sees it.
    exact : callable
        Returns a reader of the network in other arithmetic.

    Raises
    ------
    AssumptionError
    """

    def alike(reader: Reader, x: Tensor) -> bool:
        def answers(images: Tensor) -> Pass:
            output, features = reader.both(images)
            return Pass(output, output if features is output else features, None, images.dtype)

        ends = x[[0, -1]]
        together = answers(x).of([0, len(x) - 1])
        alone, shaken = (
            joined([answers(one) for one in some.split(1)]) for some in (ends, nudged(ends))
        )
        return alone.agrees(together, shaken)

    with torch.no_grad():
        if alike(reader, x):
            return
        if x.dtype != torch.float64 and alike(exact(), x.double()):
            raise _rounded(reader.name)
    raise _mixed(reader)


def _rounded(name: str) -> AssumptionError:
    return AssumptionError(
        "alone",
        f"network {name!r}: rounding is a good part of its output, or of its gradient: both are "
        "others beside another image than alone, and in float64 they are not. Make its Encoder "
        "with dtype=torch.float64, or choose another output",
    )


def _mixed(reader: Reader) -> AssumptionError:
    found = f"network {reader.name!r} answers to an image otherwise beside another image than alone"
    layer = next((name for name, part in reader.module.named_modules() if _scaled(part)), None)
    if layer is not None:
        return AssumptionError(
            "alone",
            f"{found}: layer {layer!r} is dynamically quantised, and one scale is taken for the "
            "activations of a whole batch. Take the float network that it was made of, or "
            "batch_size=1, which is enough to read features, but gives no attribution",
        )
    return AssumptionError(
        "alone",
        f"{found}: batch norm without running statistics, or in training mode, a mean over the "
        "batch, an LSTM without batch_first, or a squeeze or reshape that mixes images. "
        "batch_size=1 runs it one by one, if that is what you mean",
    )


def _scaled(part: nn.Module) -> bool:
    """Tell whether a layer is of torch's dynamic quantisation, whose scales are of what it sees."""
    return ".quantized.dynamic." in type(part).__module__


def check_function_of_one_image(scene: Scene, *, closely: bool) -> None:
    """Refuse a network that is no pure function of one image.

    Parameters
    ----------
    scene : Scene
    closely : bool
        Whether random numbers were drawn, or something was written, while the network ran.

    Raises
    ------
    AssumptionError
    """
    check_repeats(scene, _REPEATS if closely else 2)
    check_alone(scene)


# Names of what is assumed, as in `AssumptionError.assumption`, and what each means.
ASSUMPTIONS: dict[str, str] = {
    "repeats": "the same image twice has the same answer, whatever was seen before it",
    "alone": "an image has the same answer beside others as alone, in any order and batch size",
    "shape": "every image has an answer of the same shape",
    "private copy": "a copy of the network uses nothing of the original",
    "scalar": "what is attributed answers to the image by more than rounding",
    "features": "features differ between images by more than rounding",
}
