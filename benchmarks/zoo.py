"""Zoos of a thousand to a million networks: what they cost, and whether they find the nearest.

Nobody has a million networks at hand. Sketches are made up in families, whose cosines follow those
measured among real networks and copies of them with changed weights (`families`), and put into a
zoo that keeps sketches only, in the same files and by the same code as `Zoo.add_maps` does. What is
timed is `Zoo.query` by name in a fresh process, from the call to the list of matches. Beside that,
every kind of index is timed alone, and a zoo that keeps rows is asked with and without them.
"""

from __future__ import annotations

import copy
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import pyattrx
from pyattrx.errors import InvalidValueError
from pyattrx.query import KINDS, SketchIndex, faiss_or_none
from pyattrx.storage import SKETCH, Addition, EntryRow

from .measure import Say, Settings, document, limited_threads, machine
from .results import results_path

__all__ = ["families", "run"]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SKETCH_SIZE = 4096
PROBES, SIDE = 256, 56  # 3136 pixels a map
MEMBERS = 50  # of a family, on average
QUERIES = 200
# Vectors up to which an exact index is built, for its time alone.
MOST_FLAT = 100_000
BLOCK = 2_000

# Measured by `families` with the networks of the demo: cosines of saliency maps (half the squared
# norm) between different networks, and between a network and its copies with weights changed by
# 1 to 30 % of their spread. `pyattrx bench zoo --families` measures them again.
BETWEEN = (0.59, 0.10)
WITHIN = (0.60, 0.99)


def run(
    settings: Settings,
    say: Say,
    sizes: tuple[int, ...] = SIZES,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure zoos of some sizes.

    Parameters
    ----------
    settings : Settings
    say : callable
    sizes : tuple of int
    before : dict, optional
        An earlier results document of this machine, whose cases of other sizes are kept.

    Returns
    -------
    dict
        The results document.

    Raises
    ------
    InvalidValueError
        `before` is of another machine.
    """
    here = machine()
    if before is not None and before["machine"]["cpu"] != here["cpu"]:
        raise InvalidValueError("before", before["machine"]["cpu"], f"results of {here['cpu']}")
    if settings.quick:
        sizes = (300, 1000)
    cases = []
    with limited_threads(settings.threads):
        for n in sizes:
            with tempfile.TemporaryDirectory(prefix="pyattrx-zoo-") as folder:
                cases.append(_measure(n, Path(folder) / "zoo", settings, say))
        if before is not None:
            cases += [case for case in before["cases"] if case["n"] not in sizes]
        with tempfile.TemporaryDirectory(prefix="pyattrx-zoo-") as folder:
            rows = _measure_rows(Path(folder) / "zoo", 100 if settings.quick else 1000, say)
    cases.sort(key=lambda case: int(case["n"]))
    return document("zoo", settings, cases=cases, rows=rows)


def _measure(n: int, path: Path, settings: Settings, say: Say) -> dict[str, Any]:
    say(f"zoo of {n}: filling")
    images = torch.rand(PROBES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    zoo = pyattrx.Zoo.create(
        path, pyattrx.Probes.from_tensor(images), pyattrx.Method("saliency"), keep_rows=False
    )
    first = _add_maps_ms(zoo, 5, "first")
    begun = time.perf_counter()
    _fill(zoo, n)
    filled = time.perf_counter() - begun
    last = _add_maps_ms(zoo, 20, "last")
    names = [
        f"n{index}" for index in np.random.default_rng(1).choice(n, min(n, QUERIES), replace=False)
    ]
    zoo.close()
    say(f"zoo of {n}: building the index")
    built = _in_a_new_process(path, names[:1], settings.threads)
    say(f"zoo of {n}: asking")
    asked = _in_a_new_process(path, names, settings.threads)
    say(f"zoo of {n}: comparing with all sketches")
    exact = _exact(path, names)
    say(f"zoo of {n}: kinds of index, alone")
    kinds = _kinds(path, names, exact, settings.threads)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {
        "name": f"zoo of {n}",
        "date": machine()["date"],
        "n": n,
        "kind": asked["kind"],
        "open_ms": asked["open_ms"],
        "build_s": built["first_query_ms"] / 1e3,
        "first_query_ms": asked["first_query_ms"],
        "p50_ms": asked["p50_ms"],
        "p99_ms": asked["p99_ms"],
        "recall_at_1": _recall(asked["answers"], exact, 1),
        "recall_at_5": _recall(asked["answers"], exact, 5),
        "kinds": kinds,
        "resident_mib": asked["resident_mib"],
        "peak_build_mib": built["peak_mib"],
        "disk_bytes": size,
        "index_bytes": sum(f.stat().st_size for f in path.glob("index/*")),
        "fill_us_each": 1e6 * filled / n,
        "add_maps_first_ms": first,
        "add_maps_last_ms": last,
        "queries": len(names),
        "candidates": {},  # every benchmark's cases have them
    }


def _recall(found: list[list[str]], exact: list[list[str]], k: int) -> float:
    shares = [len(set(a[:k]) & set(b[:k])) / k for a, b in zip(found, exact, strict=True)]
    return float(np.mean(shares))


def _kinds(
    path: Path, names: list[str], exact: list[list[str]], threads: int
) -> dict[str, dict[str, float]]:
    """Time every kind of index alone, and say which share of the five nearest it offers."""
    faiss = faiss_or_none()
    if faiss is None:
        return {}
    faiss.omp_set_num_threads(threads)
    found = {}
    with pyattrx.Zoo.open(path) as zoo:
        store = zoo._store
        ids = store.catalog.ids()
        known = store.catalog.names_of(ids)
        targets = [int(store.catalog.id_of(name) or 0) for name in names]
        queries = _stored(store, targets)

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, len(ids), BLOCK):
                yield _stored(store, ids[start : start + BLOCK])

        for kind in KINDS:
            if len(ids) > MOST_FLAT if kind == "flat" else len(ids) < KINDS["pq"]:
                continue
            begun = time.perf_counter()
            index = SketchIndex.build(ids, blocks, SKETCH_SIZE, kind=kind)
            built = time.perf_counter() - begun
            wanted = index.candidates(2 * 5 + 7)
            times, offered = [], []
            for query, target in zip(queries, targets, strict=True):
                at = time.perf_counter()
                ((near, _),) = index.search(query[None], wanted)
                times.append(1e3 * (time.perf_counter() - at))
                offered.append([known[int(number)] for number in near if number != target])
            shares = [np.isin(best, near).mean() for best, near in zip(exact, offered, strict=True)]
            found[kind] = {
                "build_s": built,
                "p50_ms": median(times),
                "p99_ms": float(np.quantile(times, 0.99)),
                "recall_at_5": float(np.mean(shares)),
            }
    return found


def _measure_rows(path: Path, n: int, say: Say) -> dict[str, Any]:
    """Ask a zoo that keeps rows: by sketches alone, as usual, and comparing everything."""
    say(f"zoo of {n} with rows: filling")
    images = torch.rand(PROBES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    method = pyattrx.Method("saliency", storage="float16")
    zoo = pyattrx.Zoo.create(path, pyattrx.Probes.from_tensor(images), method)
    generator = torch.Generator().manual_seed(0)
    count = max(1, n // MEMBERS)
    shape = (PROBES, SIDE * SIDE)
    common = torch.randn(shape, generator=generator)
    drawn = torch.randn(count, generator=generator) * BETWEEN[1] + BETWEEN[0]
    shares: list[float] = drawn.clamp(0.05, WITHIN[0] - 0.02).tolist()
    for index in range(n):
        family = index % count
        centre = torch.randn(shape, generator=torch.Generator().manual_seed(1000 + family))
        within = float(torch.empty(1).uniform_(*WITHIN, generator=generator))
        share = shares[family]
        own = (1 - within) ** 0.5 * torch.randn(shape, generator=generator)
        zoo.add_maps(f"n{index}", share**0.5 * common + (within - share) ** 0.5 * centre + own)
    say(f"zoo of {n} with rows: asking")
    names = [f"n{index}" for index in np.random.default_rng(1).choice(n, n // 20, replace=False)]
    times: dict[str, list[float]] = {"usual": [], "exact": []}
    answers: dict[str, list[list[str]]] = {"usual": [], "exact": []}
    zoo.query(names[0])
    for name in names:
        for how, taken in times.items():
            at = time.perf_counter()
            matches = zoo.query(name, k=5, exact=how == "exact")
            taken.append(1e3 * (time.perf_counter() - at))
            answers[how].append([match.name for match in matches])
    by_sketch = _exact(path, names)
    facts = {
        "n": n,
        "queries": len(names),
        "p50_ms": median(times["usual"]),
        "exact_p50_ms": median(times["exact"]),
    }
    for k in (1, 5):
        facts[f"recall_at_{k}"] = _recall(answers["usual"], answers["exact"], k)
        facts[f"recall_at_{k}_by_sketches"] = _recall(by_sketch, answers["exact"], k)
    zoo.close()
    return facts


def _add_maps_ms(zoo: pyattrx.Zoo, count: int, label: str) -> float:
    times = []
    generator = torch.Generator().manual_seed(len(zoo))
    for index in range(count):
        maps = torch.randn(PROBES, SIDE * SIDE, generator=generator).abs()
        begun = time.perf_counter()
        zoo.add_maps(f"{label} {index}", maps)
        times.append(1e3 * (time.perf_counter() - begun))
    return median(times)


def _fill(zoo: pyattrx.Zoo, n: int) -> None:
    """Add entries of ready sketches, many to a transaction."""
    store = zoo._store
    (method,) = store.methods
    done = 0
    for block in sketches(n):
        half = torch.from_numpy(block).half()
        with store.writing(0), store.addition() as shared:
            rows = []
            for index, row in enumerate(half, done):
                addition = Addition(store, shared.appender, index.to_bytes(16, "big"))
                addition.put_sketch(method, row)
                entry = EntryRow(addition.key, f"n{index}", "", "", {})
                rows.append((entry, addition.records))
            shared.appender.sync()
            with store.catalog.transaction():
                for entry, records in rows:
                    store.catalog.add(entry, (), records)
                store.catalog.note_segment(shared.appender.segment)
        done += len(block)


def sketches(n: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Sketches of n networks in families, block by block, float32 [b, 4096], of unit length.

    A member is a sum of what all networks share, what its family shares, and its own; the cosine
    of two members of a family is about ``sqrt(w v)`` with w and v uniform in `WITHIN`.
    """
    rng = np.random.default_rng(seed)
    count = max(1, n // MEMBERS)

    def unit(generator: np.random.Generator, rows: int) -> np.ndarray:
        draw = generator.standard_normal((rows, SKETCH_SIZE), np.float32)
        return np.asarray(draw / np.float32(SKETCH_SIZE**0.5), np.float32)

    common = unit(rng, 1)
    shares = np.clip(rng.normal(*BETWEEN, count), 0.05, WITHIN[0] - 0.02).astype(np.float32)
    for start in range(0, n, BLOCK):
        rows = min(BLOCK, n - start)
        own = np.random.default_rng([seed, 1, start])
        family = own.integers(0, count, rows)
        within = own.uniform(*WITHIN, (rows, 1)).astype(np.float32)
        share = shares[family][:, None]
        centres = np.concatenate([unit(np.random.default_rng([seed, 2, f]), 1) for f in family])
        rest = np.sqrt(1 - within) * unit(own, rows)
        yield np.sqrt(share) * common + np.sqrt(within - share) * centres + rest


def _in_a_new_process(path: Path, names: list[str], threads: int) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(_ask, (str(path), names, threads))
    return found


def _ask(path: str, names: list[str], threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    if (faiss := faiss_or_none()) is not None:
        faiss.omp_set_num_threads(threads)
    before = _resident_mib()
    begun = time.perf_counter()
    zoo = pyattrx.Zoo.open(path)
    opened = time.perf_counter()
    zoo.query(names[0], k=5)
    ready = time.perf_counter()
    times, answers = [], []
    for name in names:
        at = time.perf_counter()
        matches = zoo.query(name, k=5)
        times.append(1e3 * (time.perf_counter() - at))
        answers.append([match.name for match in matches])
    return {
        "open_ms": 1e3 * (opened - begun),
        "first_query_ms": 1e3 * (ready - opened),
        "p50_ms": median(times),
        "p99_ms": float(np.quantile(times, 0.99)),
        "answers": answers,
        "resident_mib": _resident_mib() - before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before,
        "kind": zoo.describe()["index"]["saliency"],
    }


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _exact(path: Path, names: list[str], k: int = 5) -> list[list[str]]:
    """The nearest by all sketches as they are stored."""
    with pyattrx.Zoo.open(path) as zoo:
        store = zoo._store
        ids = store.catalog.ids()
        targets = [store.catalog.id_of(name) for name in names]
        vectors = _stored(store, [int(t) for t in targets if t is not None])
        best = np.full((len(names), k), -np.inf, np.float32)
        who = np.zeros((len(names), k), np.int64)
        for start in range(0, len(ids), 8192):
            some = ids[start : start + 8192]
            scores = vectors @ _stored(store, some).T
            scores[np.array(targets)[:, None] == np.array(some)] = -np.inf
            both = np.concatenate([best, scores], axis=1)
            place = np.argpartition(-both, k - 1, axis=1)[:, :k]
            numbers = np.concatenate([who, np.tile(some, (len(names), 1))], axis=1)
            best = np.take_along_axis(both, place, axis=1)
            who = np.take_along_axis(numbers, place, axis=1)
        order = np.argsort(-best, axis=1)
        who = np.take_along_axis(who, order, axis=1)
        known = store.catalog.names_of(np.unique(who).tolist())
        return [[known[int(number)] for number in row] for row in who]


def _stored(store: Any, ids: list[int]) -> np.ndarray:
    found = store.catalog.records(ids, store.methods[0].id, SKETCH)
    return np.stack([store.sketch(found[number]) for number in ids])


def families(say: Say) -> dict[str, Any]:
    """Measure the cosines that the made-up families follow, among real networks and their copies.

    Returns
    -------
    dict
        Mean and spread between networks, and the cosine of a network to a changed copy, by how much
        its weights were changed.
    """
    from pyattrx.demo.networks import demo_networks
    from pyattrx.demo.photos import demo_photos
    from pyattrx.demo.run import make_encoder

    photos = demo_photos()
    probes = pyattrx.Probes.from_images([photo.image for photo in photos], size=96, crops=2)
    method = pyattrx.Method("saliency", scalar="half_squared_norm", pixels=3136)
    encoders = []
    changes = (0.01, 0.03, 0.1, 0.3)
    for network in demo_networks():
        encoder = make_encoder(network)
        encoders.append(encoder)
        for change in changes:
            other = copy.copy(encoder)
            other.module = copy.deepcopy(encoder.module)
            generator = torch.Generator().manual_seed(0)
            for value in other.module.parameters():
                noise = torch.randn(value.shape, generator=generator)
                value.data += change * value.data.std(correction=0) * noise
            other.name = f"{encoder.name} {change}"
            encoders.append(other)
    say(f"families: {len(encoders)} networks")
    values = pyattrx.affinity(encoders, probes, method, batch_size=8).values
    step = len(changes) + 1
    originals = values[::step, ::step]
    between = originals[np.triu_indices(len(originals), 1)]
    return {
        "between_mean": float(between.mean()),
        "between_std": float(between.std()),
        "within": {
            str(change): [float(values[i, i + 1 + at]) for i in range(0, len(values), step)]
            for at, change in enumerate(changes)
        },
        "results": str(results_path("zoo")),
    }
