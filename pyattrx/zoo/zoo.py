"""The zoo: networks added once, asked about for ever."""

from __future__ import annotations

import difflib
import functools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._ambient import neutrally
from pyattrx._progress import progress
from pyattrx.affinities import Affinity
from pyattrx.encoders import Encoder, load_many
from pyattrx.encoders.encoder import refused
from pyattrx.errors import InvalidType, InvalidValue, ZooDamaged, ZooError, ZooWarning
from pyattrx.methods import FeatureMethod, Method, quantize, resolve_maps_method
from pyattrx.probes import Probes
from pyattrx.running import Source, check_sources, versions
from pyattrx.statistics import check_ranking
from pyattrx.zoo.adding import add_given, add_network, add_source
from pyattrx.zoo.answering import Asked, answer, stored_affinity
from pyattrx.zoo.arguments import (
    Run,
    check_encoders,
    check_name,
    check_path,
    check_tags,
    check_wait,
    encodable,
    maps_hash,
    not_integer,
    now,
)
from pyattrx.zoo.entry import Entry, Matches, Report, Verification
from pyattrx.zoo.features import FEATURES_RERANK, NEAREST, arrays_of, resolve_features
from pyattrx.zoo.fidelity import Fidelity, measure
from pyattrx.zoo.given import check_all_maps, check_facts
from pyattrx.zoo.growing import Growth, check_extension
from pyattrx.zoo.loading import load_entry, loadable
from pyattrx.zoo.merging import check_alike, copy_entry
from pyattrx.zoo.querying import warn_damaged
from pyattrx.zoo.reranking import check_rerank
from pyattrx.zoo.search import Question, Search
from pyattrx.zoo.segments import segment_sizes
from pyattrx.zoo.store import Store, StoredMethod
from pyattrx.zoo.verifying import verify

__all__ = ["Zoo"]


class Zoo:
    """Networks on disk, as their attribution maps over one set of probes.

    Made by `create` or `open`. A network is added once; afterwards a query costs one network's
    backward passes. Many processes may read a zoo while one writes to it.

    Examples
    --------
    >>> import tempfile, torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 16, 16))
    >>> nets = {name: torch.nn.Conv2d(3, 4, 3) for name in ("a", "b", "c")}
    >>> folder = tempfile.TemporaryDirectory()
    >>> zoo = pyattrx.Zoo.create(f"{folder.name}/zoo", probes)
    >>> report = zoo.add_many(pyattrx.Encoder(net, name=name) for name, net in nets.items())
    >>> zoo.names
    ['a', 'b', 'c']
    >>> sorted(match.name for match in zoo.query("a", k=2))
    ['b', 'c']
    >>> zoo.verify().ok
    True
    >>> zoo.close(); folder.cleanup()
    """

    def __init__(self, store: Store, wait: float) -> None:
        if not isinstance(store, Store):
            raise InvalidType("path", store, "Zoo.open(path) or Zoo.create(path, probes)")
        self._opened = store
        self._closed = False
        self._wait = wait
        self._searches: dict[int, Search] = {}

    @classmethod
    @neutrally
    def create(
        cls,
        path: str | os.PathLike[str],
        probes: Probes,
        method: str | Method | Sequence[str | Method] = "recommended",
        *,
        keep_rows: bool = True,
        sketch_size: int = 4096,
        seed: int = 0,
        rerank: str | FeatureMethod | None = None,
        wait: bool | float = False,
    ) -> Zoo:
        """Make a new zoo.

        Parameters
        ----------
        path : path
            A new or empty folder.
        probes : Probes
            Images that every network sees; they are kept in the zoo, without loss.
        method : str, Method or a list of them
            What stands for a network; of several, all are computed for every network, and the first
            one answers unless a query says which. "recommended" is saliency of half the squared
            norm, which finds the nearest, with ``rerank="recommended"``, which puts them in order
            (docs/transfer.md).
        keep_rows : bool
            Keep every map, so that answers are those of `affinity`. False keeps sketches only:
            8 KiB a network, and answers with the sketches' error (see `Match.stderr`).
        sketch_size : int
            Numbers in a sketch, a multiple of 1024, up to 65536. Its error is about
            ``1 / sqrt(sketch_size)``.
        seed : int
            Of the sketches, at least 0.
        rerank : str or FeatureMethod, optional
            Keep of every network what this method compares, too, and answer in its order (see
            `query`): one or two matrices of N x N, 8 bytes a number, or the features
            themselves for "normalized_ridge" and "perturbation_response".
        wait : bool or float
            See `open`.

        Returns
        -------
        Zoo

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; the folder is not empty.
        ZooError
            The folder cannot be written.
        """
        folder = check_path(path)
        if not isinstance(probes, Probes):
            raise InvalidType("probes", probes, "pyattrx.Probes")
        if isinstance(method, str) and method == "recommended":
            method, rerank = NEAREST, "recommended" if rerank is None else rerank
        given: Sequence[Any] = method if isinstance(method, (list, tuple)) else [method]
        methods = [resolve_maps_method(one, more=FEATURES_RERANK) for one in given]
        names = [str(one) for one in methods]
        if not methods or len(set(names)) < len(names):
            raise InvalidValue("method", names, "one method, or several different ones")
        if not isinstance(keep_rows, bool):
            raise InvalidType("keep_rows", keep_rows, "True or False")
        if not_integer(sketch_size) or sketch_size % 1024 or not 1024 <= sketch_size <= 65536:
            raise InvalidValue("sketch_size", sketch_size, "a multiple of 1024, up to 65536")
        if not_integer(seed) or not 0 <= seed < 2**63:
            raise InvalidValue("seed", seed, "an integer from 0 to 2**63 - 1")
        facts: dict[str, Any] = {
            "created": now(),
            "versions": versions(),
            "keep_rows": keep_rows,
            "sketch_size": int(sketch_size),
            "sketch_seed": int(seed),
        }
        if rerank is not None:
            features = resolve_features(rerank)
            features.check_probes(np.asarray(probes.groups))
            facts["rerank"] = features.to_dict()
        for one in methods:
            StoredMethod.check(one, probes.size)
        waiting = check_wait(wait)
        Store.create(folder, probes, methods, facts)
        return cls(Store(folder, trust=True), waiting)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, wait: bool | float = False, trust: bool = False
    ) -> Zoo:
        """Open a zoo; for reading only where one may not write.

        Parameters
        ----------
        path : path
        wait : bool or float
            When another process is writing and this one wants to: raise (False), wait (True), or
            wait for so many seconds at most.
        trust : bool
            Import the code that a method of one's own refers to.

        Returns
        -------
        Zoo

        Raises
        ------
        ZooError
            There is no zoo, or one of another format.
        ZooDamaged
            It is not what was written.
        UntrustedError
            Opening it would import code.
        """
        return cls(Store(check_path(path), trust=trust), check_wait(wait))

    def close(self) -> None:
        """Close all files; the zoo cannot be used afterwards."""
        self._closed = True
        self._opened.close()

    def __enter__(self) -> Zoo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What is there

    @property
    def path(self) -> Path:
        """The folder."""
        return self._opened.folder

    @property
    def probes(self) -> Probes:
        """The images that every network saw."""
        self._store.refresh()
        return self._store.probes

    @property
    def methods(self) -> list[Method]:
        """What stands for a network; the first one answers unless a query says which."""
        return [stored.method for stored in self._store.methods]

    @property
    def rerank(self) -> FeatureMethod | None:
        """The method that queries put their finalists in order by."""
        features = self._store.features
        return None if features is None else features.method

    @property
    def names(self) -> list[str]:
        """Names of all networks, in the order in which they were added."""
        return self._store.catalog.names()

    @property
    def tags(self) -> dict[str, int]:
        """All tags, and how many networks have them."""
        return self._store.catalog.tags()

    def __len__(self) -> int:
        return self._store.catalog.count()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._number(name) is not None

    def entry(self, name: str) -> Entry:
        """Return what is known of a network.

        Raises
        ------
        InvalidValue
            No network has this name.
        ZooDamaged
            What was written of it is damaged.
        """
        return self._entry(self._id(name))

    def entries(self, tags: str | Sequence[str] = ()) -> Iterator[Entry]:
        """Go through the networks that have all of some tags, in the order of their names' ages.

        Those that are removed meanwhile are left out.

        Warns
        -----
        ZooWarning
            What was written of an entry is damaged; it was left out.
        """
        for number in self._store.catalog.ids(check_tags(tags)):
            try:
                entry = self._entry(number)
            except ZooDamaged as error:
                message = f"{self.path}: {error}; it was left out"
                warnings.warn(message, ZooWarning, stacklevel=2)
                continue
            except ZooError:
                if self._store.catalog.names_of([number]):
                    raise
                continue
            yield entry

    def tags_of(self, name: str) -> tuple[str, ...]:
        """Return the tags of a network, sorted; also where what was written of it is damaged.

        Raises
        ------
        InvalidValue
            No network has this name.
        """
        return self._store.catalog.tags_of(self._id(name))

    @neutrally
    def load(self, name: str, *, trust: bool = False) -> Encoder:
        """Load a network again, by its specification, and compare it with the one that was added.

        Parameters
        ----------
        name : str
        trust : bool
            Load exported programs, which may execute code.

        Returns
        -------
        Encoder
            Named as in the zoo.

        Raises
        ------
        InvalidValue
            No network has this name.
        ZooMismatch
            It was added without a specification, or as maps; its weights, preprocessing or output
            are others by now.
        ZooDamaged
            What was written of it is damaged.
        PyattrxError
            As for `pyattrx.load`.

        Examples
        --------
        >>> import tempfile, torch, pyattrx
        >>> probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 8, 8))
        >>> folder = tempfile.TemporaryDirectory()
        >>> with pyattrx.Zoo.create(f"{folder.name}/zoo", probes, "saliency") as zoo:
        ...     entry = zoo.add("torch.nn:Identity")
        ...     print(zoo.load("torch.nn:Identity").module)
        Identity()
        >>> folder.cleanup()
        """
        entry = self._store.catalog.entry(self._id(name))
        return load_entry(self._store.probes, entry, trust=trust)

    def describe(self) -> dict[str, Any]:
        """Return what this zoo is, as JSON types."""
        store = self._store
        return {
            **store.catalog.meta("zoo"),
            "path": str(store.folder),
            "networks": len(self),
            "methods": [stored.name for stored in store.methods],
            "bytes": sum(segment_sizes(store.segments.folder).values()),
            "index": {
                stored.name: self._searches[stored.id].index_kind
                for stored in store.methods
                if stored.id in self._searches
            },
            "tags": self.tags,
        }

    # Growing

    @neutrally
    def add(
        self,
        encoder: Encoder | str,
        *,
        tags: str | Sequence[str] = (),
        replace: bool = False,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> Entry:
        """Add a network; it is on disk when this returns.

        Parameters
        ----------
        encoder : Encoder or str
            A network, or the specification of one, see `pyattrx.load`.
        tags : str or list of str
        replace : bool
            Whether a network of the same name gives way. Without it the same network is left as it
            is (and gets the tags), and another one of this name is an error.
        batch_size, device, precision, compile
            As for `pyattrx.affinity`.

        Returns
        -------
        Entry

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; the name is taken by another network.
        EncoderError, NonFiniteError
            As for `pyattrx.affinity`; nothing was added.
        ZooLocked
            Another process is writing.
        ZooError
            The zoo cannot be written, the disk is full, ...; nothing was added.
        """
        run = Run(batch_size, device, precision, compile)
        labels = check_tags(tags)
        if not isinstance(encoder, (Encoder, str)):
            raise refused("encoder", encoder, "an Encoder, or a specification")
        found = list(load_many(encoder)) if isinstance(encoder, str) else [encoder]
        if len(found) != 1:
            raise InvalidValue("encoder", encoder, f"one network, not {len(found)}; see add_many")
        add_network(self._store, found[0], labels, replace, run, wait=self._wait)
        return self.entry(found[0].name)

    @neutrally
    def add_many(
        self,
        encoders: Iterable[Source],
        *,
        tags: str | Sequence[str] = (),
        replace: bool = False,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> Report:
        """Add networks one by one; each is on disk before the next one begins.

        Those that are there already are skipped, so that the same call after an interruption goes
        on where it stopped. One that fails is reported and does not stop the rest.

        Parameters
        ----------
        encoders : iterable of Encoder, str or callable
            As for `pyattrx.affinity`.
        tags : str or list of str
            For all of them.
        replace : bool
            Whether networks of the same names give way, be they the same or not. Of those that this
            call adds, no one gives way to another.
        batch_size, device, precision, compile
            As for `pyattrx.affinity`.

        Returns
        -------
        Report

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments.
        ZooLocked, ZooError
            The zoo cannot be written: nothing more can be added.
        """
        run = Run(batch_size, device, precision, compile)
        labels = check_tags(tags)
        sources = check_sources(encoders)
        report = Report()
        total = len(sources) if isinstance(sources, list) else None
        for index, source in enumerate(sources):
            of = f" ({index + 1} of {total})" if total else ""
            add_source(self._store, source, labels, replace, run, report, wait=self._wait, of=of)
        return report

    @neutrally
    def add_maps(
        self,
        name: str,
        maps: Tensor | Mapping[str, Tensor],
        *,
        tags: str | Sequence[str] = (),
        replace: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Add a network whose maps were computed elsewhere.

        Parameters
        ----------
        name : str
        maps : Tensor [N, D], or a mapping of one to every method's name
            One row for each of the zoo's probes, of any scale, before they are rounded for storage:
            what the method leaves of a map, pixel subset and all. Such a network has no features:
            queries cannot re-rank it.
        tags, replace
            As for `add`.
        facts : mapping, optional
            What is to be known about the network, as JSON types. ``specification`` says how it can
            be loaded. What the zoo says itself cannot be said: "features_kept", "maps",
            "zero_maps".

        Returns
        -------
        Entry

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments: number of probes, of elements, dtype, ...
        NonFiniteError
            A map holds NaN or Inf.
        ZooLocked, ZooError
            As for `add`.
        """
        store = self._store
        check_name(name)
        labels = check_tags(tags)
        said = check_facts(facts)
        store.refresh()
        rows = [
            quantize(some, stored.method.storage)
            for stored, some in zip(store.methods, check_all_maps(store, maps), strict=True)
        ]
        digest = "".join(maps_hash(some) for some in rows)
        known = {"specification": None, "weights_hash": None, **said, "maps": digest}
        number = add_given(store, name, rows, known, labels, replace, wait=self._wait)
        return self._entry(number)

    def remove(self, name: str) -> None:
        """Remove a network.

        Its place on disk stays taken; a new zoo that this one is merged into does not have it.

        Raises
        ------
        InvalidValue
            No network has this name.
        ZooLocked, ZooError
            The zoo cannot be written.
        """
        store = self._store
        with store.writing(self._wait):
            number = self._id(name)
            with store.catalog.transaction():
                store.catalog.remove(number)

    @neutrally
    def add_probes(
        self,
        probes: Probes,
        *,
        encoders: Iterable[Source] = (),
        drop: bool = False,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        trust: bool = False,
    ) -> Report:
        """Let every network see more probes: only the new ones are computed.

        All of them count from one moment on, when every network has seen them. Until then, and
        wherever this is interrupted, the zoo is the one that it was; the same call goes on where it
        stopped.

        Parameters
        ----------
        probes : Probes
            The zoo's probes, followed by new ones, as the same `Probes.from_folder` with a larger
            limit gives them.
        encoders : iterable of Encoder, str or callable
            Networks that the zoo cannot load by itself, by their names in the zoo.
        drop : bool
            Remove networks that cannot be run on the new probes. Without it the zoo's probes stay
            as they are as long as there are any.
        batch_size, device
            As for `pyattrx.affinity`. Precision and compilation are those that a network was added
            with.
        trust : bool
            Load exported programs, which may execute code.

        Returns
        -------
        Report
            Networks that were run are `added`; those that had been before an interruption,
            `skipped`. With any in `failed`, nothing has changed unless `drop` is given.

        Warns
        -----
        ZooWarning
            Nothing has changed.

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; `probes` does not begin with the zoo's.
        ZooLocked, ZooError
            The zoo cannot be written.
        """
        run = Run(batch_size, device, "float32")
        if not isinstance(drop, bool):
            raise InvalidType("drop", drop, "True or False")
        given = check_encoders(encoders)
        store = self._store
        with store.writing(self._wait):
            store.refresh()
            check_extension(store.probes, probes)
            growth = Growth(store, probes, run, trust)
            report = growth.stage(given)
            if drop or not report.failed:
                growth.finish(report.failed)
                return report
            before = len(store.probes)
        name, why = next(iter(report.failed.items()))
        warnings.warn(
            f"the zoo stays at its {before} probes: {len(report.failed)} of its networks cannot be "
            f"run on the new ones, such as {name!r} ({why}); drop=True removes them",
            ZooWarning,
            stacklevel=3,
        )
        return report

    def tag(self, name: str, *tags: str) -> None:
        """Give a network tags.

        Raises
        ------
        InvalidValue, InvalidType
            No network has this name; a tag is empty.
        """
        self._tag(name, tags, add=True)

    def untag(self, name: str, *tags: str) -> None:
        """Take tags from a network, where it has them.

        Raises
        ------
        InvalidValue, InvalidType
            No network has this name; a tag is empty.
        """
        self._tag(name, tags, add=False)

    def _tag(self, name: str, tags: Sequence[str], *, add: bool) -> None:
        labels = check_tags(tags)
        store = self._store
        with store.writing(self._wait):
            number = self._id(name)
            with store.catalog.transaction():
                (store.catalog.tag if add else store.catalog.untag)(number, labels)

    @neutrally
    def merge(self, other: Zoo | str | os.PathLike[str]) -> Report:
        """Add all networks of another zoo, without running any.

        Parameters
        ----------
        other : Zoo or path
            With the same probes, methods and kind of sketches.

        Returns
        -------
        Report
            Networks that are here already are skipped, and get the tags that they have there.
            Those that are damaged, or that have the name of another network here, are among the
            failed.

        Raises
        ------
        ZooMismatch
            It differs; the message says in what.
        ZooLocked, ZooError
            This zoo cannot be written.
        """
        if not isinstance(other, Zoo):
            with Zoo.open(other, trust=bool(self._outside())) as opened:
                return self.merge(opened)
        mine, theirs = self._store, other._store
        report = Report()
        with mine.writing(self._wait), progress("merging", len(other)) as step:
            mine.refresh()
            theirs.refresh()
            check_alike(mine, theirs)
            for number in theirs.catalog.ids():
                copy_entry(mine, theirs, number, report)
                step(1)
        return report

    def verify(self) -> Verification:
        """Read everything and compare every checksum.

        Returns
        -------
        Verification
        """
        self._store.refresh()
        return verify(self._store)

    # Asking

    @neutrally
    def query(
        self,
        target: Encoder | str | Tensor,
        k: int = 5,
        *,
        method: str | Method | None = None,
        tags: str | Sequence[str] = (),
        level: float = 0.95,
        exact: bool = False,
        stop: str | None = None,
        rerank: str | FeatureMethod | bool | None = None,
        finalists: int | None = None,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        precision: str = "float32",
        compile: bool = False,
        scratch: str | Path | None = None,
    ) -> Matches:
        """Find the nearest sources of a target.

        Parameters
        ----------
        target : Encoder, str or Tensor [N, D]
            A network; the name of one in the zoo, which is not among its own matches; or maps, as
            for `add_maps`.
        k : int
            How many at most.
        method : str or Method, optional
            One of the zoo's; the first one if left out.
        tags : str or list of str
            Only networks that have all of these.
        level : float
            Confidence of the intervals and of the paired test, and of `stop`.
        exact : bool
            Compare every network by its rows, however many there are. Otherwise sketches choose
            which, where there are many.
        stop : {"confident"}, optional
            Show an encoder the probes in rounds, in random order, and stop as soon as it is settled
            which k networks all probes would put first (of a name, or of maps, all are known):
            with `level` as the confidence, and however
            often one looks (see `pyattrx.zoo.stopping`). Where a few networks stand out this saves
            most passes; where the k-th and the next are alike it saves none. Affinities, errors and
            the order of the matches are then those of the probes seen.
        rerank : str, FeatureMethod or False, optional
            Find the nearest by their maps, and order them by this method, the zoo's `rerank`:
            affinities, errors and ties are then its own. A directional method asks how well each
            source suits the target. Left out, a zoo that has one does so, except for what has no
            features: maps, a network that was added as maps, and `stop`. False: in the order of
            the maps.
        finalists : int, optional
            How many are re-ranked: four times `k`, and at least 20, if left out.
        batch_size, device, precision, compile, scratch
            As for `pyattrx.affinity`.

        Returns
        -------
        Matches
            A list of `Match`.

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; no network has this name.
        ZooMismatch
            The target's maps have another size than the zoo's; a network that is to be re-ranked
            was added as maps.
        EncoderError, NonFiniteError
            As for `pyattrx.affinity`.

        Warns
        -----
        ZooWarning
            An entry is damaged and was left out.
        """
        run = Run(batch_size, device, precision, compile)
        self._store.refresh()
        check_ranking(k, level)
        k = int(k)
        labels = check_tags(tags)
        stored = self._store.method(method)
        if exact and not self._store.keep_rows:
            raise InvalidValue("exact", exact, "False: this zoo keeps sketches only")
        if stop not in (None, "confident"):
            raise InvalidValue("stop", stop, "None or 'confident'")
        if stop is not None and not self._store.keep_rows:
            raise InvalidValue("stop", stop, "None: this zoo keeps sketches only")
        seen = (self._id(target, "target"), target) if isinstance(target, str) else target
        if not isinstance(seen, (tuple, Tensor, Encoder)):
            raise refused("target", target, "an Encoder, the name of a network in the zoo, or maps")

        def bare() -> bool:
            with suppress(ZooDamaged):  # told where its features are read
                return isinstance(seen, tuple) and not arrays_of(self._store.catalog.entry(seen[0]))
            return False

        count = check_rerank(self._store.features, rerank, finalists, stop, k, target, bare)
        allowed = np.array(self._store.catalog.ids(labels), np.int64) if labels else None
        question = Question(count or k, level, allowed, exact, run.description_options())
        search = self._searches.setdefault(stored.id, Search(self._store, stored))
        early = stop is not None
        asked = Asked(seen, k, level, question, early, count, run, scratch)
        answered, damaged = answer(self._store, stored, search, asked)
        if damaged and self._store.refresh():
            # Somebody gave the zoo more probes in between: what was missing is elsewhere now.
            answered, damaged = answer(self._store, stored, search, asked)
        answered.damaged = warn_damaged(self._store, damaged)
        return answered

    @neutrally
    def affinity(
        self,
        names: Sequence[str] | None = None,
        *,
        method: str | Method | FeatureMethod | None = None,
    ) -> Affinity:
        """Compute the affinities between networks of the zoo, as `pyattrx.affinity` does.

        Parameters
        ----------
        names : list of str, optional
            Which networks; all of them if left out.
        method : str, Method or FeatureMethod, optional
            One of the zoo's, or that of its re-ranking. Left out: that of its re-ranking, if it has
            one, else the first one.

        Returns
        -------
        Affinity

        Raises
        ------
        InvalidValue
            No network has one of the names; the zoo is empty, or keeps sketches only.
        ZooDamaged
            One of the networks is damaged.
        ZooMismatch
            One of the networks was added as maps, and features are asked for.
        EntryGone
            One of the networks was removed by another process meanwhile.
        """
        self._store.refresh()
        store = self._store
        features = store.features
        by_features = features is not None and (method is None or features.is_meant(method))
        stored = features if by_features and features is not None else store.method(method)
        if not by_features and not store.keep_rows:
            raise InvalidValue("keep_rows", False, "a zoo that keeps rows")
        chosen = self.names if names is None else list(names)
        if not chosen:
            raise InvalidValue("names", chosen, "at least one network")
        if len(set(chosen)) < len(chosen):
            raise InvalidValue("names", chosen, "different names")
        numbers = [self._id(name, "names") for name in chosen]
        return stored_affinity(store, stored, numbers, chosen)

    @neutrally
    def fidelity(
        self,
        encoders: Iterable[Source] = (),
        *,
        method: str | Method | None = None,
        networks: int = 8,
        probes: int = 64,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        trust: bool = False,
    ) -> Fidelity:
        """Measure what pixel subset and storage do to affinities, against whole maps.

        Parameters
        ----------
        encoders : iterable of Encoder, str or callable
            Networks to measure it with. If left out, some of the zoo's that it can load again,
            chosen at random.
        method : str or Method, optional
            One of the zoo's; the first one if left out.
        networks : int
            How many of the zoo's to load, at least 2.
        probes : int
            How many of the zoo's probes to use, at most; the first ones.
        batch_size, device
            As for `pyattrx.affinity`.
        trust : bool
            Load exported programs, which may execute code.

        Returns
        -------
        Fidelity

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; fewer than two networks can be loaded.
        EncoderError, NonFiniteError
            As for `pyattrx.affinity`.

        Warns
        -----
        ZooWarning
            Networks that were chosen cannot be loaded; others took their places.
        """
        run = Run(batch_size, device, "float32")
        stored = self._store.method(method)
        sources = check_encoders(encoders)
        for name, value, least in (("networks", networks, 2), ("probes", probes, 1)):
            if not_integer(value) or value < least:
                raise InvalidValue(name, value, f"an integer of at least {least}")
        if not sources:
            known = [e.name for e in self.entries() if e.specification and "maps" not in e.facts]
            load = functools.partial(self.load, trust=trust)
            sources = [functools.partial(load, one) for one in loadable(known, networks, load)]
        if len(sources) < 2:
            raise InvalidValue(
                "encoders", encoders, "two or more networks: the zoo can load fewer by itself"
            )
        seen = self.probes.head(min(probes, len(self.probes)))
        return measure(sources, seen, stored.method, run)

    def __repr__(self) -> str:
        if self._closed:
            return f"Zoo({str(self.path)!r}, closed)"
        methods = "; ".join(stored.name for stored in self._store.methods)
        return (
            f"Zoo({str(self.path)!r}, {len(self)} networks, {len(self.probes)} probes, "
            f"method: {methods})"
        )

    # Inside

    @property
    def _store(self) -> Store:
        if self._closed:
            raise ZooError(f"{self.path}: the zoo is closed")
        return self._opened

    def _entry(self, number: int) -> Entry:
        row = self._store.catalog.entry(number)
        return Entry(
            row.name,
            self._store.catalog.tags_of(number),
            row.facts.get("specification"),
            row.facts.get("weights_hash"),
            row.created,
            row.facts.get("zero_maps", {}),
            row.facts,
        )

    def _id(self, name: Any, argument: str = "name") -> int:
        if not isinstance(name, str):
            raise InvalidType(argument, name, "the name of a network in the zoo")
        number = self._number(name)
        if number is None:
            near = difflib.get_close_matches(name, self.names[:10000], n=3, cutoff=0.3)
            hint = f", for example {', '.join(map(repr, near))}" if near else ""
            raise InvalidValue(argument, name, f"a network in the zoo ({len(self)}){hint}")
        return number

    def _number(self, name: str) -> int | None:
        """Number of an entry; None where no network has this name."""
        return self._store.catalog.id_of(name) if encodable(name) else None

    def _outside(self) -> list[str]:
        return [name for m in self._store.methods for name in Method.imports(m.method.to_dict())]
