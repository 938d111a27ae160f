"""How good is a ranking when the target's own network saw only the images of one transfer?

For every target `pyattrx.fit_target` trains an encoder on the first 320 of the images that
transfers learn from, and the sources are ranked for it. The truth is the same as ever.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pyattrx import Encoder, Normalize, fit_target
from pyattrx._files import atomic_write
from pyattrx.fitting import Kind, SmallEncoder

from ..minitaskonomy.data import Data, to_tensor
from ..minitaskonomy.jobs import Say
from ..minitaskonomy.presets import Preset
from ..minitaskonomy.tasks import TARGETS, TASKS, Task
from .describe import describe, read
from .networks import one_architecture
from .probes import make_probes
from .scores import described_folder, fitted_run, score, score_file, write_scores

__all__ = ["compute_fitted", "fit"]

_SEED = 2019


def fit(folder: Path, preset: Preset, target: str) -> Encoder:
    """Train the encoder of a target on the images of one transfer, or load it."""
    file = folder / "fitted" / f"{target}.safetensors"
    if not file.is_file():
        data, task = Data(folder, preset), TASKS[target]
        images = to_tensor(np.asarray(data.images("transfer")[: preset.subset]))
        if task.corrupt is not None:
            generator = torch.Generator().manual_seed(_SEED)
            images = task.corrupt(images, generator).clamp(0, 1)
        labels = data.labels(task, "transfer")[: preset.subset]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that little was learnt is in the report
            made = fit_target(images, labels, task=_kind(task), name=target, seed=_SEED)
        assert isinstance(made.transform, Normalize)
        facts = {"mean": made.transform.mean, "std": made.transform.std,
                 "report": made.report.to_dict()}  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file.with_suffix(".json")) as out:
            out.write(json.dumps(facts, indent=2, default=list).encode())
        weights: dict[str, Tensor] = made.module.state_dict()
        with atomic_write(file) as out:
            out.write(save({key: value.contiguous() for key, value in weights.items()}))
    network = SmallEncoder()
    network.load_state_dict(load_file(file))
    facts = json.loads(file.with_suffix(".json").read_text())
    normalize = Normalize(facts["mean"], facts["std"])
    return Encoder(network.eval(), target, transform=normalize, input_size=64)


def _kind(task: Task) -> Kind:
    if task.loss == "cross_entropy":
        return "dense_classification" if task.dense else "classification"
    return "dense_regression" if task.dense else "regression"


def compute_fitted(
    folder: Path,
    preset: Preset,
    seed: int,
    kind: str,
    root: Path,
    say: Say,
    methods: Sequence[str],
    targets: Sequence[str] = TARGETS,
) -> list[Path]:
    """Score all sources for the fitted targets; files that are there stay.

    Parameters
    ----------
    folder, preset, seed, kind, root, say
        As for `scores.compute_scores`, which has described the sources.
    methods : sequence of str
        Names in `BASE`.
    targets : sequence of str
        Tasks.

    Returns
    -------
    list of Path
    """
    files = {name: score_file(root, fitted_run(seed), kind, name) for name in methods}
    missing = [name for name, file in files.items() if not file.is_file()]
    if not missing:
        return []
    probes = make_probes(kind, folder, preset)
    groups = np.asarray(probes.groups)
    of_fitted = folder / "descriptors" / "fitted" / kind
    for target in targets:
        made = describe(fit(folder, preset, target), probes, of_fitted / target, missing)
        if made:
            say(f"fitted {target}, {kind}: {', '.join(made)}")
    sources = one_architecture(seed, tuple(TASKS))
    for name in missing:
        kept = [read(of_fitted / target, name) for target in targets]
        kept += [read(described_folder(folder, n, kind), name) for n in sources.members]
        values = score(name, kept, groups).values[: len(targets), len(targets) :]
        write_scores(files[name], values, targets, sources.labels)
        say(f"wrote {files[name]}")
    return [files[name] for name in missing]
