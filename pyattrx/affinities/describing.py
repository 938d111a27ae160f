"""One network over all probes: the rows that stand for it, checked, batch by batch."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._progress import progress
from pyattrx.affinities.feeding import Arriving, feed, in_turn, lag
from pyattrx.affinities.rounding import ENOUGH, MapFloor, needs_other_arithmetic, refuse_maps
from pyattrx.descriptors import (
    AttributionMaps,
    ProbeSetDescriptor,
    arithmetic,
    map_cosines,
    quantise,
)
from pyattrx.descriptors.probe_sets import ROUNDINGS
from pyattrx.encoders import Encoder, PreparedEncoder, load_many
from pyattrx.encoders.encoder import refused
from pyattrx.encoders.identity import behaviour_of
from pyattrx.encoders.untrained import looks_untrained
from pyattrx.errors import (
    AssumptionError,
    EncoderError,
    InvalidType,
    InvalidValue,
    NonFiniteError,
    PyattrxError,
    UntrainedWarning,
)
from pyattrx.ops._heap import freed_memory_kept
from pyattrx.probes import Probes

__all__ = [
    "Description",
    "Source",
    "check_batch_size",
    "check_compile",
    "check_sources",
    "described_behaviour",
    "device_name",
    "encoder_of",
    "encoders_of",
    "examples",
    "resolve_device",
    "versions",
]

Source = Encoder | str | Callable[[], Encoder]

# Probes on which the effect of a cheaper arithmetic is measured.
_EFFECT_PROBES = 8


class Description:
    """A network being described: a context manager that frees its copy in the end.

    Parameters
    ----------
    encoder : Encoder
    probes : Probes
    descriptors : sequence of AttributionMaps
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
    zero_maps : list of int
        All-zero maps seen so far, by descriptor.
    noise_maps : list of int
        How many of them held rounding noise, which was taken out.
    exact_maps : list of int
        Maps of which rounding was a part, and that were computed in float64 therefore.
    features_in : str or None
        The dtype that features were read in, where it is not the network's own.
    effect : dict or None
        What a reduced precision does to the maps of the first descriptor.
    compile_effect : dict or None
        What compilation does to them.
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
        descriptors: Sequence[AttributionMaps],
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
        self._descriptors = descriptors
        self._batch_size = batch_size
        self._device = device
        self._precision = precision
        self._compile = compile
        self._label = (label or encoder.name) + (", compiled" if compile else "")
        self._count = len(probes) if count is None else count
        self._open = ExitStack()
        self._feeding: set[Generator[Tensor, None, None]] = set()
        self._floors: dict[AttributionMaps, MapFloor] = {}
        self._other: PreparedEncoder | None = None  # in other arithmetic, made where it is needed
        self._seen = 0
        self.zero_maps = [0] * len(descriptors)
        self.noise_maps = [0] * len(descriptors)
        self.exact_maps = [0] * len(descriptors)
        self.features_in: str | None = None
        self._silent = [0] * len(descriptors)  # probes that nothing answers to
        self.effect: dict[str, float] | None = None
        self.compile_effect: dict[str, float] | None = None
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
            prepared = self._encoder.prepare(
                self._device, images, batch_size=min(self._batch_size, self._count)
            )
            self._prepared = entered.enter_context(prepared)
            self.behaviour = described_behaviour(prepared, digests)
            self.how = prepared.how
            self.untrained = looks_untrained(self._encoder.module, prepared.looked.used)
            if self.untrained is not None:
                warnings.warn(
                    f"network {self._encoder.name!r} looks untrained: {self.untrained}; its "
                    "weights may not have been loaded",
                    UntrainedWarning,
                    stacklevel=2,
                )
            entered.callback(self._close_exact)
            if self._compile:
                prepared.compile(min(self._batch_size, self._count))
            entered.callback(self._stop_feeding)
            self._open = entered.pop_all()
        return self

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
            function is called once, with the first batch of rows, one [B, D] for each descriptor,
            not checked yet; it returns for each whether it is wanted on the host.

        Yields
        ------
        probes : ndarray [B], int64
        rows : list of Tensor [B, D]
            One for each descriptor, in its method's storage type, on the device unless `on_host`
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

    def observed(self, descriptor: ProbeSetDescriptor) -> dict[str, Tensor]:
        """What a descriptor of the probes as a whole sees of them.

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
        with self._failures_named():
            finer = needs_other_arithmetic(self._prepared, self._exact, self._some_images)
            reader = self._exact() if finer else self._prepared
            self.features_in = str(reader.dtype).removeprefix("torch.") if finer else None

        def begin(chosen: np.ndarray, images: Tensor) -> _Begun:
            with (
                self._failures_named(),
                arithmetic(self._precision, self._device),
                torch.no_grad(),
            ):
                parts = descriptor.observe(reader, images, chosen)
                if self._changed(reader):
                    parts = descriptor.observe(reader, images, chosen)
            flags = [part.reshape(len(part), -1).isfinite().all(1) for part in parts.values()]
            return _Begun(chosen, list(parts), Arriving([*flags, *parts.values()]))

        def finish(begun: _Begun) -> int:
            arrived = begun.arriving.wait()
            flags, parts = arrived[: len(begun.names)], arrived[len(begun.names) :]
            for finite in flags:
                self._check_finite(begun.chosen, finite, "features hold")
            first = int(begun.chosen[0])
            for name, part in zip(begun.names, parts, strict=True):
                if name not in found:
                    found[name] = torch.empty((count, *part.shape[1:]), dtype=part.dtype)
                self._check_shape(name, found[name], part)
                found[name][first : first + len(part)] = part
            return len(begun.chosen)

        begun = (begin(chosen, images) for chosen, images in self._batches(np.arange(count)))
        with progress(f"{self._label}, {descriptor.method.kind}", count) as step:
            for seen in in_turn(begun, finish, lag(self._device)):
                step(seen)
        if descriptor.method.kind == "dds" and not finer:  # only there do all units count alike
            for name, values in found.items():
                self._still_noise(name, values)
        return found

    def _batches(self, order: np.ndarray) -> Generator[tuple[np.ndarray, Tensor], None, None]:
        """Numbers of probes and their images on the device; its thread ends with this network."""
        batches = feed(self._probes, self._device, self._batch_size, order)
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
    ) -> Iterator[_Begun]:
        """Batches of rows that are being made, on their way to the host if they shall be there."""
        leave: Sequence[bool] | None = None
        for chosen, images in self._batches(order):
            with self._failures_named():
                rows, flags = self._queued(images)
            if leave is None:
                leave = on_host(rows) if callable(on_host) else [on_host] * len(rows)
            leaving = [some for some, leaves in zip(rows, leave, strict=True) if leaves]
            stay = [None if leaves else some for some, leaves in zip(rows, leave, strict=True)]
            yield _Begun(chosen, [], Arriving([*flags, *leaving]), stay, images)

    def _queued(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Queue the maps of a batch, and what is to be known of them."""
        rows, flags = [], []
        for which, descriptor in enumerate(self._descriptors):
            with arithmetic(self._precision, self._device):
                maps, sizes = descriptor.rows_and_sizes(self._prepared, images)
            if which == 0:
                self._measure_effects(images, maps)
            suspect = self._floor(descriptor).suspects(sizes)
            zero = (maps == 0).all(1)
            flags.append(torch.stack([maps.isfinite().all(1), zero, suspect, sizes == 0]))
            rows.append(quantise(maps, descriptor.method.storage))
        return self._queued(images) if self._changed(self._prepared) else (rows, flags)

    def _changed(self, prepared: PreparedEncoder) -> bool:
        """Whether the first large batch was not answered as its images alone, and is to be rerun.

        Raises
        ------
        AssumptionError
            The network mixes the images of a batch.
        """
        with arithmetic(self._precision, self._device):
            if prepared.first_batch_agrees():
                return False
        with arithmetic("float32", self._device):
            return prepared.settle_first_batch()

    def _measure_effects(self, images: Tensor, maps: Tensor) -> None:
        """Compare some of the first maps with what they are meant to be."""
        if self._precision != "float32" and self.effect is None:
            self.effect = self._effect("float32", images, maps)
        if self._compile and self.compile_effect is None:
            self.compile_effect = self._effect(self._precision, images, maps)

    def _effect(self, precision: str, images: Tensor, maps: Tensor) -> dict[str, float]:
        """Cosines of some maps to those of the network as it is, in a precision."""
        some = images[:_EFFECT_PROBES]
        with self._prepared.as_it_is(), arithmetic(precision, self._device):
            exact = self._descriptors[0].rows(self._prepared, some)
        cosines = map_cosines(maps[: len(some)], exact)
        return {
            "probes": len(some),
            "mean_cosine": float(cosines.mean()),
            "least_cosine": float(cosines.min()),
        }

    def _checked(self, begun: _Begun) -> tuple[np.ndarray, list[Tensor]]:
        """Wait for a batch; refuse maps that are not finite, and count those of zeros."""
        arrived = begun.arriving.wait()
        count = len(self._descriptors)
        left = iter(arrived[count:])
        rows = [next(left) if some is None else some for some in begun.rows]
        self._seen += len(begun.chosen)
        for which in range(count):
            finite, zero, suspect, silent = arrived[which]
            self._silent[which] += int(silent.sum())
            self._check_finite(begun.chosen, finite, "attribution map holds")
            with self._failures_named(), arithmetic(self._precision, self._device):
                mended = self._mended(which, suspect, zero, begun)
            rows[which] = _with(rows[which], mended, self._descriptors[which].method.storage)
            noise = _zeros(mended)
            self.noise_maps[which] += noise
            self.exact_maps[which] += len(mended) - noise
            self.zero_maps[which] += noise + sum(at not in mended for at in _where(zero))
            if self._seen >= ENOUGH and self.noise_maps[which] == self._seen:
                refuse_maps(self._encoder.name, self._descriptors[which].method, self._seen)
        return begun.chosen, rows

    def _mended(
        self, which: int, suspects: Tensor, zero: Tensor, begun: _Begun
    ) -> dict[int, Tensor]:
        """What stands for those of some maps of a batch that are rounding, or partly so."""
        found: dict[int, Tensor] = {}
        for index in _where(suspects):
            assert begun.images is not None
            row = self._floor(self._descriptors[which]).mended(begun.images[index : index + 1])
            if row is not None and bool(row.any() | ~zero[index]):
                found[index] = row
            if _zeros(found) == ENOUGH == index + 1 and self._seen == len(begun.chosen):
                # So early, nothing is lost yet.
                refuse_maps(self._encoder.name, self._descriptors[which].method, ENOUGH)
        return found

    def _check_something_is_left(self) -> None:
        """Refuse a network all of whose maps are noise or, though it sees the image, zero."""
        plain = self._prepared.looked.plain
        for which, descriptor in enumerate(self._descriptors):
            if self.zero_maps[which] < self._seen or not self._seen:
                continue
            # Of an output that answers to the image, as far as two images show; centring leaves
            # nothing of a linear network's gradient, and is meant to.
            silent = self._silent[which] == self._seen and not descriptor.method.centre
            if silent and _alike(plain.output):  # one that is saturated answers in other arithmetic
                silent = self._answers_exactly(descriptor)
            if self.noise_maps[which] or silent:
                refuse_maps(
                    self._encoder.name,
                    descriptor.method,
                    self._seen,
                    vanished=not self.noise_maps[which],
                )

    def _answers_exactly(self, descriptor: AttributionMaps) -> bool:
        """Whether there is a map of any of some probes in other arithmetic."""
        if self._prepared.dtype == torch.float64:
            return False
        with arithmetic("float32", self._device):
            try:
                return bool(descriptor.rows(self._exact(), self._some_images()).any())
            except PyattrxError:
                return False

    def _floor(self, descriptor: AttributionMaps) -> MapFloor:
        if descriptor not in self._floors:
            self._floors[descriptor] = MapFloor(
                self._prepared, descriptor, self._precision, self._exact
            )
        return self._floors[descriptor]

    def _exact(self) -> PreparedEncoder:
        if self._other is None:
            self._other = self._prepared.exact()
        return self._other

    def _close_exact(self) -> None:
        if self._other is not None:
            self._other.close()
            self._other = None

    def _some_images(self) -> Tensor:
        return self._probes.images(0, min(ENOUGH, len(self._probes))).to(self._device)

    def _check_shape(self, name: str, found: Tensor, part: Tensor) -> None:
        if found.shape[1:] != part.shape[1:]:
            what = "output" if name == "latent" else name
            raise AssumptionError(
                "shape",
                f"network {self._encoder.name!r}: the {what} has shape {tuple(found.shape[1:])} "
                f"for one probe and {tuple(part.shape[1:])} for another, so that they cannot be "
                f"compared; choose another with {what}=",
            )

    def _still_noise(self, name: str, values: Tensor) -> None:
        """Make features constant that differ between probes by rounding only."""
        which = {"latent": "output", "features": "features"}.get(name)
        if which is None:
            return
        one = getattr(self._prepared.looked.plain, which)
        other = getattr(self._prepared.looked.prepared, which)
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


@dataclass(frozen=True)
class _Begun:
    """A batch that a device is working on."""

    chosen: np.ndarray
    names: list[str]
    arriving: Arriving
    rows: Sequence[Tensor | None] = ()  # that stay on the device; None for one on its way
    images: Tensor | None = None  # on the device, for a second look


def examples(probes: Probes) -> tuple[Tensor, list[bytes]]:
    """Two probes to look at a network with, the darkest and the brightest, whatever their order.

    Returns
    -------
    images : Tensor [N, 3, H, W]
        One or two, on the CPU.
    digests : list of bytes
        Theirs.
    """
    digests = probes.digests()
    places = list(dict.fromkeys(probes.extremes()))
    images = torch.cat([probes.images(at, at + 1) for at in places])
    return images, [digests[at] for at in places]


def described_behaviour(prepared: PreparedEncoder, digests: Sequence[bytes]) -> dict[str, Any]:
    """How a network behaved when it was looked at, as JSON types.

    Parameters
    ----------
    prepared : PreparedEncoder
    digests : sequence of bytes
        Of the images that it was looked at with.
    """
    looked = prepared.looked
    return behaviour_of(looked.plain, digests[: len(looked.plain.output)], looked.prepared)


def _with(rows: Tensor, mended: dict[int, Tensor], storage: str | None) -> Tensor:
    """Rows, some of them others."""
    if mended:
        rows = rows.clone()
        for index, row in mended.items():
            rows[index] = quantise(row[None], storage)[0].to(rows.device)
    return rows


def _where(flags: Tensor) -> list[int]:
    return [int(at) for at in flags.nonzero()[:, 0]]


def _zeros(rows: dict[int, Tensor]) -> int:
    return sum(not bool(row.any()) for row in rows.values())


def _alike(output: Tensor) -> bool:
    """Whether all images have the same output, but for rounding."""
    spread = (output - output[:1]).abs().amax()
    return bool(spread <= ROUNDINGS * torch.finfo(output.dtype).eps * output.abs().amax())


def check_batch_size(batch_size: Any) -> None:
    """Refuse what is not a number of images."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidValue("batch_size", batch_size, "an integer of at least 1")


def check_compile(compile: Any) -> None:
    """Refuse what does not say whether to compile."""
    if not isinstance(compile, bool):
        raise InvalidType("compile", compile, "True or False")


def check_sources(encoders: Iterable[Source]) -> list[Source] | Iterator[Source]:
    """Check a list of networks as far as that goes without loading any."""
    if isinstance(encoders, torch.nn.Module):  # some are iterable
        raise refused("encoders", encoders, "a list of encoders")
    if isinstance(encoders, (Encoder, str)) or not isinstance(encoders, Iterable):
        raise InvalidType("encoders", encoders, "a list of encoders or specifications")
    if not isinstance(encoders, (list, tuple)):
        return iter(encoders)
    sources = list(encoders)
    if not sources:
        raise InvalidValue("encoders", sources, "at least one network")
    seen: set[str] = set()
    for index, source in enumerate(sources):
        _check_source(index, source)
        name = source.name if isinstance(source, Encoder) else None
        if name is not None and name in seen:
            raise InvalidValue(f"encoders[{index}].name", name, "networks with different names")
        if name is not None:
            seen.add(name)
    return sources


def _check_source(index: int, source: Any) -> None:
    if isinstance(source, torch.nn.Module):
        raise refused(f"encoders[{index}]", source)
    of_modules = isinstance(source, type) and issubclass(source, torch.nn.Module)
    if of_modules or not (isinstance(source, (Encoder, str)) or callable(source)):
        raise InvalidType(
            f"encoders[{index}]", source, "an Encoder, a specification or a function returning one"
        )


def encoders_of(sources: Iterable[Source]) -> Iterator[Encoder]:
    """Load networks one after another."""
    for index, source in enumerate(sources):
        _check_source(index, source)
        if isinstance(source, Encoder):
            yield source
        elif isinstance(source, str):
            yield from load_many(source)
        else:
            yield encoder_of(source, index)


def encoder_of(source: Encoder | Callable[[], Encoder], index: int) -> Encoder:
    """Load the network of a source that stands for one; `index` is its place among all."""
    _check_source(index, source)
    if isinstance(source, Encoder):
        return source
    made = source()
    if not isinstance(made, Encoder):
        raise EncoderError(
            f"encoders[{index}] returned a {type(made).__name__}: expected an Encoder, as of "
            "pyattrx.Encoder(module, name=...)"
        )
    return made


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Turn a device's name, or None for the GPU if there is one, into a device that is there."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidValue("device", device, "a torch device such as 'cpu' or 'cuda:0'") from error
    if place.type == "meta":
        raise InvalidValue("device", str(device), "a device that holds values, such as 'cpu'")
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidValue("device", str(device), "'cpu': no CUDA device is available")
        index = torch.cuda.current_device() if place.index is None else place.index
        if index >= torch.cuda.device_count():
            raise InvalidValue(
                "device", str(device), f"one of {torch.cuda.device_count()} CUDA devices"
            )
        place = torch.device("cuda", index)
    return place


def device_name(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    try:
        own = version("pyattrx")
    except PackageNotFoundError:
        own = "unknown"
    return {"pyattrx": own, "torch": torch.__version__, "python": platform.python_version()}
