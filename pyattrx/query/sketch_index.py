"""Candidates by inner product: exact for few vectors, compressed by Faiss for many.

An index is a cache. What it returns has to be compared again with the vectors themselves.

Compressed kinds see a vector x of about unit length folded to 512 numbers (a sketch of the sketch:
its signs are random, so parts of it may be added), with ``sqrt(c - |x|^2)`` behind them. Distances
of such vectors to a query with 0 in that place rank like inner products do, and their error grows
with the distance: it is small where vectors are near. That of a folded inner product would be large
just there, because of what all vectors have in common.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from xxhash import xxh3_64

from pyattrx._checks import integer
from pyattrx._files import atomic_write
from pyattrx.errors import IndexDamagedError, InvalidTypeError, InvalidValueError

__all__ = ["KINDS", "SketchIndex", "faiss_or_none", "kind_for"]

# From so many vectors on, by measurement (docs/zoo.md). Without Faiss, or where all vectors fit on
# a GPU, everything is "flat".
KINDS = {"flat": 0, "pq": 700}

_MAGIC = b"PYATTRI3"
_HEAD = struct.Struct("<8sQQ")
_TRAINING = 81_920  # vectors that quantisers are trained on, at most
_CHUNK = 4096
_PIECE = 256  # of a chunk, on a CPU: as much as its cache holds
_FOLDED = 512
_LONGEST = 1.25  # squared length; the part beyond it is not seen by compressed kinds
_GPU_SHARE = 0.5  # of its free memory

Blocks = Callable[[], Iterable[np.ndarray]]


def faiss_or_none() -> Any:
    """Return the module faiss, or None where it is not installed."""
    if importlib.util.find_spec("faiss") is None:
        return None
    return importlib.import_module("faiss")


def kind_for(count: int, size: int) -> str:
    """Return the kind of index that is fastest for [count, size], of those that there are."""
    if faiss_or_none() is None:
        return "flat"
    if torch.cuda.is_available() and 2 * count * size < _GPU_SHARE * torch.cuda.mem_get_info()[0]:
        return "flat"
    return [kind for kind, least in KINDS.items() if count >= least][-1]


class SketchIndex:
    """Vectors to be searched by inner product.

    Made by `build` or `load`.

    Attributes
    ----------
    kind : {"flat", "pq"}
        Exact; product quantisation of folded vectors, 4 bits for two numbers.
    ids : ndarray [n], int64
        What the vectors are called, in the order in which they were added.
    facts : dict
        What was given to `save`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.query import SketchIndex
    >>> vectors = np.eye(4, 1024, dtype=np.float32)
    >>> index = SketchIndex.build([10, 11, 12, 13], lambda: [vectors], 1024)
    >>> [(ids.tolist(), scores.tolist()) for ids, scores in index.search(vectors[2:], 1)]
    [([12], [1.0]), ([13], [1.0])]
    """

    def __init__(self, kind: str, size: int, ids: np.ndarray, body: Any, trained: int) -> None:
        self.kind = kind
        self.size = size
        self.ids = ids
        self.trained = trained
        self.facts: dict[str, Any] = {}
        self._body = body  # _Flat, or a Faiss index

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def build(
        cls, ids: Any, blocks: Blocks, size: int, *, kind: str = "auto", seed: int = 0
    ) -> SketchIndex:
        """Index vectors.

        Parameters
        ----------
        ids : sequence of int [n]
        blocks : callable
            Returns an iterable of the vectors, in the order of `ids`, in blocks [b, size] of
            float32 or float16. It is called twice where there is something to train.
        size : int
            Length of a vector, a multiple of 1024.
        kind : {"auto", "flat", "pq"}
            "auto": what was measured to be fastest for this number.
        seed : int
            Of the choice of vectors to train on.

        Returns
        -------
        SketchIndex

        Raises
        ------
        InvalidValueError, InvalidTypeError
            Wrong arguments; not as many vectors as ids; NaN or Inf among them.
        """
        numbers = np.asarray(ids, np.int64).reshape(-1)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1 or size % 1024:
            raise InvalidValueError("size", size, "a multiple of 1024")
        if kind != "auto" and kind not in KINDS:
            raise InvalidValueError("kind", kind, f"'auto' or one of {', '.join(map(repr, KINDS))}")
        chosen = kind_for(len(numbers), size) if kind == "auto" else kind
        if chosen != "flat" and faiss_or_none() is None:
            raise InvalidValueError("kind", kind, "'flat': faiss is not installed")
        trained = 0
        body: Any = _Flat(size)
        if chosen != "flat":
            sample = _sample(blocks, len(numbers), size, seed)
            body, trained = _trained(sample), len(sample)
        index = cls(chosen, size, numbers[:0], body, trained)
        done = 0
        for block in blocks():
            index.add(numbers[done : done + len(block)], block)
            done += len(block)
        if done != len(numbers):
            raise InvalidValueError("blocks", done, f"{len(numbers)} vectors, one for each id")
        return index

    def add(self, ids: Any, vectors: np.ndarray) -> None:
        """Append vectors [b, size]; nothing is trained again.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            Wrong shapes or types; NaN or Inf.
        """
        numbers = np.asarray(ids, np.int64).reshape(-1)
        rows = _checked("vectors", vectors, self.size)
        if len(rows) != len(numbers):
            raise InvalidValueError(
                "vectors.shape", vectors.shape, f"({len(numbers)}, {self.size})"
            )
        if len(rows):
            self._body.add(rows if self.kind == "flat" else _folded(rows))
            self.ids = np.concatenate([self.ids, numbers])

    def search(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the vectors with the largest inner products; one pass serves all queries.

        Parameters
        ----------
        queries : ndarray [T, size]
            Of any length, which changes scores and not the order; parts may be zero.
        k : int
            At least 1.

        Returns
        -------
        list of (ids [m] int64, scores [m] float32)
            For each query what it finds alone, best first; m is k or fewer. Scores are inner
            products, those of vectors as they are held: in float16, or roughly unless `kind` is
            "flat".

        Raises
        ------
        InvalidValueError, InvalidTypeError
            Wrong shapes or types; NaN or Inf.
        """
        integer("k", k, least=1)
        wanted = min(k, len(self))
        rows = _checked("queries", queries, self.size)
        if wanted == 0 or not len(rows):
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in rows]
        if self.kind == "flat":
            scores, places = self._body.search(rows, wanted)
        else:
            lengths = np.array([[np.linalg.norm(row)] for row in rows], np.float32)
            rows = _folded(rows / np.maximum(lengths, np.finfo(np.float32).tiny))
            rows[:, _FOLDED] = 0
            distances, places = self._body.search(rows, wanted)
            # |q - x|^2 = |q|^2 + _LONGEST - 2 q x, as the last number makes all x as long.
            scores = lengths * (np.square(rows).sum(1)[:, None] + _LONGEST - distances) / 2
        there = places >= 0
        return [
            (self.ids[where[kept]], some[kept])
            for where, some, kept in zip(places, scores, there, strict=True)
        ]

    def candidates(self, k: int) -> int:
        """How many to ask for so that the k best are among them (recall@5 of .99 or more)."""
        return k if self.kind == "flat" else max(64, 3 * k)

    def stale(self, count: int | None = None) -> bool:
        """Whether building it anew pays when there are `count` vectors; its own if left out."""
        count = len(self) if count is None else count
        return kind_for(count, self.size) != self.kind or (
            self.kind != "flat" and self.trained < _TRAINING and count > 4 * self.trained
        )

    def save(self, path: str | os.PathLike[str], facts: dict[str, Any] | None = None) -> None:
        """Write the index to one file, whole or not at all.

        Parameters
        ----------
        path : path
        facts : dict, optional
            What else is to be known about it, as JSON types; comes back as `facts`.

        Raises
        ------
        OSError
            The folder cannot be written, or is full.
        """
        faiss = faiss_or_none()
        header = {"kind": self.kind, "size": self.size, "n": len(self), "trained": self.trained}
        header["facts"] = facts or {}
        if self.kind == "flat":
            body = self._body.vectors().tobytes()
        else:
            body = faiss.serialize_index(self._body).tobytes()
        encoded = json.dumps(header).encode()
        numbers = self.ids.astype("<i8").tobytes()
        digest = xxh3_64(encoded)
        digest.update(numbers)
        digest.update(body)
        with atomic_write(path) as out:
            out.write(_HEAD.pack(_MAGIC, len(encoded), digest.intdigest()))
            out.write(encoded)
            out.write(numbers)
            out.write(body)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SketchIndex:
        """Read what `save` wrote.

        Raises
        ------
        IndexDamagedError
            It is something else, damaged, or needs Faiss where there is none.
        OSError
            It cannot be opened.
        """
        whole = np.fromfile(Path(path), np.uint8)
        if len(whole) < _HEAD.size:
            raise IndexDamagedError(f"{path}: not an index")
        magic, length, checksum = _HEAD.unpack(whole[: _HEAD.size].tobytes())
        if magic != _MAGIC or _HEAD.size + length > len(whole):
            raise IndexDamagedError(f"{path}: not an index, or damaged")
        if xxh3_64(whole[_HEAD.size :].data).intdigest() != checksum:
            raise IndexDamagedError(f"{path}: damaged: its checksum does not match")
        header = json.loads(whole[_HEAD.size : _HEAD.size + length].tobytes())
        if header["kind"] not in KINDS:
            raise IndexDamagedError(
                f"{path}: of another version: an index of kind {header['kind']!r}"
            )
        start = _HEAD.size + length
        middle = start + 8 * header["n"]
        ids = np.frombuffer(whole[start:middle].tobytes(), "<i8").astype(np.int64)
        body: Any
        if header["kind"] == "flat":
            body = _Flat(header["size"])
            body.add(whole[middle:].view(np.float16).reshape(-1, header["size"]))
        else:
            faiss = faiss_or_none()
            if faiss is None:
                raise IndexDamagedError(f"{path}: needs faiss, which is not installed")
            try:
                body = faiss.deserialize_index(whole[middle:])
            except RuntimeError as error:  # of another release of Faiss
                raise IndexDamagedError(f"{path}: cannot be read: {error}") from error
        index = cls(header["kind"], header["size"], ids, body, header["trained"])
        index.facts = header["facts"]
        return index


class _Flat:
    """Exact search in plain PyTorch, on the GPU if there is one.

    Vectors are kept in float16, and widened in pieces for the product where that is not one of the
    device's own.
    """

    def __init__(self, size: int) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._parts: list[torch.Tensor] = []
        self._size = size

    def add(self, rows: np.ndarray) -> None:
        """Append float16 or float32 rows."""
        self._parts.append(torch.from_numpy(rows.astype(np.float16)).to(self._device))
        if len(self._parts) > 1 and len(self._parts[-2]) + len(self._parts[-1]) <= _CHUNK:
            last = self._parts.pop()
            self._parts[-1] = torch.cat([self._parts[-1], last])

    def vectors(self) -> np.ndarray:
        """Everything that was added."""
        if not self._parts:
            return np.empty((0, self._size), np.float16)
        return torch.cat(self._parts).cpu().numpy()

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As Faiss: scores and places, [T, k]."""
        rows = torch.from_numpy(queries.astype(np.float32)).to(self._device)
        # Widened into the same memory again and again: new memory takes longer than the product.
        pieces = _CHUNK if rows.is_cuda else _PIECE
        wide = torch.empty(pieces, self._size, device=self._device)
        scores = torch.empty(len(rows), sum(map(len, self._parts)), device=self._device)
        done = 0
        for piece in (piece for part in self._parts for piece in part.split(pieces)):
            seen = wide[: len(piece)].copy_(piece)
            for row, out in zip(rows, scores, strict=True):  # one by one: the bits of each alone
                torch.mv(seen, row, out=out[done : done + len(piece)])
            done += len(piece)
        best = torch.topk(scores, k)
        return best.values.cpu().numpy(), best.indices.cpu().numpy()


def _folded(rows: np.ndarray) -> np.ndarray:
    """What compressed kinds see of float32 vectors [b, size]: [b, 514]; the last is 0."""
    out = np.zeros((len(rows), _FOLDED + 2), np.float32)
    np.sum(rows.reshape(len(rows), -1, _FOLDED), axis=1, out=out[:, :_FOLDED])
    squares = np.einsum("bs,bs->b", rows, rows)
    out[:, _FOLDED] = np.sqrt(np.maximum(_LONGEST - squares, 0))
    return out


def _sample(blocks: Blocks, count: int, size: int, seed: int) -> np.ndarray:
    """Some of the vectors, chosen at random, folded."""
    wanted = min(count, _TRAINING)
    chosen = np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
    sample = np.empty((wanted, _FOLDED + 2), np.float32)
    done = filled = 0
    for block in blocks():
        mine = chosen[(chosen >= done) & (chosen < done + len(block))] - done
        sample[filled : filled + len(mine)] = _folded(_checked("blocks", block[mine], size))
        done, filled = done + len(block), filled + len(mine)
    if filled != wanted:
        raise InvalidValueError("blocks", done, f"{count} vectors, one for each id")
    return sample


def _trained(sample: np.ndarray) -> Any:
    """Make an empty Faiss index, trained."""
    faiss = faiss_or_none()
    size = sample.shape[1]
    index = faiss.index_factory(size, f"PQ{size // 2}x4fs", faiss.METRIC_L2)
    index.train(sample)
    return index


def _checked(name: str, vectors: Any, size: int) -> np.ndarray:
    if not isinstance(vectors, np.ndarray) or vectors.dtype not in (np.float32, np.float16):
        raise InvalidTypeError(name, vectors, "an array of float32 or float16")
    if vectors.ndim != 2 or vectors.shape[1] != size:
        raise InvalidValueError(f"{name}.shape", vectors.shape, f"rows of {size} numbers")
    rows = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(rows).all():
        raise InvalidValueError(name, "NaN or Inf", "finite numbers")
    return rows
