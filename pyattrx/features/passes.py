"""One pass of a network over images, to read its features at a place, or at several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._ambient import neutral
from pyattrx._progress import progress
from pyattrx.encoders import Encoder, PreparedEncoder, looks_untrained, original_untouched
from pyattrx.errors import AssumptionError, EncoderError, NonFiniteError, PyattrxError
from pyattrx.features.cache import CachedNetwork, Rows, rounded, stacked
from pyattrx.features.costs import multiply_adds
from pyattrx.features.place import (
    FeatureReader,
    Place,
    SeveralReaders,
    find_place,
    place_in,
)
from pyattrx.probes import Probes
from pyattrx.running import ENOUGH, arithmetic, device_name, examples, feed, needs_other_arithmetic

__all__ = ["Reading"]

# Changes when features are read elsewhere than before: what is kept then is of no use.
_RULES = 4
# How far features may be from those that are kept, of their length, and still be of the same
# network: rounding to float16, other threads, another device.
_SAME = 5e-3
_SAVE_EVERY_S = 20.0


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


class Reading:
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

    def elsewhere(self, layer: str) -> Reading:
        """The same network, its features read at another layer."""
        encoder = self.encoder.read_at(features=layer, name=self.encoder.name)
        made = Reading(encoder, self.probes, self.batch_size, self.device, self.grid)
        made._described = {**self._described, "features": layer}
        return made

    def agrees(self, known: dict[bytes, Rows], facts: dict[str, Any]) -> bool:
        """Whether the network sees in an image what was kept of it, where that was read."""
        digests = self.probes.digests()
        index = next(i for i, digest in enumerate(digests) if digest in known)
        image = self.probes.images(index, index + 1)
        with self.glance(image) as (prepared, x):
            reader = self._reader_again(prepared, facts) or self._reader(prepared, x)
            found = _split(_numbers(reader(prepared.module, x)), reader)
        before = known[digests[index]]
        return _alike(found.pooled, before.pooled) and _alike(found.maps, before.maps)

    def compute(
        self,
        order: np.ndarray,
        kept: CachedNetwork | None,
        label: str,
        others: Sequence[tuple[Reading, CachedNetwork]] = (),
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
        with self.glance(images) as (prepared, x):
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
    def glance(self, images: Tensor) -> Iterator[tuple[PreparedEncoder, Tensor]]:
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
