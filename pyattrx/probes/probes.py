"""The class of probes."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pyattrx._progress import progress
from pyattrx._scratch import ScratchFolder
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError
from pyattrx.photos import (
    Decoded,
    GroupOf,
    PixelStore,
    Skipped,
    as_float32,
    check_count,
    check_cuts,
    check_images,
    check_names,
    check_order,
    check_photos,
    count_copies,
    decode,
    dense_groups,
    group_keys,
    in_order,
    join_copies,
    list_images,
    ordered_map,
    read_batches,
    read_photos,
    store_images,
    to_rgb,
)
from pyattrx.probes.file import open_file, write_file
from pyattrx.probes.selected import Selected, read_runs

__all__ = ["Probes"]

# Probes among which the darkest and the brightest are looked for.
_LOOKED_AT = 256

Folder = str | os.PathLike[str]
Groups = Sequence[int | str] | NDArray[Any] | Tensor


class _OutOfRange(InvalidValueError, IndexError):
    """An index beyond the probes; an IndexError, so that iteration ends."""


class Probes:
    """An immutable, ordered set of images that every network sees.

    Made by `from_folder`, `from_images`, `from_tensor` or `from_batches`. A probe is RGB, float32
    in [0, 1]. Pixels are stored as uint8 where the source is 8 bit, else as float32; those beyond
    64 MiB in a nameless scratch file, so that memory does not grow with the number of probes.
    8-bit values are divided by 255 in float32, which rounds correctly: ``x.float() / 255``.

    Exact copies say nothing new: probes with the same pixels belong to one group, and so do the
    groups that they were given, as standard errors count groups. `duplicates` says how many there
    are. Photos that only look alike are not recognised: `groups` is for those.

    Notes
    -----
    `hash` covers shape, pixels in their order, and groups; not names, source or storage. It is the
    same for uint8 images and for those images divided by 255 in float32. Other releases of an
    image library may decode or resize with other rounding, which is another hash.

    Examples
    --------
    >>> import torch
    >>> probes = Probes.from_tensor(torch.rand(6, 3, 8, 8), groups=[0, 0, 1, 1, 2, 2])
    >>> probes.shape, probes.n_groups
    ((6, 3, 8, 8), 3)
    >>> [batch.shape[0] for batch in probes.batches(4)]
    [4, 2]
    >>> probes.head(2).hash == Probes.from_tensor(probes.images(0, 2), groups=[0, 0]).hash
    True
    """

    __slots__ = (
        "__weakref__",
        "_digests",
        "_extremes",
        "_groups",
        "_names",
        "_skipped",
        "_source",
        "_store",
    )

    def __init__(
        self,
        store: PixelStore,
        names: Sequence[str] = (),
        groups: Sequence[Hashable] = (),
        source: dict[str, Any] | None = None,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        if not isinstance(store, PixelStore):
            raise InvalidTypeError(
                "images", store, "Probes.from_folder, from_images, from_tensor or from_batches"
            )
        self._store = store
        self._names = tuple(names)
        self._groups = dense_groups(groups)
        self._digests = store.digests(len(self._names))
        self._extremes: tuple[int, int] | None = None
        self._source = source or {}
        self._skipped = tuple(skipped)

    @classmethod
    def _made(
        cls,
        store: PixelStore,
        names: Sequence[str],
        groups: Sequence[Hashable],
        source: dict[str, Any],
        skipped: Sequence[Skipped] = (),
    ) -> Probes:
        """New probes, whose copies belong together. What was saved once keeps its groups."""
        joined = join_copies(groups, store.digests(len(store)))
        return cls(store, names, joined.tolist(), source, skipped)

    @classmethod
    def from_folder(
        cls,
        path: Folder,
        size: int | tuple[int, int] = 224,
        limit: int | None = None,
        *,
        seed: int = 0,
        crops: int = 1,
        min_crop: float = 0.5,
        on_error: Literal["raise", "skip"] = "raise",
        groups: Literal["photo"] | GroupOf | None = "photo",
        recursive: bool = True,
        workers: int | None = None,
        scratch: ScratchFolder = None,
    ) -> Probes:
        """Read the photos of a folder.

        Photos are turned upright by their orientation (EXIF or, where that has none, XMP; nothing
        else of their metadata is used, and what cannot be read turns nothing), made 8-bit RGB
        (transparent parts show white; 16 bits are scaled to 8), cut, and resized with an
        antialiased bicubic filter.

        Parameters
        ----------
        path : path
            Folder of JPEG, PNG, WebP, BMP, TIFF or GIF files (of several frames the first). Files
            with other suffixes and hidden ones are ignored, links to folders are not followed.
        size : int or (int, int)
            Height and width of the probes.
        limit : int, optional
            Number of probes, at least 1, taken after ordering: fewer are a prefix of more.
        seed : int
            Decides the order and the random crops. Files are ranked by a SHA-256 of the seed and
            their paths relative to the folder, so that neither its place nor the platform nor the
            version of anything matters.
        crops : int
            1: the largest centred part of each photo that has the aspect of `size`. More: that
            many random parts of this aspect, of a scale uniform in `min_crop` to 1.
        min_crop : float
            Least side of a random part relative to the largest possible, in (0, 1].
        on_error : {"raise", "skip"}
            What to do with an image file that cannot be read: raise, or note it in `skipped` and
            go on to the next file.
        groups : "photo", callable or None
            "photo": the crops of one photo are a group. A callable gets a file's path relative to
            `path` (`pathlib.PurePosixPath`) and returns a string, integer or path that stands for
            its group; the groups come in random order, each in one piece. None: every probe is a
            group of its own. Exact copies join groups in any case.
        recursive : bool
            Whether to read the folders inside it too.
        workers : int, optional
            Decoding threads, at least 1; the number of processors, at most 8, if left out.
        scratch : path, optional
            Folder of the scratch file; the system's temporary folder if left out.

        Returns
        -------
        Probes
            `names` are the relative paths, with ``#0``, ``#1``, ... where there are crops.

        Raises
        ------
        ProbeError
            No such folder, no images in it, or an image that cannot be read: damaged, not an
            image, too large for Pillow (`PIL.Image.MAX_IMAGE_PIXELS`), or with pixels of no known
            range.
        InvalidValueError, InvalidTypeError
            Wrong arguments.

        Examples
        --------
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (80, 60), "red").save(f"{folder}/red.png")
        ...     probes = Probes.from_folder(folder, size=32, crops=2)
        >>> probes.names, probes.groups.tolist()
        (('red.png#0', 'red.png#1'), [0, 0])
        """
        cuts = check_cuts(size, crops, min_crop, seed)
        if limit is not None:
            limit = check_count("limit", limit)
        if workers is not None:
            workers = check_count("workers", workers)
        if on_error not in ("raise", "skip"):
            raise InvalidValueError("on_error", on_error, "'raise' or 'skip'")
        if groups is not None and groups != "photo" and not callable(groups):
            raise InvalidTypeError("groups", groups, "'photo', None or a function of a path")
        store = PixelStore(scratch)
        listing = list_images(path, recursive)
        listing.require_images()
        order = in_order(listing.names, cuts.seed, groups if callable(groups) else None)

        def read(index: int) -> Decoded | Skipped:
            name, _ = order[index]
            found = decode(listing.folder / name, name, cuts)
            if isinstance(found, Skipped) and on_error == "raise":
                raise ProbeError(
                    f"{listing.folder / name}: {found.reason}; "
                    "on_error='skip' (--skip-bad) leaves out what cannot be read"
                )
            return found

        photos = [(name, None if groups is None else group) for name, group in order]
        content = read_photos(photos, read, cuts, store, limit, workers)
        if not len(store):
            first = content.skipped[0]
            raise ProbeError(
                f"{listing.folder}: none of its {len(order)} image files can be read; "
                f"the first is {first.path}: {first.reason}"
            )
        source = {
            "kind": "folder",
            "path": str(listing.folder),
            "image_files": len(order),
            "other_files": listing.others.total(),
            "recursive": bool(recursive),
            "groups": "callable" if callable(groups) else groups,
            "limit": limit,
            **cuts.to_dict(),
        }
        return cls._made(store, content.names, content.groups, source, content.skipped)

    @classmethod
    def from_images(
        cls,
        images: Iterable[Image.Image | NDArray[np.uint8]],
        size: int | tuple[int, int] = 224,
        *,
        crops: int = 1,
        min_crop: float = 0.5,
        seed: int = 0,
        names: Sequence[str] | None = None,
        groups: Literal["photo"] | Groups | None = "photo",
        scratch: ScratchFolder = None,
    ) -> Probes:
        """Cut and resize photos that are in memory, in the order given.

        Parameters
        ----------
        images : list of PIL.Image.Image or numpy.ndarray
            Photos of any size; arrays are uint8, [H, W, 3], [H, W, 4] with alpha, or [H, W].
        size, crops, min_crop, seed, scratch
            As for `from_folder`.
        names : list of str, optional
            One for each photo; image0, image1, ... if left out. With the seed they decide the
            random crops: the same photo, name and seed give the same crops as `from_folder`.
        groups : "photo", sequence or None
            "photo": the crops of one photo are a group. A sequence has one integer or string for
            each photo. None: every probe is a group of its own. Exact copies join groups in any
            case.

        Returns
        -------
        Probes

        Raises
        ------
        ProbeError
            A photo that cannot be read.
        InvalidValueError, InvalidTypeError
            Wrong arguments.

        Examples
        --------
        >>> import numpy as np
        >>> photo = np.zeros((40, 30, 3), np.uint8)
        >>> Probes.from_images([photo], size=(16, 24), crops=3).shape
        (3, 3, 16, 24)
        """
        cuts = check_cuts(size, crops, min_crop, seed)
        photos = check_photos(images)
        titles = check_names(names, len(photos))
        if isinstance(groups, str) and groups != "photo":
            raise InvalidValueError("groups", groups, "'photo', None, or one group for every image")
        store = PixelStore(scratch)
        keys: Sequence[Hashable] = [None] * len(photos)
        if groups is not None:
            keys = group_keys(None if isinstance(groups, str) else groups, len(photos))

        def read(index: int) -> Decoded:
            photo = photos[index]
            try:
                rgb = to_rgb(photo if isinstance(photo, Image.Image) else Image.fromarray(photo))
            except Exception as error:  # Pillow raises almost anything on damaged photos
                reason = str(error) or type(error).__name__
                raise ProbeError(f"images[{index}] ({titles[index]!r}): {reason}") from error
            return cuts.apply(rgb, titles[index])

        # One worker: the same image object may come twice, and loads itself when first used.
        content = read_photos(list(zip(titles, keys, strict=True)), read, cuts, store, workers=1)
        source = {"kind": "images", "images": len(photos), **cuts.to_dict()}
        return cls._made(store, content.names, content.groups, source)

    @classmethod
    def from_tensor(
        cls,
        images: Tensor,
        groups: Groups | None = None,
        names: Sequence[str] | None = None,
        *,
        scratch: ScratchFolder = None,
    ) -> Probes:
        """Take images from a tensor, of any device and memory layout; they are copied.

        Parameters
        ----------
        images : Tensor, [N, 3, H, W]
            RGB, N >= 1: floating (float16, bfloat16, float32 or float64, rounded to float32) with
            finite values in [0, 1], or uint8 from 0 to 255. Values outside [0, 1] by at most 1e-3,
            as resizing and half precision leave them, are clipped.
        groups : sequence, optional
            One integer or string for every image; equal ones belong together. Every image is a
            group of its own if left out. Exact copies join groups in any case.
        names : list of str, optional
            One for every image; image0, image1, ... if left out.
        scratch : path, optional
            As for `from_folder`.

        Returns
        -------
        Probes

        Raises
        ------
        InvalidTypeError
            Not a tensor, or not one of these types.
        InvalidValueError
            A wrong shape, or a value that is not in the range: the message has its index.

        Examples
        --------
        >>> import torch
        >>> whole = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
        >>> Probes.from_tensor(whole).hash == Probes.from_tensor(whole / 255).hash
        True
        """
        images = check_images(images, "images")
        if not len(images):
            raise InvalidValueError("images.shape", tuple(images.shape), "at least one image")
        titles = check_names(names, len(images))
        keys = group_keys(groups, len(images))
        store = PixelStore(scratch)
        with progress("reading probes", len(images)) as step:
            store_images(images, "images", store, step)
        source = {"kind": "tensor", "dtype": str(images.dtype).removeprefix("torch.")}
        return cls._made(store, titles, keys, source)

    @classmethod
    def from_batches(
        cls,
        iterable: Iterable[Any],
        limit: int | None = None,
        groups: Groups | None = None,
        names: Sequence[str] | None = None,
        *,
        scratch: ScratchFolder = None,
    ) -> Probes:
        """Take images from a DataLoader or any other iterable of batches, one batch at a time.

        Parameters
        ----------
        iterable : iterable
            Batches: a tensor [B, 3, H, W] as for `from_tensor`; a tuple or list whose first tensor
            holds the images; or a mapping with them under "image", "pixel_values" or "images", or
            else as its first tensor. All images have one size, and all are uint8 or all floating.
        limit : int, optional
            Number of probes, at least 1; the iterable may be endless and is not asked for more.
        groups, names : sequence, optional
            As for `from_tensor`; they may go on for images that `limit` leaves out.
        scratch : path, optional
            As for `from_folder`.

        Returns
        -------
        Probes

        Raises
        ------
        ProbeError
            There are no images.
        InvalidTypeError, InvalidValueError
            A batch that is something else; the message has its number.

        Examples
        --------
        >>> import torch
        >>> def endless():
        ...     while True:
        ...         yield torch.rand(4, 3, 8, 8), torch.zeros(4)
        >>> len(Probes.from_batches(endless(), limit=10))
        10
        """
        if limit is not None:
            limit = check_count("limit", limit)
        store = PixelStore(scratch)
        cut_off = read_batches(iterable, limit, store)
        if not len(store):
            raise ProbeError("iterable gave no images: expected at least one batch of them")
        keys = group_keys(groups, len(store), longer=cut_off)
        titles = check_names(names, len(store), longer=cut_off)
        source = {"kind": "batches", "dtype": str(store.dtype), "limit": limit}
        return cls._made(store, titles, keys, source)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 3, H, W)."""
        assert self._store.shape is not None
        return (len(self), *self._store.shape)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[2], self.shape[3]

    @property
    def groups(self) -> NDArray[np.int64]:
        """Group of every probe, [N], numbered from 0 in the order of first appearance; read-only.

        Probes of different groups are independent, those of one group need not be. Exact copies,
        and whatever was grouped with either, are of one group.
        """
        return self._groups

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self._groups.max()) + 1

    @property
    def duplicates(self) -> int:
        """How many probes are exact copies of earlier ones.

        They are in the groups of those, except in probes that were saved by a version of the
        package that did not look for copies.

        Examples
        --------
        >>> import torch
        >>> photos = torch.rand(3, 3, 8, 8)
        >>> probes = Probes.from_tensor(torch.cat([photos, photos[:2]]))
        >>> probes.duplicates, probes.groups.tolist()
        (2, [0, 1, 2, 0, 1])
        """
        return count_copies(self._digests)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every probe, for messages and pictures."""
        return self._names

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Image files that could not be read, in the order in which they were met."""
        return self._skipped

    @property
    def hash(self) -> str:
        """SHA-256 of shape, pixels in their order, and groups, in hexadecimal."""
        shape = struct.pack("<4q", *self.shape)
        groups = self._groups.astype("<i8").tobytes()
        return hashlib.sha256(b"pyattrx probes 1\0" + shape + self._digests + groups).hexdigest()

    def digests(self) -> list[bytes]:
        """Return the SHA-256 of every probe's pixels, whatever they are called.

        Examples
        --------
        >>> import torch
        >>> probes = Probes.from_tensor(torch.zeros(2, 3, 4, 4))
        >>> len(set(probes.digests()))
        1
        """
        return [self._digests[at : at + 32] for at in range(0, len(self._digests), 32)]

    def extremes(self) -> tuple[int, int]:
        """Return the numbers of the darkest and the brightest probe.

        A network that goes another way for some images most likely shows it on these. Of many
        probes 256 are looked at; which images are found depends on neither order nor copies.

        Returns
        -------
        darkest, brightest : int
            The same number where all probes are alike.

        Examples
        --------
        >>> import torch
        >>> levels = torch.tensor([0.5, 0.9, 0.1, 0.7])
        >>> Probes.from_tensor(levels[:, None, None, None].expand(4, 3, 2, 2)).extremes()
        (2, 1)
        """
        if self._extremes is None:
            first = {digest: at for at, digest in reversed(list(enumerate(self.digests())))}
            levels = [
                (float(self._store.raw(at, at + 1).sum(dtype=np.float64)), digest, at)
                for digest, at in sorted(first.items())[:_LOOKED_AT]
            ]
            self._extremes = min(levels)[2], max(levels)[2]
        return self._extremes

    def describe(self) -> dict[str, Any]:
        """Return what these probes are and where they come from, as JSON can hold it.

        Examples
        --------
        >>> import torch
        >>> Probes.from_tensor(torch.zeros(2, 3, 4, 4)).describe()["source"]
        {'kind': 'tensor', 'dtype': 'float32'}
        """
        return {
            "hash": self.hash,
            "n": len(self),
            "size": list(self.size),
            "n_groups": self.n_groups,
            "duplicates": self.duplicates,
            "skipped": [skipped.to_dict() for skipped in self._skipped],
            "source": dict(self._source),
        }

    def images(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the probes start to stop - 1.

        Parameters
        ----------
        start, stop : int
            0 <= start <= stop <= N; all probes if left out.

        Returns
        -------
        Tensor, [stop - start, 3, H, W], float32 in [0, 1]
            On the CPU; a copy that may be changed.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            A range beyond the probes.

        Examples
        --------
        >>> import torch
        >>> Probes.from_tensor(torch.rand(6, 3, 8, 8)).images(2, 5).shape
        torch.Size([3, 3, 8, 8])
        """
        start = check_count("start", start, 0)
        stop = len(self) if stop is None else check_count("stop", stop, 0)
        if stop > len(self):
            raise InvalidValueError("stop", stop, f"at most {len(self)}, the number of probes")
        if start > stop:
            raise InvalidValueError("start", start, f"at most {stop}, where the range ends")
        return torch.from_numpy(self._store.read(start, stop))

    def __getitem__(self, index: int) -> Tensor:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise InvalidTypeError("index", index, "an integer; images(start, stop) gives several")
        if not -len(self) <= index < len(self):
            raise _OutOfRange("index", index, f"an index into {len(self)} probes")
        at = int(index) % len(self)
        return torch.from_numpy(self._store.read(at, at + 1)[0])

    def batches(
        self, batch_size: int = 32, order: NDArray[np.int64] | None = None
    ) -> Iterator[Tensor]:
        """Go through the probes in batches; a thread reads the next one meanwhile.

        Parameters
        ----------
        batch_size : int
            At least 1.
        order : ndarray [n], int64, optional
            Which probes, in which order; all of them in theirs if left out.

        Returns
        -------
        iterator of Tensor, [B, 3, H, W], float32 in [0, 1]
            B is `batch_size`, or less in the last one. It may be left at any time.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            A wrong `batch_size`, or an `order` that goes beyond the probes.

        Examples
        --------
        >>> import torch
        >>> probes = Probes.from_tensor(torch.ones(5, 3, 4, 4))
        >>> sum(float(batch.sum()) for batch in probes.batches(2)) == 5 * 3 * 4 * 4
        True
        """
        size = check_count("batch_size", batch_size)
        chosen = check_order(order, len(self))

        def read(start: int) -> Tensor:
            return torch.from_numpy(as_float32(self.stored(chosen[start : start + size])))

        return ordered_map(read, range(0, len(chosen), size), workers=1, ahead=1)

    @property
    def in_memory(self) -> bool:
        """Whether the pixels are in memory, so that reading them never waits for a file."""
        return self._store.in_memory

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type that the pixels are stored in: uint8 or float32."""
        assert self._store.dtype is not None
        return self._store.dtype

    def stored(self, chosen: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read some probes as they are stored; those that follow one another at once.

        Parameters
        ----------
        chosen : ndarray [n], int64
            Which; within the probes.
        out : ndarray [n, 3, H, W], optional
            Where to, contiguous and of `stored_dtype`.

        Returns
        -------
        ndarray [n, 3, H, W]
            `out`, or a new array: uint8, or float32 in [0, 1].

        Examples
        --------
        >>> import numpy as np, torch
        >>> probes = Probes.from_tensor(torch.full((3, 3, 4, 4), 51, dtype=torch.uint8))
        >>> int(probes.stored(np.array([2, 0]))[0, 0, 0, 0]), float(probes[2][0, 0, 0])
        (51, 0.20000000298023224)
        """
        if out is None:
            out = np.empty((len(chosen), *self.shape[1:]), self.stored_dtype)
        return read_runs(self._store, chosen, out)

    def head(self, n: int) -> Probes:
        """Return the first `n` probes; their pixels are shared, not copied.

        Parameters
        ----------
        n : int
            From 1 to the number of probes.

        Returns
        -------
        Probes

        Raises
        ------
        InvalidValueError, InvalidTypeError
            A wrong `n`.

        Examples
        --------
        >>> import torch
        >>> len(Probes.from_tensor(torch.rand(6, 3, 8, 8)).head(4))
        4
        """
        if check_count("n", n) > len(self):
            raise InvalidValueError("n", n, f"at most {len(self)}, the number of probes")
        return Probes(
            self._store, self._names[:n], self._groups[:n].tolist(), self._source, self._skipped
        )

    def take(self, order: Sequence[int] | NDArray[np.int64]) -> Probes:
        """Return some probes, in the order asked for; their pixels are shared, not copied.

        Parameters
        ----------
        order : sequence of int, [n]
            Which probes, at least one; none of them twice.

        Returns
        -------
        Probes
            With the names of those probes. Probes that belonged to one group still do, also where
            what joined them was left out.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            No probes, one of them twice, or an index beyond the probes.

        Examples
        --------
        >>> import torch
        >>> probes = Probes.from_tensor(torch.rand(6, 3, 8, 8)).take([4, 0, 5])
        >>> probes.names
        ('image4', 'image0', 'image5')
        """
        chosen = check_order(order, len(self))
        if not len(chosen) or len(np.unique(chosen)) < len(chosen):
            raise InvalidValueError("order", order, "at least one probe, and none of them twice")
        return Probes(
            Selected(self._store, chosen),
            [self._names[at] for at in chosen.tolist()],
            self._groups[chosen].tolist(),
            self._source,
            self._skipped,
        )

    def save(self, path: Folder) -> Path:
        """Write the probes to one file, pixels without loss; an existing one is replaced at once.

        Parameters
        ----------
        path : path
            A file name, usually with the suffix ``.probes``.

        Returns
        -------
        Path

        Raises
        ------
        InvalidTypeError
            Not a path.
        OSError
            The folder does not exist, cannot be written or is full.

        Examples
        --------
        >>> import tempfile, torch
        >>> probes = Probes.from_tensor(torch.rand(4, 3, 8, 8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Probes.load(probes.save(f"{folder}/four.probes")).hash == probes.hash
        True
        """
        facts = {
            "names": list(self._names),
            "groups": self._groups.tolist(),
            "source": self._source,
            "skipped": [skipped.to_dict() for skipped in self._skipped],
        }
        return write_file(path, self._store, len(self), facts)

    @classmethod
    def load(cls, path: Folder) -> Probes:
        """Open what `save` wrote. Pixels are read, and their checksums compared, when used.

        Parameters
        ----------
        path : path
            The file stays where it is, and must, while the probes are in use.

        Returns
        -------
        Probes

        Raises
        ------
        ProbeError
            The file is damaged, or not one of these. Damaged pixels show when they are read.
        OSError
            The file cannot be opened.
        """
        store, facts = open_file(path)
        skipped = [Skipped(**one) for one in facts["skipped"]]
        return cls(store, facts["names"], facts["groups"], facts["source"], skipped)

    def __repr__(self) -> str:
        height, width = self.size
        return (
            f"Probes({len(self)} images of {height} x {width} in {self.n_groups} groups, "
            f"from {self._source['kind']}, hash {self.hash[:12]})"
        )

    def __reduce__(self) -> NoReturn:
        raise InvalidTypeError(
            "object to copy or pickle", self, "something else: read these images again instead"
        )
