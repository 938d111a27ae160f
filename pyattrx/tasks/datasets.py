"""Data sets, loaders and streams as tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from operator import length_hint
from typing import Any

import numpy as np
from torch import Tensor

from pyattrx._progress import progress
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError
from pyattrx.photos import Cuts, Decoded, PixelStore, Unreadable, check_names, digest, group_keys
from pyattrx.probes import Probes, Skipped
from pyattrx.tasks.gathering import Offer, Sizes, gather, make_probes
from pyattrx.tasks.known import (
    Features,
    known_classes,
    known_labels,
    known_names,
    read_features,
)
from pyattrx.tasks.labelling import Kind, Labelling
from pyattrx.tasks.labels import read_labels
from pyattrx.tasks.paths import check_on_error
from pyattrx.tasks.pixels import Normalisation, pixels_of
from pyattrx.tasks.report import TaskReport
from pyattrx.tasks.samples import Key, decode_sample, each_label, split_item

__all__ = ["Options", "read_dataset"]

_EXPECTED = "a torch Dataset or DataLoader, a Dataset of Hugging Face, or an iterable of samples"


@dataclass(frozen=True)
class Options:
    """Arguments of `Task.from_dataset`."""

    cuts: Cuts
    resize: bool
    limit: int | None
    image: Key
    label: Key
    kind: Any
    classes: Any
    targets: Any
    normalisation: Normalisation | None
    names: Any
    groups: Any
    on_error: Any
    scratch: Any


def read_dataset(dataset: Any, options: Options) -> tuple[Probes, Labelling, TaskReport]:
    """Read a data set, sample by sample or batch by batch."""
    check_on_error(options.on_error)
    if isinstance(dataset, (str, bytes, Tensor, np.ndarray)):
        raise InvalidTypeError(
            "dataset", dataset, f"{_EXPECTED}; Task.of takes paths and arrays too"
        )
    features = read_features(dataset, options.image, options.label, options.kind)
    if features is not None:
        options = replace(options, image=features.image, label=features.label)
    by_number = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if by_number and (features is not None or not _is_loader(dataset)):
        return _numbered(dataset, options, features)
    if not isinstance(dataset, Iterable):
        raise InvalidTypeError("dataset", dataset, _EXPECTED)
    return _streamed(dataset, options, features)


def _is_loader(dataset: Any) -> bool:
    return hasattr(dataset, "dataset") and hasattr(dataset, "batch_size")


def _numbered(
    dataset: Any, options: Options, features: Features | None
) -> tuple[Probes, Labelling, TaskReport]:
    """Read a data set whose samples have numbers."""
    count = len(dataset)
    if not count:
        raise InvalidValueError("dataset", dataset, "at least one sample")
    names = known_names(dataset, count) if options.names is None else options.names
    titles, keys = check_names(names, count), group_keys(options.groups, count)
    skip, sizes = check_on_error(options.on_error), Sizes()
    labels: dict[int, Any] = {}
    first: list[Any] = []  # pixels that all others have to be like

    def sample(index: int) -> tuple[Any, Any]:
        try:
            item = dataset[index]
        except Exception as error:  # whatever a data set does
            raise Unreadable(f"{type(error).__name__}: {error}") from error
        image, label = split_item(item, f"dataset[{index}]", options.image, options.label)
        return image, label if features is None else features.read(label)

    cuts = _like_first(sample, options)

    def read(index: int) -> Decoded | Skipped:
        where = f"dataset[{index}]"
        try:
            image, label = sample(index)
            found = decode_sample(
                image,
                where,
                titles[index],
                cuts,
                sizes,
                options.normalisation,
                resize=options.resize,
            )
        except Unreadable as error:
            if skip:
                return Skipped(titles[index], str(error))
            raise ProbeError(
                f"{where} ({titles[index]!r}): {error}; on_error='skip' leaves out what cannot be "
                "read"
            ) from error
        first[:] = first or found.images
        _check_alike(found.images[0], first[0].shape, first[0].dtype, where)
        labels[index] = label
        return found

    strata: Sequence[tuple[str, ...]] = [()] * count
    if options.limit is not None and options.limit < count and options.kind != "unlabelled":
        strata = _strata(dataset, options, features, count, sample)
    source = {"kind": "dataset", "class": type(dataset).__name__, "samples": count}
    offer = Offer(titles, keys, strata, read)
    gathered = gather(offer, cuts, {**source, **cuts.to_dict()}, options.limit, options.scratch, 0)
    given = [labels[index] for index in gathered.chosen.tolist()]
    report = TaskReport(
        source="dataset",
        place=type(dataset).__name__,
        available=count,
        smallest=sizes.smallest,
        largest=sizes.largest,
        skipped=gathered.probes.skipped,
    )
    return gathered.probes, _understood(dataset, given, options, features), report


def _like_first(sample: Any, options: Options) -> Cuts:
    """Tensors stay as large as they are, unless a size is asked for."""
    if options.resize:
        return options.cuts
    try:
        image = sample(0)[0]
    except Unreadable:
        return options.cuts
    if isinstance(image, Tensor) and image.ndim in (2, 3) and 0 not in image.shape:
        return replace(options.cuts, size=(int(image.shape[-2]), int(image.shape[-1])))
    return options.cuts


def _strata(
    dataset: Any, options: Options, features: Features | None, count: int, sample: Any
) -> Sequence[tuple[str, ...]]:
    """Return what every sample counts for in the draw; reads all labels where it has to."""
    labels: list[Any] | None = None
    if features is not None:
        if features.label is None:
            return [()] * count
        labels = [features.read(label) for label in list(dataset[features.label])]
    elif options.label is None:
        labels = known_labels(dataset, count)
    if labels is None:
        labels = []
        with progress("reading labels", count) as step:
            for index in range(count):
                try:
                    labels.append(sample(index)[1])
                except Unreadable:  # found again if it is drawn
                    labels.append(None)
                step(1)
    return _understood(dataset, labels, options, features).strata()


def _understood(
    dataset: Any, labels: list[Any], options: Options, features: Features | None
) -> Labelling:
    if options.kind == "unlabelled" or all(label is None for label in labels):
        return read_labels(None, len(labels), options.kind)
    classes = options.classes
    if classes is None and options.kind in (None, "classification"):
        if features is not None and features.several:
            classes = features.classes
        elif features is None and all(label is None or _is_integer(label) for label in labels):
            classes = known_classes(dataset)
    kind: Kind | None = options.kind
    if kind is None and features is not None and features.classes and not features.several:
        kind = "classification"
    return read_labels(labels, len(labels), kind, classes, options.targets)


def _is_integer(label: Any) -> bool:
    if isinstance(label, Tensor):
        return label.ndim == 0 and not label.is_floating_point()
    return isinstance(label, (int, np.integer)) and not isinstance(label, bool)


def _streamed(
    dataset: Iterable[Any], options: Options, features: Features | None
) -> tuple[Probes, Labelling, TaskReport]:
    """Read samples or batches as they come, the first `limit` images of them."""
    store, sizes = PixelStore(options.scratch), Sizes()
    labels: list[Any] = []
    skipped: list[Skipped] = []
    cut_off = False
    total = options.limit or _length(dataset)
    with progress("reading images", total) if total else nullcontext(_ignore) as step:
        for number, item in enumerate(dataset):
            image, label = split_item(item, f"item {number}", options.image, options.label)
            where, before = f"the images of item {number}", len(store)
            if isinstance(image, Tensor) and image.ndim == 4:
                found = each_label(label, len(image), f"the labels of item {number}")
                room = len(image) if options.limit is None else options.limit - before
                _store_batch(image[:room], where, store, options)
                labels += found[:room]
            else:
                one = _one(image, where, number, sizes, options, skipped)
                if one is None:
                    continue
                _append(store, one.images[0], one.digests[0], where)
                labels.append(label if features is None else features.read(label))
            step(len(store) - before if options.limit else 1)
            if len(store) == options.limit:
                cut_off = True
                break
    if not len(store):
        raise ProbeError("dataset gave no images: expected at least one")
    names = check_names(options.names, len(store), longer=cut_off)
    keys = group_keys(options.groups, len(store), longer=cut_off)
    source = {"kind": "stream", "class": type(dataset).__name__, "limit": options.limit}
    probes = make_probes(store, names, keys, source, skipped)
    note = f"the first {len(store)} images of a stream, which are not spread over the classes"
    report = TaskReport(
        source="batches",
        place=type(dataset).__name__,
        smallest=sizes.smallest,
        largest=sizes.largest,
        skipped=tuple(skipped),
        notes=(note,) if cut_off else (),
    )
    return probes, _understood(dataset, labels, options, features), report


def _one(
    image: Any, where: str, number: int, sizes: Sizes, options: Options, skipped: list[Skipped]
) -> Decoded | None:
    name = f"item{number}"
    try:
        return decode_sample(
            image, where, name, options.cuts, sizes, options.normalisation, resize=options.resize
        )
    except Unreadable as error:
        if check_on_error(options.on_error):
            skipped.append(Skipped(name, str(error)))
            return None
        raise ProbeError(f"{where}: {error}; on_error='skip' leaves out such images") from error


def _store_batch(images: Tensor, where: str, store: PixelStore, options: Options) -> None:
    pixels = pixels_of(images, where, 0, options.normalisation)
    if options.resize and pixels.shape[2:] != options.cuts.size:
        raise InvalidValueError(
            "size", options.cuts.size, f"None, or {pixels.shape[2:]} as the batches are"
        )
    for image in pixels:
        _append(store, image, digest(image), where)


def _append(store: PixelStore, image: Any, image_digest: bytes, where: str) -> None:
    if len(store):
        _check_alike(image, store.shape, store.dtype, where)
    store.append(image, image_digest)


def _check_alike(image: Any, shape: Any, dtype: Any, where: str) -> None:
    """Refuse pixels that cannot be stored beside those before them."""
    if image.shape != shape:
        raise InvalidValueError(
            f"{where}.shape", image.shape, f"{shape}, as before; a transform makes all of one size"
        )
    if image.dtype != dtype:
        raise InvalidTypeError(f"{where}.dtype", image.dtype, f"{dtype}, as before")


def _length(iterable: Iterable[Any]) -> int:
    try:
        return length_hint(iterable)
    except Exception:  # loaders of streams refuse in their own ways
        return 0


def _ignore(steps: int) -> None:
    """Progress that nobody sees."""
