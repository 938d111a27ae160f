"""The zoo: networks added once, asked about for ever."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from pyattrx._ambient import neutrally
from pyattrx._scratch import ScratchFolder
from pyattrx.affinities import Affinity
from pyattrx.encoders import Encoder
from pyattrx.methods import FeatureMethod, Method
from pyattrx.probes import Probes
from pyattrx.query import (
    Asked,
    Candidates,
    Matches,
    Options,
    Query,
    Several,
    answer,
    stored_affinity,
)
from pyattrx.running import Source
from pyattrx.storage import Entry, Report, Run, Store, check_path, check_wait, create
from pyattrx.workers import Workers, engine_of
from pyattrx.zoo.adding import add_all, add_given, add_one
from pyattrx.zoo.elsewhere import add_elsewhere
from pyattrx.zoo.fidelity import Fidelity, fidelity
from pyattrx.zoo.growing import grow
from pyattrx.zoo.loading import load_named
from pyattrx.zoo.merging import merge
from pyattrx.zoo.opened import OpenZoo

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Zoo"]


class Zoo(OpenZoo):
    """Networks on disk, as their attribution maps over one set of probes.

    Made by `create` or `open`. A network is added once; afterwards a query costs one network's
    backward passes. Many processes may read a zoo while one writes to it.

    Parameters that many methods have: `tags`, a string or a list of them; `replace`, whether a
    network of the same name gives way; `trust`, whether to load programs that may execute code;
    how networks are run, as for `pyattrx.affinity`, with its errors.

    Every method raises InvalidValueError or InvalidTypeError for a wrong argument, such as a name
    that no network has, and ZooDamagedError for what is not as it was written. What writes raises
    ZooLockedError where another process is writing, and ZooError where the zoo cannot be written (a
    full disk, ...): then nothing was added.

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
    >>> [matches.target for matches in zoo.query(["a", "torch.nn:Identity"])]
    ['a', 'torch.nn:Identity']
    >>> zoo.verify().ok
    True
    >>> zoo.close(); folder.cleanup()
    """

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
            Numbers in a sketch, a multiple of 1024, up to 65536; its error is 1 / sqrt of that.
        seed : int
            Of the sketches, at least 0.
        rerank : str or FeatureMethod, optional
            Keep of every network what this method compares, too, and answer in its order (see
            `query`): one or two matrices of N x N, 8 bytes a number, or the features themselves
            for "normalized_ridge" and "perturbation_response".
        wait
            See `open`.
        """
        waiting = check_wait(wait)
        return cls(create(path, probes, method, keep_rows, sketch_size, seed, rerank), waiting)

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
            Import the code that a method of one's own refers to; an UntrustedError without.
        """
        return cls(Store(check_path(path), trust=trust), check_wait(wait))

    @neutrally
    def load(self, name: str, *, trust: bool = False) -> Encoder:
        """Load a network again, by its specification, and compare it with the one that was added.

        It is named as in the zoo. A ZooMismatchError says that it was added without a
        specification, or as maps, or that its weights, preprocessing or output are others by now.

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
        return load_named(self._store, name, trust=trust)

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
        """Add a network, or what one specification stands for; it is on disk when this returns.

        Without `replace` the same network is left as it is (and gets the tags), and another one of
        its name is an error.
        """
        run = Run(batch_size, device, precision, compile)
        return add_one(self._store, encoder, tags, replace, run, wait=self._wait)

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
        workers: Workers = None,
    ) -> Report:
        """Add networks (as for `pyattrx.affinity`) one by one; each is on disk before the next.

        Those that are there are skipped: the same call goes on where it was interrupted. One that
        fails is reported and does not stop the rest. Of those added none gives way to another.
        `workers` run them as for `pyattrx.affinity`, and this process writes.
        """
        run = Run(batch_size, device, precision, compile)
        engine = engine_of(workers, run.device, any_device=run.any_device)
        add = add_all if engine is None else partial(add_elsewhere, engine)
        return add(self._store, encoders, tags, replace, run, wait=self._wait)

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
        """Add a network whose maps were computed elsewhere; queries cannot re-rank it.

        Parameters
        ----------
        name : str
        maps : Tensor [N, D], or a mapping of one to every method's name
            One finite row for each of the zoo's probes, of any scale, before they are rounded for
            storage: what the method leaves of a map, pixel subset and all.
        tags, replace
            As for `add`.
        facts : mapping, optional
            What is to be known about the network, as JSON types. ``specification`` says how it can
            be loaded. What the zoo says itself cannot be said: "features_kept", "maps",
            "zero_maps".
        """
        return add_given(self._store, name, maps, tags, replace, facts, wait=self._wait)

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
        workers: Workers = None,
    ) -> Report:
        """Let every network see more probes: only the new ones are computed.

        All of them count from one moment on, when every network has seen them. Until then, and
        wherever this is interrupted, the zoo is the one that it was; the same call goes on where it
        stopped. With any network in `failed`, nothing has changed unless `drop` is given, and a
        ZooWarning says so. Precision and compilation are those that a network was added with.

        Parameters
        ----------
        probes : Probes
            The zoo's, then new ones: the same `Probes.from_folder` with a larger limit.
        encoders : iterable of Encoder, str or callable
            Networks that the zoo cannot load by itself, by their names in the zoo.
        drop : bool
            Remove networks that cannot be run on the new probes.
        batch_size, device, trust
            See `Zoo`.
        workers
            See `add_many`.
        """
        run = Run(batch_size, device, "float32")
        how: dict[str, Any] = {"drop": drop, "trust": trust, "workers": workers}
        return grow(self._store, probes, encoders, run, **how, wait=self._wait)

    @neutrally
    def merge(self, other: Zoo | str | os.PathLike[str]) -> Report:
        """Add all networks of another zoo, or of that in a folder, without running any.

        A ZooMismatchError says where probes, methods or kind of sketches differ. Networks that are
        here already are skipped, and get the tags that they have there. Those that are damaged, or
        have the name of another network here, are among the failed.
        """
        if isinstance(other, Zoo):
            return merge(self._store, other._store, wait=self._wait)
        # What this zoo imports already is no new risk; anything else is.
        with Zoo(Store(check_path(other), trust=self._store.references), 0.0) as opened:
            return merge(self._store, opened._store, wait=self._wait)

    # Asking

    @overload
    def query(self, target: Asked, k: int = 5, **options: Unpack[Options]) -> Matches: ...
    @overload
    def query(self, target: Several, k: int = 5, **options: Unpack[Options]) -> list[Matches]: ...
    @neutrally
    def query(
        self,
        target: Asked | Several,
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
        scratch: ScratchFolder = None,
        trust: bool = False,
    ) -> Matches | list[Matches]:
        """Find the nearest sources of a target, or of each of several.

        Parameters
        ----------
        target : Encoder, str or Tensor [N, D], or a list of them
            A network; the name of one in the zoo, which is not among its own matches, or else a
            specification (see `pyattrx.load`); or maps, as for `add_maps`. Each of several is
            answered as it would be alone, and what is read of the zoo serves all of them.
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
            Show a network that is not in the zoo the probes in rounds, and stop as soon as it is
            settled, with confidence `level`, which k networks all would put first (docs/zoo.md).
            Affinities, errors and order are then those of the probes seen.
        rerank : str, FeatureMethod or False, optional
            Find the nearest by their maps, and order them by this method, the zoo's `rerank`:
            affinities, errors and ties are then its own. A directional method asks how well each
            source suits the target. Left out, a zoo that has one does so, except for maps, networks
            added as maps, and `stop`, which have no features. False: in the order of the maps.
        finalists : int, optional
            How many are re-ranked: four times `k`, and at least 20, if left out.
        batch_size, device, precision, compile, scratch, trust
            See `Zoo`.

        Returns
        -------
        Matches, or a list of them in the order of the targets
            Each a list of `Match`. Damaged entries are left out, with a ZooWarning.

        Raises
        ------
        ZooMismatchError
            A target's maps have another size than the zoo's; a network that is to be re-ranked was
            added as maps.
        """
        asked = dict(locals())
        store = asked.pop("self")._store
        store.refresh()
        query = Query.of(store, self.limits, **asked)
        fresh = Candidates(store, query.method, self.limits)
        found = answer(store, self._candidates.setdefault(query.method.id, fresh), query)
        return found if isinstance(target, (list, tuple)) else found[0]

    @neutrally
    def affinity(
        self,
        names: Sequence[str] | None = None,
        *,
        method: str | Method | FeatureMethod | None = None,
    ) -> Affinity:
        """Compute affinities between networks of the zoo, as `pyattrx.affinity` does.

        Parameters
        ----------
        names : list of str, optional
            Which networks; all of them if left out.
        method : str, Method or FeatureMethod, optional
            One of the zoo's, or that of its re-ranking, which it is, if there is one, when left
            out (a ZooMismatchError where a network was added as maps); else the first one.
        """
        self._store.refresh()
        return stored_affinity(self._store, names, method)

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
            chosen at random; those that it cannot are replaced, with a ZooWarning.
        method : str or Method, optional
            One of the zoo's; the first one if left out.
        networks, probes : int
            How many of the zoo's networks to load, at least 2, and of its probes, the first ones,
            to use at most.
        batch_size, device, trust
            See `Zoo`.
        """
        run = Run(batch_size, device, "float32")
        return fidelity(self._store, encoders, method, networks, probes, run, trust=trust)
