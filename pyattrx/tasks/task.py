"""The class of tasks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyattrx._checks import integer
from pyattrx._scratch import ScratchFolder
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos import GroupOf, check_count, check_cuts
from pyattrx.probes import Probes
from pyattrx.tasks.arrays import read_arrays
from pyattrx.tasks.copies import contradicting
from pyattrx.tasks.datasets import Options, read_dataset
from pyattrx.tasks.drawing import at_most, draw, of_every_class
from pyattrx.tasks.given import given_task
from pyattrx.tasks.labelling import Kind, Labelling
from pyattrx.tasks.labels import read_labels
from pyattrx.tasks.pixels import check_normalisation
from pyattrx.tasks.report import TaskReport, count_of
from pyattrx.tasks.sources import from_class_folders, from_table
from pyattrx.tasks.tables import SUFFIXES
from pyattrx.tasks.telling import check_kind
from pyattrx.tasks.warnings import warn_of

__all__ = ["Task"]

_CLASSES_SHOWN = 20

Folder = str | os.PathLike[str]
Size = int | tuple[int, int]
OnError = Literal["raise", "skip"]


class Task:
    """Images and what is known of them: what a network is wanted for.

    Made by `from_folder`, `from_manifest`, `from_arrays` or `from_dataset`, or by `of`, which takes
    whatever is there; immutable. Images are stored as `Probes` store them, beyond 64 MiB in a
    scratch file, so that memory does not grow with their number.

    Parameters
    ----------
    probes, labelling, name, report
        Internal; use one of the functions above.

    Notes
    -----
    Images without a label take part: `labelled` tells which have one. In the rows of the others
    `labels` holds -1, NaN or False, which mean nothing.

    `hash` covers the pixels in their order, the groups, and the labels with the names of classes
    and targets; neither the names of images nor where they were read from.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    >>> task = Task.from_arrays(images, ["cat", "dog", "cat", "dog", None, "cat"], name="pets")
    >>> task  # doctest: +ELLIPSIS
    Task('pets', classification of 6 images of 32 x 32, 5 labelled, 2 classes, hash ...)
    >>> task.counts
    {'cat': 3, 'dog': 2}
    >>> task.labels.tolist(), task.labelled.tolist()
    ([0, 1, 0, 1, -1, 0], [True, True, True, True, False, True])
    """

    __slots__ = (
        "__weakref__",
        "_contradictions",
        "_hash",
        "_labelling",
        "_name",
        "_probes",
        "_report",
    )

    def __init__(self, probes: Probes, labelling: Labelling, name: str, report: TaskReport) -> None:
        if not isinstance(probes, Probes) or not isinstance(labelling, Labelling):
            raise InvalidTypeError(
                "probes", probes, "Task.from_folder, from_manifest, from_arrays or from_dataset"
            )
        assert len(probes) == len(labelling.labelled)
        self._probes, self._labelling, self._report = probes, labelling, report
        self._name = _check_name(name)
        self._contradictions = contradicting(probes, labelling)
        self._hash: str | None = None

    @classmethod
    def from_folder(
        cls,
        path: Folder,
        size: Size = 224,
        limit: int | None = None,
        *,
        labels: Literal["folders"] | None = "folders",
        seed: int = 0,
        on_error: OnError = "raise",
        groups: GroupOf | None = None,
        name: str | None = None,
        workers: int | None = None,
        scratch: ScratchFolder = None,
    ) -> Task:
        """Read a folder whose subfolders are classes, as torchvision's `ImageFolder` has them.

        Folders within a class belong to it. Links are followed. Hidden files, and files that are no
        images, are left out. Images beside the subfolders have no label; where there are only such
        images, the task is unlabelled. Images come in the order of their classes and paths; with
        `limit`, in that of the draw.

        Parameters
        ----------
        path : path
            The folder.
        size : int or (int, int)
            Height and width that photos are made: the largest centred part of this aspect, resized.
            See `Probes.from_folder`, also for what is read and how.
        limit : int, optional
            At most so many images, drawn as by `subsample` before any is read.
        labels : "folders" or None
            None: subfolders say nothing, and no image has a label.
        seed : int
            Of the draw.
        on_error : {"raise", "skip"}
            What to do with an image that cannot be read: raise, or list it in the report and take
            another in its place.
        groups : callable, optional
            From a path relative to `path` (`pathlib.PurePosixPath`) to a string, integer or path
            that stands for its group, such as the patient; images of a group are never divided.
            Every image is a group of its own if left out. Exact copies join groups in any case.
        name : str, optional
            Name of the task; that of the folder if left out.
        workers : int, optional
            Decoding threads; the number of processors, at most 8, if left out.
        scratch : path, optional
            Folder of the scratch file; the system's temporary folder if left out.

        Returns
        -------
        Task

        Raises
        ------
        TaskError
            No such folder, no images, one class, subfolders that are parts of a data set (train,
            test), or pixels that the scratch folder has no room for.
        ProbeError
            An image that cannot be read; the message names it.
        InvalidValueError, InvalidTypeError
            Wrong arguments.

        Warns
        -----
        TaskWarning
            A subfolder without images, a class with a single image, or copies of an image under
            different labels.

        Examples
        --------
        >>> import os, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, grey in ("day/a", 250), ("day/b", 220), ("night/c", 10), ("night/d", 40):
        ...         os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        ...         Image.new("L", (48, 40), grey).save(f"{folder}/{name}.png")
        ...     task = Task.from_folder(folder, size=32)
        >>> task.classes, task.labels.tolist(), task.probes.names[0]
        (('day', 'night'), [0, 0, 1, 1], 'day/a.png')
        """
        probes, labelling, report = from_class_folders(
            path,
            check_cuts(size, 1, 0.5, seed),
            _check_limit(limit),
            labels=labels,
            on_error=on_error,
            groups=groups,
            workers=None if workers is None else check_count("workers", workers),
            scratch=scratch,
        )
        return cls._made(probes, labelling, _called(path) if name is None else name, report)

    @classmethod
    def from_manifest(
        cls,
        path: Folder | Any,
        image: str = "path",
        label: str | Sequence[str] | None = "label",
        *,
        kind: Kind | None = None,
        classes: Sequence[str] | None = None,
        groups: str | None = None,
        root: Folder | None = None,
        size: Size = 224,
        limit: int | None = None,
        seed: int = 0,
        on_error: OnError = "raise",
        name: str | None = None,
        workers: int | None = None,
        scratch: ScratchFolder = None,
    ) -> Task:
        """Read a table that names image files and their labels.

        Parameters
        ----------
        path : path or pandas DataFrame
            A table with names of columns: ``.csv``, ``.tsv`` or ``.tab`` in UTF-8, or ``.parquet``,
            which needs the package pyarrow.
        image : str
            Column of the paths of images.
        label : str, list of str, or None
            Column of labels: text or integers make a classification, other numbers a regression.
            Several columns of numbers: a regression of several, or with ``kind="multilabel"`` one
            class each. None: no labels. Images with an empty cell have no label.
        kind : str, optional
            As for `from_arrays`.
        classes : list of str, optional
            Names that integers point to.
        groups : str, optional
            Column of whatever images have in common, such as the patient; see `from_folder`.
        root : path, optional
            Folder that relative paths begin at; that of the table if left out, of a DataFrame the
            current one.
        size, limit, seed, on_error, workers, scratch
            As for `from_folder`.
        name : str, optional
            Name of the task; that of the file without its suffix if left out.

        Returns
        -------
        Task
            Images in the order of the rows; with `limit`, in that of the draw.

        Raises
        ------
        TaskError
            No such file, one that is no table, or no room for the pixels.
        MissingDependencyError
            A Parquet file, and no pyarrow.
        ProbeError
            An image that cannot be read; the message names it.
        InvalidValueError, InvalidTypeError
            Wrong arguments, a column that is not there, or a cell that is no label; the message has
            its line.

        Warns
        -----
        TaskWarning
            As for `from_folder`.

        Examples
        --------
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = open(f"{folder}/ages.csv", "w")
        ...     print("path,age", file=table)
        ...     for age in 4.5, 30.25, 71.0:
        ...         Image.new("L", (40, 40), int(age)).save(f"{folder}/{age}.png")
        ...         print(f"{age}.png,{age}", file=table)
        ...     table.close()
        ...     task = Task.from_manifest(f"{folder}/ages.csv", label="age", size=32)
        >>> task.kind, task.targets, task.labels.tolist()
        ('regression', ('age',), [[4.5], [30.25], [71.0]])
        """
        probes, labelling, report = from_table(
            path,
            check_cuts(size, 1, 0.5, seed),
            _check_limit(limit),
            image=image,
            label=label,
            kind=kind,
            classes=classes,
            groups=groups,
            root=root,
            on_error=on_error,
            workers=None if workers is None else check_count("workers", workers),
            scratch=scratch,
        )
        return cls._made(probes, labelling, _called(path) if name is None else name, report)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any = None,
        *,
        kind: Kind | None = None,
        classes: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        size: Size | None = None,
        names: Sequence[str] | None = None,
        groups: Sequence[int | str] | NDArray[Any] | Tensor | None = None,
        name: str = "task",
        scratch: ScratchFolder = None,
    ) -> Task:
        """Take images and labels that are in memory.

        Parameters
        ----------
        images : ndarray, Tensor, list or Probes
            RGB ``[N, 3, H, W]`` or ``[N, H, W, 3]``, or grey ``[N, 1, H, W]``, ``[N, H, W, 1]`` or
            ``[N, H, W]``: uint8, or floating in [0, 1]. Also a list of PIL images or uint8 arrays
            of any sizes (with alpha they are shown over white), or of tensors of one shape; or
            `Probes`.
        labels : array_like, optional
            One for every image, None in a list for an image without one. What they are follows from
            type and shape unless `kind` says it:

            - integers, strings or booleans [N]: classification
            - booleans [N, K], or a list of names for each image: multilabel
            - floating [N] or [N, K]: regression
            - integers [N, h, w]: dense_classification
            - floating [N, C, h, w]: dense_regression
        kind : str, optional
            One of these, needed where the labels could be of several.
        classes : list of str, optional
            Names that integers point to, or of the columns of a multilabel task.
        targets : list of str, optional
            Names of the columns of a regression.
        size : int or (int, int), optional
            Height and width that uint8 images are cut and resized to, as by `from_folder`. If left
            out, arrays stay as they are, and lists of photos are made 224 x 224.
        names, groups : sequence, optional
            One for every image, as for `Probes.from_tensor`.
        name : str
            Name of the task.
        scratch : path, optional
            As for `from_folder`.

        Returns
        -------
        Task

        Raises
        ------
        InvalidValueError, InvalidTypeError
            Images of another shape, type or range, or of a shape that can be read in two ways;
            labels that are not one an image, NaN, all the same, or of no kind for certain.

        Warns
        -----
        TaskWarning
            As for `from_folder`; or a value of a map of classes that often marks missing labels.

        Examples
        --------
        >>> import numpy as np
        >>> images = np.random.default_rng(0).random((4, 3, 16, 16), np.float32)
        >>> Task.from_arrays(images, [0.5, 1.25, 0.0, 3.0]).kind
        'regression'
        >>> Task.from_arrays(images, [[True, False], [False, True], None, [True, True]]).counts
        {'0': 2, '1': 2}
        """
        cut = None if size is None else check_cuts(size, 1, 0.5, 0)
        probes, report = read_arrays(images, cut, names, groups, scratch, labels)
        labelling = read_labels(labels, len(probes), kind, classes, targets)
        return cls._made(probes, labelling, name, report)

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        size: Size | None = None,
        limit: int | None = None,
        seed: int = 0,
        image: str | int | None = None,
        label: str | int | None = None,
        kind: Kind | None = None,
        classes: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        groups: Sequence[int | str] | NDArray[Any] | Tensor | None = None,
        on_error: OnError = "raise",
        name: str = "task",
        scratch: ScratchFolder = None,
    ) -> Task:
        """Read a data set of PyTorch, torchvision or Hugging Face, or a loader of batches.

        Parameters
        ----------
        dataset : Dataset, DataLoader or iterable
            Samples: an image, a pair (image, label), or a mapping with "image" and "label". Images
            are PIL images, uint8 arrays [H, W, 3], or tensors [3, H, W]; grey ones are made RGB. A
            loader or another iterable also gives batches of tensors. A `Dataset` of Hugging Face
            has its columns found by their types, its classes called by their names, and -1 taken
            for no label. Names of classes are those in `classes` of a data set of torchvision, and
            names of images, where it has them, their paths.
        size : int or (int, int), optional
            Height and width that photos and uint8 tensors are cut and resized to. If left out,
            tensors stay as they are and photos are made 224 x 224.
        limit : int, optional
            At most so many images, drawn as by `subsample` before their pixels are kept. Labels
            that the data set does not list are read first, which reads every sample once. Of an
            iterable the first ones are taken, and no more are asked for.
        seed : int
            Of the draw.
        image, label : str or int, optional
            Key or place of the image and of the label in a sample, or column, where it is another.
        kind, classes, targets
            As for `from_arrays`; ``kind="unlabelled"`` ignores what else is there.
        mean, std : float or three of them, optional
            Normalisation of the tensors, which is undone: ``x * std + mean``.
        names, groups : sequence, optional
            One for every sample, as for `Probes.from_tensor`.
        on_error : {"raise", "skip"}
            As for `from_folder`, for samples that the data set fails to give.
        name : str
            Name of the task.
        scratch : path, optional
            As for `from_folder`.

        Returns
        -------
        Task

        Raises
        ------
        ProbeError
            A sample that the data set fails to give, or no images.
        InvalidValueError, InvalidTypeError
            As for `from_arrays`; the message has the number of the sample. Images that look
            normalised are refused without `mean` and `std`.

        Warns
        -----
        TaskWarning
            As for `from_folder`.

        Examples
        --------
        >>> import torch
        >>> images = torch.rand(6, 3, 16, 16)
        >>> dataset = torch.utils.data.TensorDataset(images, torch.tensor([0, 1, 2, 0, 1, 2]))
        >>> Task.from_dataset(dataset, classes=["x", "y", "z"]).counts
        {'x': 2, 'y': 2, 'z': 2}
        >>> normalised = torch.utils.data.TensorDataset((images - 0.5) / 0.25)
        >>> loader = torch.utils.data.DataLoader(normalised, batch_size=4)
        >>> Task.from_dataset(loader, mean=0.5, std=0.25, limit=5).kind
        'unlabelled'
        """
        options = Options(
            cuts=check_cuts(224 if size is None else size, 1, 0.5, seed),
            resize=size is not None,
            limit=_check_limit(limit),
            image=image,
            label=label,
            kind=check_kind(kind),
            classes=classes,
            targets=targets,
            normalisation=check_normalisation(mean, std),
            names=names,
            groups=groups,
            on_error=on_error,
            scratch=scratch,
        )
        probes, labelling, report = read_dataset(dataset, options)
        return cls._made(probes, labelling, name, report)

    @classmethod
    def of(
        cls,
        source: Any,
        *,
        size: Size | None = None,
        limit: int | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> Task:
        """Make a task of whatever there is.

        Parameters
        ----------
        source : path, DataFrame, pair, array, list, Dataset, DataLoader, Probes or Task
            A folder (`from_folder`) or a table (`from_manifest`); images or a pair (images, labels)
            in memory (`from_arrays`), the images also as paths of files; anything else that gives
            samples (`from_dataset`). Probes are unlabelled. A task stays what it is.
        size, limit, seed : optional
            As for these; of a task, or of images in memory, `subsample` takes `limit` images.
        name : str, optional
            Name of the task.

        Returns
        -------
        Task

        Raises
        ------
        InvalidTypeError
            Something else.
        PyattrxError
            See the functions that do the work.

        Examples
        --------
        >>> import torch
        >>> task = Task.of((torch.rand(4, 3, 8, 8), ["a", "b", "b", "a"]))
        >>> Task.of(task) is task, Task.of(task.probes).kind
        (True, 'unlabelled')
        """
        return given_task(cls, source, size, _check_limit(limit), seed, name)

    @classmethod
    def _made(cls, probes: Probes, labelling: Labelling, name: str, report: TaskReport) -> Task:
        """A task that a user asked for, with warnings."""
        task = cls(probes, labelling, name, report)
        warn_of(task)
        return task

    def __len__(self) -> int:
        return len(self._probes)

    @property
    def name(self) -> str:
        """What the task is called."""
        return self._name

    @property
    def kind(self) -> Kind:
        """The labels: classification, multilabel, regression, ``dense_...``, or unlabelled."""
        return self._labelling.kind

    @property
    def probes(self) -> Probes:
        """All images, labelled and unlabelled."""
        return self._probes

    @property
    def labels(self) -> NDArray[Any] | None:
        """Labels in the order of the images, read-only; None if no image has one.

        - classification: int64 [N], indices of `classes`; -1 without a label
        - multilabel: bool [N, K]; False
        - regression: float32 [N, K]; NaN
        - dense_classification: int64 [N, h, w]; -1
        - dense_regression: float32 [N, C, h, w]; NaN

        Use the rows of `labelled` images only.
        """
        return self._labelling.values

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which images have a label, [N]; read-only."""
        return self._labelling.labelled

    @property
    def n_labelled(self) -> int:
        """How many images have a label."""
        return int(self.labelled.sum())

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, sorted; as numbers where all are whole numbers.

        Every class of a classification has at least one labelled image.
        """
        return self._labelling.classes

    @property
    def targets(self) -> tuple[str, ...] | None:
        """Names of the numbers of a regression."""
        return self._labelling.targets

    @property
    def counts(self) -> dict[str, int]:
        """Labelled images of every class; of a multilabel task, images that show it."""
        return self._labelling.counts()

    @property
    def groups(self) -> NDArray[np.int64]:
        """Group of every image, [N]; exact copies are of one group. See `Probes.groups`."""
        return self._probes.groups

    @property
    def duplicates(self) -> int:
        """How many images are exact copies of earlier ones."""
        return self._probes.duplicates

    @property
    def contradictions(self) -> tuple[int, ...]:
        """Images of which an exact copy has another label."""
        return self._contradictions

    @property
    def report(self) -> TaskReport:
        """What was read and what was left out."""
        return self._report

    @property
    def hash(self) -> str:
        """SHA-256 of images, groups and labels, in hexadecimal."""
        if self._hash is None:
            facts = [self.kind, self.probes.hash, self.classes, self.targets]
            state = hashlib.sha256(b"pyattrx task 1\0" + json.dumps(facts).encode())
            state.update(self.labelled.tobytes())
            if self.labels is not None:
                state.update(json.dumps(self.labels.shape).encode())
                for index in np.flatnonzero(self.labelled).tolist():
                    state.update(self._labelling.row(index))
            self._hash = state.hexdigest()
        return self._hash

    def subsample(
        self, n: int | None = None, *, per_class: int | None = None, seed: int = 0
    ) -> Task:
        """Return a smaller task, spread evenly over the classes; its pixels are shared, not copied.

        The class with the fewest images so far gives its next group, until there is no room for it.
        Groups are kept whole, and ranked by a hash of the seed and the names of their images: the
        same draw everywhere, and with one seed a smaller one is the first part of a larger one.
        Images without a label come after all others.

        Parameters
        ----------
        n : int, optional
            At most so many images.
        per_class : int, optional
            So many labelled images of every class, or all where there are fewer; more only where
            groups are larger. One of `n` and `per_class` is needed.
        seed : int
            Of the draw.

        Returns
        -------
        Task
            Classes that are left without an image are dropped from `classes`.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            Wrong arguments; a part without two classes; `per_class` of a task without classes.

        Examples
        --------
        >>> import numpy as np
        >>> images = np.random.default_rng(0).random((9, 3, 8, 8), np.float32)
        >>> task = Task.from_arrays(images, list("aaaaaabbb"))
        >>> task.subsample(4).counts, task.subsample(per_class=4).counts
        ({'a': 2, 'b': 2}, {'a': 4, 'b': 3})
        >>> task.subsample(3).probes.names == task.subsample(6).probes.names[:3]
        True
        """
        integer("seed", seed)
        if (n is None) == (per_class is None):
            raise InvalidValueError("n", n, "either n= or per_class=, and not both")
        names, groups = self.probes.names, self.groups.tolist()
        drawn = draw(names, groups, self._labelling.strata(), int(seed))
        if n is not None:
            chosen = at_most(drawn, check_count("n", n))
            if not chosen:
                raise InvalidValueError(
                    "n", n, "room for the first group, as groups are kept whole"
                )
        else:
            if self.kind not in ("classification", "multilabel"):
                raise InvalidValueError("per_class", per_class, f"n=, as the task is {self.kind}")
            chosen = of_every_class(drawn, check_count("per_class", per_class))
        order = np.array(chosen, np.int64)
        labelling = self._labelling.take(order)
        if self.kind == "classification" and len(labelling.classes or ()) < 2:
            raise InvalidValueError("n", n, "room for images of two classes")
        return Task(self.probes.take(order), labelling, self.name, self.report)

    def summary(self) -> str:
        """Return what the task is and what was read, as text of several lines.

        Examples
        --------
        >>> import numpy as np
        >>> images = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
        >>> print(Task.from_arrays(images, [0.5, 1.5, None], name="rings").summary())
        rings: regression
          3 images of 8 x 8 in 3 groups, 2 labelled
          targets: target
          read from arrays with 3 images
        """
        height, width = self.probes.size
        lines = [
            f"{count_of(len(self), 'image')} of {height} x {width} in "
            f"{count_of(self.probes.n_groups, 'group')}, {self.n_labelled} labelled"
        ]
        if self.counts:
            assert self.classes is not None
            shown = [f"{name} {count}" for name, count in self.counts.items()]
            more = ", ..." if len(shown) > _CLASSES_SHOWN else ""
            lines.append(
                f"{count_of(len(shown), 'class', 'classes')}: "
                + ", ".join(shown[:_CLASSES_SHOWN])
                + more
            )
        if self.targets is not None:
            lines.append(f"targets: {', '.join(self.targets)}")
        if self.duplicates:
            lines.append(f"{count_of(self.duplicates, 'exact copy', 'exact copies')} of others")
        if self.contradictions:
            lines.append(
                f"{count_of(len(self.contradictions), 'image')} with a copy that has another label"
            )
        lines += self.report.lines()
        return "\n  ".join([f"{self.name}: {self.kind}", *lines])

    def as_dict(self) -> dict[str, Any]:
        """Return what the task is and what was read, as JSON types; without pixels and labels."""
        return {
            "name": self.name,
            "kind": self.kind,
            "hash": self.hash,
            "n": len(self),
            "n_labelled": self.n_labelled,
            "classes": None if self.classes is None else list(self.classes),
            "counts": self.counts,
            "targets": None if self.targets is None else list(self.targets),
            "size": list(self.probes.size),
            "n_groups": self.probes.n_groups,
            "duplicates": self.duplicates,
            "contradictions": len(self.contradictions),
            "report": self.report.as_dict(),
        }

    def __repr__(self) -> str:
        height, width = self.probes.size
        parts = [f"{self.kind} of {count_of(len(self), 'image')} of {height} x {width}"]
        if self.kind != "unlabelled":
            parts.append(f"{self.n_labelled} labelled")
        if self.classes is not None:
            parts.append(count_of(len(self.classes), "class", "classes"))
        return f"Task({self.name!r}, {', '.join(parts)}, hash {self.hash[:12]})"

    def __reduce__(self) -> NoReturn:
        raise InvalidTypeError(
            "object to copy or pickle", self, "something else: read this task again instead"
        )


def _check_name(name: Any) -> str:
    if not isinstance(name, str):
        raise InvalidTypeError("name", name, "a string")
    return name


def _check_limit(limit: Any) -> int | None:
    return None if limit is None else check_count("limit", limit)


def _called(path: Any) -> str:
    """Name of a folder, or of a table without its suffix."""
    if not isinstance(path, (str, os.PathLike)):
        return "task"  # a table in memory
    place = Path(os.path.abspath(path))
    return (place.stem if place.suffix.lower() in SUFFIXES else place.name) or "task"
