"""Features of one network for all images: out of the cache, and computed where they are new."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._ambient import neutral
from pyattrx._progress import progress
from pyattrx.encoders import (
    Encoder,
    PreparedEncoder,
    imagenet_top1,
    looks_untrained,
    original_untouched,
)
from pyattrx.errors import AssumptionError, EncoderError, NonFiniteError, PyattrxError
from pyattrx.features.cache import CachedNetwork, FeatureCache, Rows, rounded, stacked
from pyattrx.features.costs import Costs, multiply_adds, origin
from pyattrx.features.place import (
    FeatureReader,
    Place,
    SeveralReaders,
    find_place,
    place_in,
    readable,
)
from pyattrx.probes import Probes
from pyattrx.running import ENOUGH, arithmetic, device_name, examples, feed, needs_other_arithmetic

__all__ = ["Features", "extract"]

# Changes when features are read elsewhere than before: what is kept then is of no use.
_RULES = 4
# How far features may be from those that are kept, of their length, and still be of the same
# network: rounding to float16, other threads, another device.
_SAME = 5e-3
_VARIANTS = 4  # networks that only their behaviour tells apart
_SAVE_EVERY_S = 20.0
# Share of the features' variance over images that rounding to float16 may be.
_COARSE = 0.01


@dataclass(frozen=True, eq=False)
class Features:
    """What one network sees in all images.

    Attributes
    ----------
    name : str
    pooled : ndarray [N, D], float32
        One vector an image, rounded to float16 but for a power of two.
    maps : ndarray [N, C, H, W], float32, or None
        The same by location, area-resampled; None where the network has no such features.
    place : str
        Where in the network they were read.
    costs : Costs
    computed : int
        Images that were run; the others came out of the cache.
    untrained : str or None
        Why the network's weights look as they were initialised.
    facts : dict
        What else is worth knowing, as JSON types: ``imagenet_top1`` where it was published.
    assumed : bool
        Whether only the network's structure told the place.
    """

    name: str
    pooled: np.ndarray
    maps: np.ndarray | None
    place: str
    costs: Costs
    computed: int
    untrained: str | None
    facts: dict[str, Any]
    assumed: bool = False

    def together(self) -> np.ndarray:
        """The vector and the maps side by side, [N, D + C * H * W]: what is where counts, too.

        The vector alone where it is the same for every image: what made the maps is not used.
        """
        if self.maps is None or self.constant:
            return self.pooled
        return np.concatenate([self.pooled, self.maps.reshape(len(self.maps), -1)], axis=1)

    @property
    def constant(self) -> bool:
        """Whether every image has the same features."""
        return bool((self.pooled == self.pooled[:1]).all())

    @property
    def coarse(self) -> bool:
        """Whether float16 hides a part of how images differ: all have something large in common."""
        values = self.pooled.astype(np.float64)
        steps = np.where(values == 0, 0.0, np.ldexp(1.0, np.frexp(values)[1] - 11))
        # What is rounded to steps has an error of variance 1/12.
        return bool(np.square(steps).mean() / 12 > _COARSE * values.var(0).mean())


def extract(
    encoder: Encoder,
    probes: Probes,
    *,
    batch_size: int = 32,
    device: torch.device | None = None,
    grid: int = 2,
    cache: FeatureCache | None = None,
    label: str | None = None,
) -> Features:
    """Read a network's features of all images, in one forward pass an image.

    Parameters
    ----------
    encoder : Encoder
        Read at its `features`, or `output`, where it names them; else where `find_place` says.
    probes : Probes
    batch_size : int
    device : torch.device, optional
        The CPU if left out.
    grid : int
        Most rows and columns of `Features.maps`.
    cache : FeatureCache, optional
        Images that are there are not run again, once one of them was, and has the same features.
    label : str, optional
        What progress calls the network.

    Returns
    -------
    Features

    Raises
    ------
    InvalidValue
        ``PYATTRX_IMAGENET`` leads to no table.
    EncoderError, AssumptionError
        The network fails, or is no function of one image.
    NonFiniteError
        Features hold a NaN or an infinity; the message names the image.

    Examples
    --------
    >>> import torch, pyattrx
    >>> from pyattrx.features import extract
    >>> body = [torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    >>> network = torch.nn.Sequential(*body, torch.nn.Linear(8, 5))
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 16, 16))
    >>> found = extract(pyattrx.Encoder(network, name="net"), probes)
    >>> found.place, found.pooled.shape, found.maps.shape
    ('input of 3', (4, 8), (4, 8, 2, 2))
    """
    top1 = imagenet_top1(encoder)
    run = _Run(encoder, probes, batch_size, device or torch.device("cpu"), grid)
    kept, known = _kept(run, cache)
    digests = probes.digests()
    missing = _first_of_each(
        [i for i, digest in enumerate(digests) if digest not in known], digests
    )
    if missing:
        wanted = (np.array(missing, np.int64), kept, label or encoder.name)
        others = _beside(run, cache, [digests[index] for index in missing])
        try:
            known |= run.compute(*wanted, others)
        except (AssumptionError, EncoderError):
            if not others:
                raise
            known |= run.compute(*wanted)  # what is wrong may be wrong of another place
    facts = run.facts or (kept.facts() if kept is not None else {})
    rows = stacked([known[digest] for digest in digests])
    return Features(
        encoder.name,
        rows.pooled,
        rows.maps,
        facts["place"],
        Costs(
            facts["parameters"],
            facts["multiply_adds"],
            facts["milliseconds"],
            facts["measured_on"],
            rows.pooled.shape[1],
            (facts["input_size"][0], facts["input_size"][1]),
            *origin(encoder),
        ),
        len(missing),
        facts["untrained"],
        facts["how"] if top1 is None else {**facts["how"], "imagenet_top1": top1},
        facts["assumed"],
    )


def _first_of_each(indices: list[int], digests: list[bytes]) -> list[int]:
    """Copies of an image are run once."""
    first: dict[bytes, int] = {}
    for index in indices:
        first.setdefault(digests[index], index)
    return sorted(first.values())


def _kept(run: _Run, cache: FeatureCache | None) -> tuple[CachedNetwork | None, dict[bytes, Rows]]:
    """What the cache has of this network, and where to keep more of it."""
    if cache is None:
        return None, {}
    digests = run.probes.digests()
    for variant in range(_VARIANTS):
        kept = cache.network({**run.identity(), "variant": variant})
        known = kept.read(digests)
        if not known:
            if not kept.facts():
                return kept, {}
            continue  # of other images: nothing tells whether it is the same network
        try:
            if run.agrees(known, kept.facts()):
                return kept, known
        except PyattrxError:
            continue
    return None, {}


def _beside(
    run: _Run, cache: FeatureCache | None, missing: list[bytes]
) -> list[tuple[_Run, CachedNetwork]]:
    """Other layers of the network to read in the same pass, and where they are kept."""
    found: list[tuple[_Run, CachedNetwork]] = []
    if cache is None or run.encoder.features not in run.encoder.beside:
        return found
    with run._glance(examples(run.probes)[0]) as (prepared, x):
        layers = readable(prepared.module, x, run.encoder.beside)
    if run.encoder.features not in layers:
        return found
    for layer in layers:
        if layer != run.encoder.features:
            other = run.elsewhere(layer)
            kept, known = _kept(other, cache)
            if kept is not None and not known.keys() >= set(missing):
                found.append((other, kept))
    return found


class _Sink:
    """What one place says of images, kept as it comes."""

    def __init__(
        self, reader: FeatureReader, kept: CachedNetwork | None, facts: dict[str, Any]
    ) -> None:
        self.reader, self._kept, self._facts = reader, kept, facts
        self.done: dict[bytes, Rows] = {}
        self._waiting: list[bytes] = []

    def take(self, numbers: np.ndarray, digests: list[bytes]) -> None:
        rows = _split(numbers, self.reader)
        for row, digest in enumerate(digests):
            maps = None if rows.maps is None else rows.maps[row : row + 1]
            self.done[digest] = Rows(rows.pooled[row : row + 1], maps)
            self._waiting.append(digest)

    def save(self) -> None:
        if self._kept is not None and self._waiting:
            rows = stacked([self.done[digest] for digest in self._waiting])
            self._kept.write(self._waiting, rows, self._facts)
        self._waiting.clear()


class _Run:
    """One network, read once over some images."""

    def __init__(
        self, encoder: Encoder, probes: Probes, batch_size: int, device: torch.device, grid: int
    ) -> None:
        self.encoder, self.probes = encoder, probes
        self.batch_size, self.device, self.grid = batch_size, device, grid
        self.facts: dict[str, Any] = {}
        self.timed = False  # well enough, by an earlier run

    @cached_property
    def _described(self) -> dict[str, Any]:
        """Once: it reads all weights."""
        return self.encoder.describe()

    @property
    def _headless(self) -> bool:
        """Whether the network is known to have no classifier any more."""
        return bool(self.encoder.known.get("headless"))

    def identity(self) -> dict[str, Any]:
        """All that its features depend on, but for what only its behaviour shows."""
        facts = dict(self._described)
        for name in ("name", "specification", "parameters", "versions"):
            facts.pop(name)
        size = list(self.probes.size)
        return {**facts, "image_size": size, "grid": self.grid, "rules": _RULES}

    def elsewhere(self, layer: str) -> _Run:
        """The same network, its features read at another layer."""
        encoder = self.encoder.read_at(features=layer, name=self.encoder.name)
        made = _Run(encoder, self.probes, self.batch_size, self.device, self.grid)
        made._described = {**self._described, "features": layer}
        return made

    def agrees(self, known: dict[bytes, Rows], facts: dict[str, Any]) -> bool:
        """Whether the network sees in an image what was kept of it, where that was read."""
        digests = self.probes.digests()
        index = next(i for i, digest in enumerate(digests) if digest in known)
        image = self.probes.images(index, index + 1)
        with self._glance(image) as (prepared, x):
            reader = self._reader_again(prepared, facts) or self._reader(prepared, x)
            found = _split(_numbers(reader(prepared.module, x)), reader)
        before = known[digests[index]]
        return _alike(found.pooled, before.pooled) and _alike(found.maps, before.maps)

    def compute(
        self,
        order: np.ndarray,
        kept: CachedNetwork | None,
        label: str,
        others: Sequence[tuple[_Run, CachedNetwork]] = (),
    ) -> dict[bytes, Rows]:
        """Run images, and keep what comes out as it comes; of other layers, too."""
        images, _ = examples(self.probes)
        runs = [self, *(run for run, _ in others)]
        readers = [run._looked(images) for run in runs]
        # Two batches at least: the first one warms up, and its time says nothing.
        batch_size = min(self.batch_size, -(-len(order) // 2))
        read = SeveralReaders(readers) if others else readers[0]
        prepared = self.encoder.read_at(output=read).prepare(
            self.device, images, batch_size=batch_size, gradients=False
        )
        with prepared:
            places = [kept, *(place for _, place in others)]
            for run, place in zip(runs, places, strict=True):
                earlier = place.facts() if place is not None else {}
                # A few images that are new say less about time than the many before them, and a
                # pass for several places takes as long as the last of them.
                few = len(order) < self.batch_size and self._where() == earlier.get("measured_on")
                run.timed = few or bool(others)
                run.facts["how"] = prepared.how
                if run.timed:
                    run.facts |= {key: earlier.get(key) for key in ("milliseconds", "measured_on")}
            sinks = [
                _Sink(reader, place, run.facts)
                for reader, place, run in zip(readers, places, runs, strict=True)
            ]
            with self._exact_enough(prepared, readers[0].width) as fitting:
                return self._passes(fitting, read, sinks, order, label, batch_size)

    @contextmanager
    def _exact_enough(self, prepared: PreparedEncoder, width: int) -> Iterator[PreparedEncoder]:
        """The network, in float64 where rounding is a good part of its features."""
        with ExitStack() as stack:
            made: list[PreparedEncoder] = []

            def exact() -> PreparedEncoder:
                made.append(stack.enter_context(prepared.exact()))
                return made[0]

            def some() -> Tensor:
                return self.probes.images(0, min(ENOUGH, len(self.probes))).to(self.device)

            with arithmetic("float32", self.device):
                finer = needs_other_arithmetic(prepared, exact, some, ("features",), width)
            if finer:
                self.facts["how"] = {**self.facts["how"], "computed_in": "float64"}
            yield made[0] if finer else prepared

    def _looked(self, images: Tensor) -> FeatureReader:
        """Find where the features are, and what is to be known of the network."""
        with self._glance(images) as (prepared, x):
            reader = self._reader(prepared, x)
            counted = multiply_adds(prepared, x[:1])
        self.facts = {
            "name": self.encoder.name,
            "place": _said(self.encoder, reader),
            "assumed": reader.output is None and not self._headless,
            "read_at": asdict(reader.place),
            "headless": self._headless,
            "parameters": self._described["parameters"],
            "multiply_adds": counted,
            "input_size": list(x.shape[2:]),
            "untrained": looks_untrained(self.encoder.module),
            "milliseconds": None,
            "measured_on": None,
        }
        return reader

    def _passes(
        self,
        prepared: PreparedEncoder,
        read: FeatureReader | SeveralReaders,
        sinks: list[_Sink],
        order: np.ndarray,
        label: str,
        batch_size: int,
    ) -> dict[bytes, Rows]:
        digests = self.probes.digests()
        seconds: list[float] = []
        saved = time.monotonic()
        batches = feed(self.probes, self.device, batch_size, order)
        at = 0
        with progress(label, len(order)) as step:
            try:
                for images in batches:
                    begun = time.perf_counter()
                    numbers = self._run(prepared, images)
                    taken = (time.perf_counter() - begun) / len(images)
                    chosen = order[at : at + len(images)]
                    at += len(images)
                    parts = read.split(numbers) if isinstance(read, SeveralReaders) else [numbers]
                    self._check_finite(parts[0], chosen)
                    seconds.append(taken)
                    self._timed(seconds)
                    for sink, part in zip(sinks, parts, strict=True):
                        if np.isfinite(part).all():  # another place fails in its own turn
                            sink.take(part, [digests[index] for index in chosen.tolist()])
                    step(len(chosen))
                    if time.monotonic() - saved > _SAVE_EVERY_S:
                        for sink in sinks:
                            sink.save()
                        saved = time.monotonic()
            finally:  # interrupted, too: what is done is done
                batches.close()
                for sink in sinks:
                    sink.save()
        return sinks[0].done

    def _run(self, prepared: PreparedEncoder, images: Tensor) -> np.ndarray:
        with arithmetic("float32", self.device):
            try:
                found = prepared.outputs(prepared.preprocess(images))[0]
                if not prepared.first_batch_agrees() and prepared.settle_first_batch():
                    found = prepared.outputs(prepared.preprocess(images))[0]
                return _numbers(found)
            except PyattrxError:
                raise
            except Exception as error:
                small = ", a smaller batch_size takes less" if "out of memory" in str(error) else ""
                raise EncoderError(
                    f"network {self.encoder.name!r} failed: {type(error).__name__}: {error}{small}"
                ) from error

    def _timed(self, seconds: list[float]) -> None:
        if self.timed:
            return
        # The first batch is slower than those to come.
        taken = float(np.median(seconds[1:] or seconds))
        self.facts["milliseconds"] = round(taken * 1e3, 3)
        self.facts["measured_on"] = self._where()

    def _where(self) -> str:
        """Where times are measured, in words."""
        if self.device.type != "cpu":
            return device_name(self.device)
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)}"

    def _check_finite(self, numbers: np.ndarray, chosen: np.ndarray) -> None:
        bad = ~np.isfinite(numbers).all(1)
        if bad.any():
            index = int(chosen[int(bad.argmax())])
            raise NonFiniteError(
                f"network {self.encoder.name!r}, image {index} ({self.probes.names[index]!r}): "
                "its features hold NaN or Inf"
            )

    @contextmanager
    def _glance(self, images: Tensor) -> Iterator[tuple[PreparedEncoder, Tensor]]:
        """A plain copy of the network that nobody has looked at, and what it is to see."""
        encoder = self.encoder
        with encoder.prepare(self.device, images, looked_at=False) as prepared:
            x = prepared.preprocess(images)
            with (
                original_untouched(encoder.module, encoder.name),
                arithmetic("float32", self.device),
                neutral(),
                prepared.surroundings(),
                torch.no_grad(),
            ):
                yield prepared, x

    def _reader_again(
        self, prepared: PreparedEncoder, facts: dict[str, Any]
    ) -> FeatureReader | None:
        """Read where an earlier run did, which took a pass to find out; None where that is open."""
        if self.encoder.features is not None or self.encoder.output is not None:
            return None
        if facts.get("headless") != self._headless:  # another place may be right
            return None
        place = place_in(prepared.module, facts.get("read_at"))
        return None if place is None else FeatureReader(place, self.grid)

    def _reader(self, prepared: PreparedEncoder, x: Tensor) -> FeatureReader:
        said = self.encoder.features or self.encoder.output
        if said is not None:
            return FeatureReader(Place(), self.grid, said)
        try:
            place = find_place(prepared.module, x, headless=self._headless)
        except AssumptionError:
            raise
        except Exception:  # of any kind: what is wrong is found, and said, when it is looked at
            place = Place()
        return FeatureReader(place, self.grid)


def _numbers(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()


def _split(numbers: np.ndarray, reader: FeatureReader) -> Rows:
    """What a reader says of images as vectors and maps, rounded as they are kept."""
    pooled = rounded(numbers[:, : reader.width])
    if reader.shape is None:
        return Rows(pooled, None)
    return Rows(pooled, rounded(numbers[:, reader.width :].reshape(-1, *reader.shape)))


def _alike(found: np.ndarray | None, before: np.ndarray | None) -> bool:
    if found is None or before is None:
        return found is before
    if found.shape != before.shape:
        return False
    # In float64: no square under- or overflows.
    a, b = found.astype(np.float64), before.astype(np.float64)
    return bool(np.linalg.norm(a - b) <= _SAME * np.linalg.norm(b))


def _said(encoder: Encoder, reader: FeatureReader) -> str:
    said = encoder.features or encoder.output
    if said is None:
        return str(reader.place)
    return said if isinstance(said, str) else "as the encoder says"
