"""One network over all probes: the rows that stand for it, checked, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pyattrx._progress import progress
from pyattrx.encoders import Encoder, PreparedEncoder, looks_untrained, say_untrained
from pyattrx.errors import AssumptionError, EncoderError, NonFiniteError, PyattrxError
from pyattrx.methods import ROUNDINGS, AttributionMaps, FeatureMethod, Summary, quantize
from pyattrx.ops import freed_memory_kept
from pyattrx.probes import Probes
from pyattrx.running.behavior import described_behaviour, examples
from pyattrx.running.effects import Effects
from pyattrx.running.feeding import Arriving, Begun, feed, in_turn, lag
from pyattrx.running.map_checks import MapChecks
from pyattrx.running.observing import Observer
from pyattrx.running.precision import arithmetic
from pyattrx.running.rounding import ENOUGH, needs_other_arithmetic

__all__ = ["Description"]

_Made = TypeVar("_Made")


class Description:
    """A network being described: a context manager that frees its copy in the end.

    Parameters
    ----------
    encoder : Encoder
    probes : Probes
    maps : sequence of AttributionMaps
        What to describe it with; each costs its own passes.
    batch_size : int
    device : torch.device
    precision : str
        One of `PRECISIONS`, checked.
    compile : bool
        Whether passes are those of a compiled program.
    label : str
        What progress calls it.
    count : int
        How many probes `rows` will be asked for; all of them if left out.

    Attributes
    ----------
    checks : list of MapChecks
        What is known of the maps so far, by `maps`.
    features_in : str or None
        The dtype that features were read in, where it is not the network's own.
    effects : Effects
        The arithmetic of passes, and what it does to the first maps and features.
    behaviour : dict
        What it answered when it was looked at; see `pyattrx.encoders.identity`.
    untrained : str or None
        Why its weights look as they were initialised.
    how : dict
        What is special about how it is run: ``one_at_a_time``, ``computed_in``.
    """

    def __init__(
        self,
        encoder: Encoder,
        probes: Probes,
        maps: Sequence[AttributionMaps],
        *,
        batch_size: int,
        device: torch.device,
        precision: str,
        compile: bool = False,
        label: str | None = None,
        count: int | None = None,
    ) -> None:
        self._encoder = encoder
        self._probes = probes
        self._maps = maps
        self._batch_size = batch_size
        # Maps of an image that are made of as many images of a pass leave room for fewer others.
        self._maps_of_one = max((one.maps for one in maps), default=1)
        self._device = device
        self._compile = compile
        self._label = (label or encoder.name) + (", compiled" if compile else "")
        self._count = len(probes) if count is None else count
        self.effects = Effects(precision, device, compile, self._count)
        self._open = ExitStack()
        self._feeding: set[Generator[Tensor, None, None]] = set()
        self._other: PreparedEncoder | None = None  # in other arithmetic, made where it is needed
        self.checks: list[MapChecks] = []
        self.features_in: str | None = None
        self.behaviour: dict[str, Any] = {}
        self.untrained: str | None = None
        self.how: dict[str, Any] = {}

    def __enter__(self) -> Description:
        with ExitStack() as entered:
            if self._device.type == "cpu":
                # For this network's passes only: the next one has other sizes.
                entered.enter_context(freed_memory_kept())
            entered.enter_context(arithmetic("float32", self._device))
            images, digests = examples(self._probes)
            prepared = self._encoder.prepare(self._device, images, batch_size=self._largest_batch)
            self._prepared = entered.enter_context(prepared)
            if prepared.dtype == torch.float64:  # whoever has such a network wants to know exactly
                self.effects.exact()
            self._begin_checks()
            self.behaviour = described_behaviour(prepared, digests)
            self.how = prepared.how
            self.untrained = looks_untrained(self._encoder.module, prepared.looked.used)
            say_untrained(self._encoder.name, self.untrained)
            entered.callback(self._close_exact)
            if self._compile:
                prepared.compile(self._largest_batch)
            entered.callback(self._stop_feeding)
            self._open = entered.pop_all()
        return self

    def _begin_checks(self) -> None:
        self.checks = [
            MapChecks(self._prepared, maps, self.effects.of_maps, self._exact)
            for maps in self._maps
        ]

    @property
    def _largest_batch(self) -> int:
        return min(self._batch_size, self._count * self._maps_of_one)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def rows(
        self,
        order: np.ndarray | None = None,
        *,
        on_host: bool | Callable[[Sequence[Tensor]], Sequence[bool]] = False,
    ) -> Iterator[tuple[np.ndarray, list[Tensor]]]:
        """Describe probes.

        On a CUDA device the next batch is queued before the rows of one are looked at and handed
        out; no row is handed out that was not found finite.

        Parameters
        ----------
        order : ndarray [n], int64, optional
            Which probes; all of them if left out.
        on_host : bool or callable
            Bring the rows to the host, behind what was queued for them and before what comes next:
            a row that is taken to the host when it is handed out waits for the next batch. A
            function is called once, with the first batch of rows, one [B, D] for each of `maps`,
            not checked yet; it returns for each whether it is wanted on the host.

        Yields
        ------
        probes : ndarray [B], int64
        rows : list of Tensor [B, D]
            One for each of `maps`, in its method's storage type, on the device unless `on_host`
            says otherwise.

        Raises
        ------
        NonFiniteError
            A map holds NaN or Inf; the message names the network and the probe.
        """
        order = np.arange(len(self._probes)) if order is None else order
        begun = self._begun(order, on_host)
        with progress(self._label, len(order)) as step:
            for chosen, rows in in_turn(begun, self._checked, lag(self._device)):
                yield chosen, rows
                step(len(chosen))
        self._check_something_is_left()

    def each(
        self, run: Callable[[PreparedEncoder, Tensor, np.ndarray], _Made], what: str
    ) -> Iterator[tuple[np.ndarray, _Made]]:
        """Make passes of one's own over all probes.

        Parameters
        ----------
        run : callable
            Of the prepared network, a batch of images and the probes' numbers; called again for a
            first batch that was not answered as its images alone.
        what : str
            What progress calls it.

        Yields
        ------
        probes : ndarray [B], int64
        made : object
            What `run` returned.
        """
        if self.effects.exact_maps():  # what it does to these passes is not measured
            self._begin_checks()
        with progress(f"{self._label}, {what}", len(self._probes)) as step:
            for chosen, images in self._batches(np.arange(len(self._probes))):
                with self._failures_named():
                    with arithmetic(self.effects.of_maps, self._device):
                        made = run(self._prepared, images, chosen)
                    if self._changed(self._prepared, self.effects.of_maps):
                        made = run(self._prepared, images, chosen)
                yield chosen, made
                step(len(chosen))
        self._check_something_is_left()

    def checked(self, chosen: np.ndarray, images: Tensor, maps: Tensor, sizes: Tensor) -> Tensor:
        """Check and mend maps that `each` made by the first of `maps`, as `rows` does."""
        flags = self.checks[0].flags(maps, sizes)
        begun = Begun(chosen, [], Arriving([flags]), [maps], images)
        return self._checked(begun)[1][0]

    def observed(
        self,
        method: Observer,
        room: Callable[[tuple[int, ...], torch.dtype], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What a method sees of the probes as a whole.

        Parameters
        ----------
        method : FeatureMethod or Observer
        room : callable, optional
            Makes an empty tensor of a shape and a type: in a file, say. Memory if left out.

        Returns
        -------
        dict of str to Tensor [N, ...]
            On the host.

        Raises
        ------
        NonFiniteError
            Features hold NaN or Inf; the message names the network and the probe.
        """
        found: dict[str, Tensor] = {}
        count = len(self._probes)
        room = room or (lambda shape, dtype: torch.empty(shape, dtype=dtype))
        with self._failures_named():
            finer = needs_other_arithmetic(self._prepared, self._exact, self._some_images)
            reader = self._exact() if finer else self._prepared
            self.features_in = str(reader.dtype).removeprefix("torch.") if finer else None

        def begin(chosen: np.ndarray, images: Tensor) -> Begun:
            with self._failures_named():
                parts = self._parts(method, reader, images, chosen)
                if self.effects.measure_features(reader, method, images, chosen, parts):
                    parts = self._parts(method, reader, images, chosen)
            flags = [part.reshape(len(part), -1).isfinite().all(1) for part in parts.values()]
            return Begun(chosen, list(parts), Arriving([*flags, *parts.values()]))

        def finish(begun: Begun) -> int:
            arrived = begun.arriving.wait()
            flags, parts = arrived[: len(begun.names)], arrived[len(begun.names) :]
            for finite in flags:
                self._check_finite(begun.chosen, finite, "features hold")
            first = int(begun.chosen[0])
            for name, part in zip(begun.names, parts, strict=True):
                if name not in found:
                    found[name] = room((count, *part.shape[1:]), part.dtype)
                self._check_shape(name, found[name], part)
                found[name][first : first + len(part)] = part
            return len(begun.chosen)

        begun = (begin(chosen, images) for chosen, images in self._batches(np.arange(count)))
        with progress(f"{self._label}, {method.name}", count) as step:
            for seen in in_turn(begun, finish, lag(self._device)):
                step(seen)
        if method.all_units_alike and not finer:
            for name, values in found.items():
                self._still_noise(name, values)
        return found

    def summary(self, method: FeatureMethod) -> Summary:
        """What a method keeps of the network."""
        return method.summarize(self.observed(method))

    def _parts(
        self, method: Observer, reader: PreparedEncoder, images: Tensor, chosen: np.ndarray
    ) -> dict[str, Tensor]:
        precision = self.effects.of_features
        with arithmetic(precision, self._device), torch.no_grad():
            parts = method.observe(reader, images, chosen)
            if self._changed(reader, precision):
                parts = method.observe(reader, images, chosen)
        return parts

    def _batches(
        self, order: np.ndarray, maps_of_one: int = 1
    ) -> Generator[tuple[np.ndarray, Tensor], None, None]:
        """Numbers of probes and their images on the device; its thread ends with this network."""
        at_once = max(1, self._batch_size // maps_of_one)
        batches = feed(self._probes, self._device, at_once, order)
        # Whoever goes through the rows may be held by a traceback; that must not hold a thread.
        self._feeding.add(batches)
        done = 0
        for images in batches:
            yield order[done : done + len(images)], images
            done += len(images)
        self._feeding.discard(batches)

    def _stop_feeding(self) -> None:
        while self._feeding:
            self._feeding.pop().close()

    def _begun(
        self, order: np.ndarray, on_host: bool | Callable[[Sequence[Tensor]], Sequence[bool]]
    ) -> Iterator[Begun]:
        """Batches of rows that are being made, on their way to the host if they shall be there."""
        leave: Sequence[bool] | None = None
        for chosen, images in self._batches(order, self._maps_of_one):
            with self._failures_named():
                rows, flags = self._queued(images)
            if leave is None:
                leave = on_host(rows) if callable(on_host) else [on_host] * len(rows)
            leaving = [some for some, leaves in zip(rows, leave, strict=True) if leaves]
            stay = [None if leaves else some for some, leaves in zip(rows, leave, strict=True)]
            yield Begun(chosen, [], Arriving([*flags, *leaving]), stay, images)

    def _queued(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Queue the maps of a batch, and what is to be known of them."""
        made: list[tuple[Tensor, Tensor]] = []
        for describe in self._maps:
            with arithmetic(self.effects.of_maps, self._device):
                made.append(describe.rows_and_sizes(self._prepared, images))
        again = self._changed(self._prepared, self.effects.of_maps)
        if not again and made:
            first, (maps, _) = self._maps[0], made[0]
            again = self.effects.measure_maps(self._prepared, first, images, maps)
            if again:
                self._begin_checks()
        if again:
            return self._queued(images)
        flags = [checks.flags(*one) for checks, one in zip(self.checks, made, strict=True)]
        storages = [describe.method.storage for describe in self._maps]
        return [quantize(one[0], kept) for one, kept in zip(made, storages, strict=True)], flags

    def _changed(self, prepared: PreparedEncoder, precision: str) -> bool:
        """Whether the first large batch was not answered as its images alone, and is to be rerun.

        Raises
        ------
        AssumptionError
            The network mixes the images of a batch.
        """
        with arithmetic(precision, self._device):
            if prepared.first_batch_agrees():
                return False
        with arithmetic("float32", self._device):
            return prepared.settle_first_batch()

    def _checked(self, begun: Begun) -> tuple[np.ndarray, list[Tensor]]:
        """Wait for a batch; refuse maps that are not finite, and count those of zeros."""
        arrived = begun.arriving.wait()
        count = len(self._maps)
        left = iter(arrived[count:])
        rows = [next(left) if some is None else some for some in begun.rows]
        for which, checks in enumerate(self.checks):
            flags = arrived[which]
            self._check_finite(begun.chosen, flags[0], "attribution map holds")
            assert begun.images is not None
            with self._failures_named(), arithmetic(self.effects.of_maps, self._device):
                rows[which] = checks.checked(rows[which], list(flags), begun.images)
        return begun.chosen, rows

    def _exact(self) -> PreparedEncoder:
        if self._other is None:
            self._other = self._prepared.exact()
        return self._other

    def _close_exact(self) -> None:
        if self._other is not None:
            self._other.close()
            self._other = None

    def _check_something_is_left(self) -> None:
        for checks in self.checks:
            with arithmetic("float32", self._device):
                checks.check_something_is_left(self._some_images)

    def _some_images(self) -> Tensor:
        return self._probes.images(0, min(ENOUGH, len(self._probes))).to(self._device)

    def _check_shape(self, name: str, found: Tensor, part: Tensor) -> None:
        if found.shape[1:] != part.shape[1:]:
            raise AssumptionError(
                "shape",
                f"network {self._encoder.name!r}: the {name} has shape {tuple(found.shape[1:])} "
                f"for one probe and {tuple(part.shape[1:])} for another, so that they cannot be "
                f"compared; choose another with {name}=",
            )

    def _still_noise(self, name: str, values: Tensor) -> None:
        """Make features constant that differ between probes by rounding only."""
        if name not in ("output", "features"):
            return
        one = getattr(self._prepared.looked.plain, name)
        other = getattr(self._prepared.looked.prepared, name)
        rounding = (one.double() - other.double()).abs().amax(0).cpu()
        if rounding.shape != values.shape[1:]:
            return
        spread = values.amax(0).double() - values.amin(0).double()
        still = (spread <= ROUNDINGS * rounding) & (rounding > 0)
        values[:, still] = values[0, still]

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Make whatever a network's pass raises an error that names the network."""
        try:
            yield
        except PyattrxError:
            raise
        except Exception as error:
            small = ", a smaller batch_size takes less" if "out of memory" in str(error) else ""
            raise EncoderError(
                f"network {self._encoder.name!r} failed: {type(error).__name__}: {error}{small}"
            ) from error

    def _check_finite(self, chosen: np.ndarray, finite: Tensor, what: str) -> None:
        if not bool(finite.all()):
            probe = int(chosen[int((~finite).nonzero()[0, 0])])
            raise NonFiniteError(
                f"network {self._encoder.name!r}, probe {probe} ({self._probes.names[probe]!r}): "
                f"its {what} NaN or Inf"
            )
