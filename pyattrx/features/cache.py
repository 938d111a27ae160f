"""Features on disk, so that a second run, another score or more images cost only what is new.

One folder a network: ``network.json``, and segments, each a ``.npz`` file of some images, written
whole under a name of its own. Nothing is ever changed, so that any number of processes may use a
cache at once; what two of them computed is there twice, and read once. The ZIP format keeps a
checksum of every array: a damaged segment is left out, said, and computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx._files import atomic_write
from pyattrx.errors import CacheWarning, InvalidTypeError, InvalidValueError

__all__ = ["CachedNetwork", "FeatureCache", "Rows", "default_folder"]

_FORMAT = 1
_MOST_SEGMENTS = 8  # before they are put together
_GIB = 1 << 30


def default_folder() -> Path:
    """Where features are kept: ``PYATTRX_CACHE``, or ``pyattrx`` in the user's cache folder."""
    own = os.environ.get("PYATTRX_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pyattrx"


@dataclass(frozen=True)
class Rows:
    """Features of some images.

    Attributes
    ----------
    pooled : ndarray [N, D], float32
        Rounded to float16 but for a power of two, as they are stored.
    maps : ndarray [N, C, H, W], float32, or None
    """

    pooled: np.ndarray
    maps: np.ndarray | None

    def __len__(self) -> int:
        return len(self.pooled)


class FeatureCache:
    """Features of networks in a folder.

    Parameters
    ----------
    folder : path, optional
        `default_folder` if left out; made when something is written.
    limit : float
        Gibibytes. Beyond it the networks that were used longest ago are dropped.

    Examples
    --------
    >>> import tempfile
    >>> from pyattrx.features import FeatureCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     FeatureCache(folder).info()["networks"]
    []
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, limit: float = 10.0) -> None:
        if folder is not None and not isinstance(folder, (str, os.PathLike)):
            raise InvalidTypeError("folder", folder, "a path, or None")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0:
            raise InvalidValueError("limit", limit, "a positive number of GiB")
        self.folder = default_folder() / "features" if folder is None else Path(folder)
        self.limit = float(limit)
        self._said = False

    def network(self, identity: dict[str, Any]) -> CachedNetwork:
        """Return what is kept of a network; `identity` is all that its features depend on."""
        state = json.dumps([_FORMAT, identity], sort_keys=True)
        key = hashlib.blake2b(state.encode(), digest_size=16).hexdigest()
        return CachedNetwork(self, self.folder / key, identity)

    def info(self) -> dict[str, Any]:
        """Return what is kept, as JSON types: the folder, its size, and every network."""
        networks = []
        for folder in self._folders():
            facts: dict[str, Any] = {}
            with contextlib.suppress(OSError, ValueError):
                facts = json.loads((folder / "network.json").read_text())
            size, used = _size(folder), _used(folder)
            name = facts.get("name", "unknown") if isinstance(facts, dict) else "unknown"
            networks.append({"key": folder.name, "name": name, "bytes": size, "used": used})
        networks.sort(key=lambda one: -one["used"])
        total = sum(one["bytes"] for one in networks)
        limit = int(self.limit * _GIB)
        return {
            "folder": str(self.folder),
            "bytes": total,
            "limit_bytes": limit,
            "networks": networks,
        }

    def clear(self) -> int:
        """Remove everything that this class has written; return how many bytes that were."""
        freed = 0
        for folder in self._folders():
            freed += _size(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return freed

    def shrink(self) -> None:
        """Drop the networks that were used longest ago until the rest is within the limit."""
        folders = sorted(self._folders(), key=_used)
        sizes = {folder: _size(folder) for folder in folders}
        total = sum(sizes.values())
        for folder in folders[:-1]:  # the last one is in use
            if total <= self.limit * _GIB:
                return
            total -= sizes[folder]
            shutil.rmtree(folder, ignore_errors=True)

    def say_refused(self, error: OSError) -> None:
        """Warn that nothing can be written; once, as networks and batches are many."""
        if self._said:
            return
        self._said = True
        warnings.warn(
            f"features cannot be kept in {self.folder}: {error}; they will be computed again next "
            "time",
            CacheWarning,
            stacklevel=3,
        )

    def _folders(self) -> list[Path]:
        try:
            found = list(self.folder.iterdir())
        except OSError:
            return []
        # Whatever else is there belongs to somebody else.
        return [f for f in found if len(f.name) == 32 and (f / "network.json").is_file()]


class CachedNetwork:
    """What is kept of one network; made by `FeatureCache.network`."""

    def __init__(self, cache: FeatureCache, folder: Path, identity: dict[str, Any]) -> None:
        self._cache, self.folder, self._identity = cache, folder, identity

    def read(self, digests: Sequence[bytes]) -> dict[bytes, Rows]:
        """Return what is there of some images, one row each, by digest.

        Warns
        -----
        CacheWarning
            A segment is damaged, and removed; or it cannot be read.
        """
        wanted = set(digests)
        found: dict[bytes, Rows] = {}
        for path in self._segments():
            try:
                keys, rows = _load(path)
            except FileNotFoundError:  # another process has put segments together
                continue
            except OSError as error:  # of the disk, or of rights: what is kept may be whole
                warnings.warn(
                    f"{path}: cannot be read ({error}); its features are computed again",
                    CacheWarning,
                    stacklevel=2,
                )
                continue
            except Exception as error:  # of any kind: any byte may be wrong
                warnings.warn(
                    f"{path}: damaged ({error}); its features are computed again",
                    CacheWarning,
                    stacklevel=2,
                )
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            for index, key in enumerate(keys):
                if key in wanted and key not in found:
                    maps = None if rows.maps is None else rows.maps[index : index + 1]
                    found[key] = Rows(rows.pooled[index : index + 1], maps)
        if found:
            with contextlib.suppress(OSError):
                os.utime(self.folder / "network.json")
        return found

    def write(self, digests: Sequence[bytes], rows: Rows, facts: dict[str, Any]) -> None:
        """Keep features; where there is no room, go on without.

        Warns
        -----
        CacheWarning
            Nothing can be written; said once.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            known = {**self.facts(), **facts, "identity": self._identity}
            with atomic_write(self.folder / "network.json") as out:
                out.write(json.dumps(known, sort_keys=True).encode())
            self._add(list(digests), rows)
            self._put_together()
            self._cache.shrink()
        except OSError as error:
            self._cache.say_refused(error)

    def facts(self) -> dict[str, Any]:
        """What was written beside the features."""
        try:
            found = json.loads((self.folder / "network.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _segments(self) -> list[Path]:
        try:
            return sorted(self.folder.glob("*.npz"))
        except OSError:
            return []

    def _add(self, digests: list[bytes], rows: Rows) -> None:
        stamp = f"{time.time_ns():020d}-{secrets.token_hex(4)}.npz"
        arrays = {"digests": np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)}
        for name, values in (("pooled", rows.pooled), ("maps", rows.maps)):
            if values is not None:
                arrays[name], arrays[f"{name}_exponent"] = _halves(values)
        with atomic_write(self.folder / stamp) as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]

    def _put_together(self) -> None:
        """Make one segment of many; the old ones go when the new one is there."""
        old = self._segments()
        if len(old) <= _MOST_SEGMENTS:
            return
        keys: list[bytes] = []
        parts: list[Rows] = []
        seen: set[bytes] = set()
        for path in old:
            try:
                some, rows = _load(path)
            except Exception:  # of any kind: whoever reads it says so
                return
            new = [index for index, key in enumerate(some) if key not in seen]
            seen.update(some)
            keys += [some[index] for index in new]
            parts.append(Rows(rows.pooled[new], None if rows.maps is None else rows.maps[new]))
        self._add(keys, stacked(parts))
        for path in old:
            with contextlib.suppress(OSError):
                path.unlink()


def stacked(parts: Sequence[Rows]) -> Rows:
    """Put rows of one network together."""
    maps = [part.maps for part in parts if part.maps is not None]
    return Rows(
        np.concatenate([part.pooled for part in parts]),
        np.concatenate(maps) if len(maps) == len(parts) else None,
    )


def rounded(values: np.ndarray) -> np.ndarray:
    """Round every image's features as a file does; float32 [N, ...]."""
    halves, exponents = _halves(values)
    return _wide(halves, exponents)


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features as float16 times a power of two for each image: none overflows, few underflow."""
    flat = np.abs(values.reshape(len(values), -1))
    exponents = np.frexp(flat.max(1, initial=0.0))[1].astype(np.int16)
    # The largest number of an image is in [0.5, 1) then.
    scaled = np.ldexp(values.astype(np.float32), -_beside(exponents, values.ndim))
    return scaled.astype(np.float16), exponents


def _wide(halves: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    wide = np.ldexp(halves.astype(np.float32), _beside(exponents, halves.ndim))
    return np.asarray(wide, np.float32)


def _beside(exponents: np.ndarray, dimensions: int) -> np.ndarray:
    return exponents.astype(np.int32).reshape(-1, *[1] * (dimensions - 1))


def _load(path: Path) -> tuple[list[bytes], Rows]:
    with np.load(path, allow_pickle=False) as file:
        keys = [row.tobytes() for row in file["digests"]]
        pooled = _wide(file["pooled"], file["pooled_exponent"])
        maps = _wide(file["maps"], file["maps_exponent"]) if "maps" in file else None
    fits = pooled.ndim == 2 and len(pooled) == len(keys)
    if not fits or (maps is not None and (maps.ndim != 4 or len(maps) != len(keys))):
        raise ValueError("its arrays do not fit together")
    return keys, Rows(pooled, maps)


def _size(folder: Path) -> int:
    return sum(size for size in _sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                yield path.stat().st_size


def _used(folder: Path) -> float:
    try:
        return (folder / "network.json").stat().st_mtime
    except OSError:
        return 0.0
