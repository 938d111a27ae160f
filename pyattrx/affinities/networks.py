"""The networks of a run, one after another: in this process, or by workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch

from pyattrx._progress import progress
from pyattrx.affinities.kept import Kept
from pyattrx.affinities.scoring import Plan
from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidValueError
from pyattrx.probes import Probes
from pyattrx.running import Described, Description, Failures, Source, beside, one_by_one
from pyattrx.workers import Engine, Job, Shared, check_method, check_sendable, described

__all__ = ["Known", "run_elsewhere", "run_here"]

# By the name of each network: what is known of it, and how many zero maps it has.
Known = dict[str, tuple[dict[str, Any], int]]


def run_here(
    sources: Iterable[Source],
    probes: Probes,
    plan: Plan,
    kept: Kept,
    failures: Failures,
    options: dict[str, Any],
) -> Known:
    """Run networks one after another."""
    known: Known = {}
    count = len(sources) if isinstance(sources, list) else None
    for label, load in one_by_one(sources):
        encoder = None
        with failures.noted(label):
            encoder = load()
        if encoder is None:
            continue
        _check_new(encoder.name, known)
        of = f" ({len(known) + len(failures.found) + 1} of {count})" if count else ""
        with failures.noted(encoder.name):
            started = time.perf_counter()
            network = Description(encoder, probes, plan.maps, label=encoder.name + of, **options)
            with beside(encoder.describe, options["device"]) as told:  # it reads all weights
                facts = kept.add(network, encoder.name)
            known[encoder.name] = _facts(told(), facts, network, started), kept.zeros(network)
        if encoder.name not in known:
            kept.keep_first(len(known))
    return known


def run_elsewhere(
    engine: Engine,
    sources: Sequence[Source] | Iterator[Source],
    probes: Probes,
    plan: Plan,
    kept: Kept,
    failures: Failures,
    options: dict[str, Any],
) -> Known:
    """Let workers run networks; what they find is kept in the order of the networks."""
    check_method(engine, plan.method)
    count = None
    if isinstance(sources, list):
        check_sendable(engine, "encoders", sources)
        count = len(sources)
    known: Known = {}
    jobs = (Job(label, load) for label, load in one_by_one(sources))
    shared = Shared(probes, (plan, {key: v for key, v in options.items() if key != "device"}))
    with (
        closing(engine.run(_run, shared, jobs)) as outcomes,
        progress(f"networks, by {engine.count} workers", count) as step,
    ):
        for outcome in outcomes:
            if outcome.answer.name is not None:
                _check_new(outcome.name, known)
            with failures.noted(outcome.name):
                network, facts = outcome.get()
                found = kept.add(network, outcome.name)
                known[outcome.name] = {**facts, **found}, kept.zeros(network)
            if outcome.name not in known:
                kept.keep_first(len(known))
            step(1)
    return known


def _run(
    shared: Shared, load: Callable[[], Encoder], device: torch.device
) -> tuple[str, Callable[[], Any]]:
    """Run a network in a worker."""
    encoder = load()
    plan, options = shared.what

    def run() -> tuple[Described, dict[str, Any]]:
        started = time.perf_counter()
        network = Description(encoder, shared.probes, plan.maps, device=device, **options)
        found = described(network, plan.sets, np.arange(len(shared.probes)))
        return found, _facts(encoder.describe(), {}, found, started)

    return encoder.name, run


def _check_new(name: str, known: Known) -> None:
    if name in known:
        raise InvalidValueError("encoders", name, "networks with different names")


def _facts(
    told: dict[str, Any], found: dict[str, Any], network: Described, started: float
) -> dict[str, Any]:
    """What is known of a network, as JSON types."""
    seconds = round(time.perf_counter() - started, 3)
    return {**told, **found, **_observed(network), "seconds": seconds}


def _observed(network: Described) -> dict[str, Any]:
    """What was seen of a network while it ran."""
    facts: dict[str, Any] = {
        "precision": network.effects.of_precision,
        "compile": network.effects.of_compile,
        "untrained": network.untrained,
    }
    noise = max((checks.noise for checks in network.checks), default=0)
    exact = max((checks.exact for checks in network.checks), default=0)
    if noise:
        facts["noise_maps"] = noise
    if exact:
        facts["exact_maps"] = exact
    if network.features_in is not None:
        facts["features_in"] = network.features_in
    return {**facts, **network.how}
