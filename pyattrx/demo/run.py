"""The demo: which of seven real networks to start from, for real images; then a zoo of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyattrx import report
from pyattrx.affinities import Affinity
from pyattrx.demo.known import KnownZoo, rank_known
from pyattrx.demo.networks import DemoNetwork, demo_networks
from pyattrx.demo.photos import demo_faces, demo_photos
from pyattrx.encoders import Encoder, Normalize
from pyattrx.errors import EncoderError, InvalidValueError, ZooMismatchError
from pyattrx.methods import AttributionMaps, Method
from pyattrx.probes import Probes
from pyattrx.questions import explain, layers
from pyattrx.recommending import Recommendation, recommend
from pyattrx.tasks import Task
from pyattrx.zoo import Matches, Zoo

__all__ = ["METHODS", "Demo", "make_encoder", "run"]

# The published form, and the one whose scalar does not depend on the basis of the output.
METHODS = {
    "grad_x_input": Method("grad_x_input"),
    "saliency_half_squared_norm": Method("saliency", scalar="half_squared_norm"),
}
_GALLERY_PHOTOS = 4
_LAYER = "blocks.11"  # of the first network
_STAGES = ("bn0", "blocks.4", "blocks.11", "blocks.14", "pool")  # of the same
_FACES, _FACE_SIZE = 30, 96  # of each class; height and width

Say = Callable[[str], None]


@dataclass
class Demo:
    """What the demo made.

    Attributes
    ----------
    networks : list of DemoNetwork
    probes : Probes
    affinities : dict of str to Affinity
        By the names in `METHODS`.
    files : list of Path
        Pictures.
    zoo : Path
        Where the networks are kept; another run goes on from there.
    matches : Matches
        The nearest sources of the first network, asked of the zoo on disk.
    known : KnownZoo
        The shipped networks whose transfers have been measured, ranked.
    recommendation : Recommendation
        The networks, for telling faces from other pictures.
    seconds : dict of str to float
        By stage.
    """

    networks: list[DemoNetwork]
    probes: Probes
    affinities: dict[str, Affinity] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    zoo: Path | None = None
    matches: Matches | None = None
    known: KnownZoo | None = None
    recommendation: Recommendation | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self, k: int = 3) -> dict[str, Any]:
        """Return JSON types, with each network's k nearest sources."""
        return {
            "networks": [
                {"name": n.name, "task": n.task, "package": n.package, "licence": n.licence}
                for n in self.networks
            ],
            "recommendation": (
                None if self.recommendation is None else self.recommendation.to_dict()
            ),
            "affinities": {
                name: {
                    **result.to_dict(),
                    "pairs_that_differ_from_zero": result.differing_pairs()[0],
                    "nearest": {
                        target: [match.to_dict() for match in result.nearest(target, k)]
                        for target in result.names
                    },
                }
                for name, result in self.affinities.items()
            },
            "files": [str(path) for path in self.files],
            "zoo": None if self.zoo is None else str(self.zoo),
            "query": None if self.matches is None else self.matches.to_dict(),
            "known": None if self.known is None else self.known.to_dict(),
            "seconds": self.seconds,
        }


def run(
    out: str | Path,
    *,
    crops: int = 6,
    size: int = 160,
    batch_size: int = 8,
    device: str | None = None,
    say: Say = lambda line: None,
) -> Demo:
    """Rank the demo networks for a task, compare them over photos, and draw what comes out.

    Parameters
    ----------
    out : path
        Folder for the pictures; made if need be.
    crops : int
        Probes cut from each photo, at least 1.
    size : int
        Height and width of a probe, at least 64.
    batch_size : int
        Images in one pass.
    device : str, optional
        The GPU if there is one.
    say : callable
        Called with a line for each stage as it begins.

    Returns
    -------
    Demo

    Raises
    ------
    InvalidValueError
        For any argument.
    MissingDependencyError
        A package that carries weights, photos, or the drawing is not installed.
    """
    if size < 64:
        raise InvalidValueError("size", size, "at least 64: the networks halve it up to five times")
    report.require_matplotlib()
    out = Path(out)
    networks = demo_networks()
    stages: dict[str, float] = {}
    with _stage("which network to start from", stages, say):
        recommendation = _recommend(networks, out, batch_size, device)
    with _stage("photos", stages, say):
        photos = demo_photos()
        probes = Probes.from_images(
            [photo.image for photo in photos],
            size=size,
            crops=crops,
            names=[photo.name for photo in photos],
        )
    demo = Demo(networks, probes, recommendation=recommendation, seconds=stages)
    specifications = [specification(network) for network in networks]
    demo.zoo = out / f"zoo-{probes.hash[:8]}"
    with _stage(f"networks into the zoo {demo.zoo}", stages, say):
        out.mkdir(parents=True, exist_ok=True)
        with _zoo(demo.zoo, probes) as zoo:
            added = zoo.add_many(specifications, batch_size=batch_size, device=device)
            for name, reason in added.failed.items():
                raise EncoderError(f"network {name!r}: {reason}")
            for network in networks:
                zoo.tag(network.name, network.task)
            with _stage("affinities", stages, say):
                for name, method in METHODS.items():
                    demo.affinities[name] = zoo.affinity(
                        [network.name for network in networks], method=method
                    )
    with _stage("query", stages, say), Zoo.open(demo.zoo) as zoo:
        demo.matches = zoo.query(
            networks[0].name, k=3, method=METHODS["saliency_half_squared_norm"]
        )
    with _stage("networks whose transfers are known", stages, say):
        demo.known = rank_known(device=device)
    with _stage("pictures", stages, say):
        report.recommendation_figure(recommendation, path=out / "recommendation.png")
        drawn = [path for name, one in demo.affinities.items() for path in _draw(one, name, out)]
        demo.files += [out / "recommendation.png", *drawn, _gallery(demo, out / "gallery.png")]
    with _stage("why two of them are near", stages, say):
        demo.files.append(_why(demo, out / "why.png", batch_size, device))
    with _stage("from which layer to start", stages, say):
        demo.files.append(_which_layer(demo, out / "layers.png", batch_size, device))
    return demo


def _recommend(
    networks: list[DemoNetwork], out: Path, batch_size: int, device: str | None
) -> Recommendation:
    encoders = [make_encoder(network) for network in networks]
    return recommend(
        encoders,
        _faces(),
        batch_size=batch_size,
        device=device,
        cache=out / "features",
        on_error="raise",
    )


def _faces() -> Task:
    images, labels = demo_faces(_FACES)
    return Task.from_arrays(images, labels, size=_FACE_SIZE, name="faces or not")


def make_encoder(network: DemoNetwork) -> Encoder:
    """Make the encoder of a demo network."""
    return Encoder(
        network.build(),
        name=network.name,
        output=network.output,
        transform=Normalize(network.mean, network.std),
        input_size=network.input_size,
    )


def specification(network: DemoNetwork) -> str:
    """How a demo network is loaded by name."""
    return f"pyattrx.demo:{network.name.replace('-', '_')}"


def _zoo(folder: Path, probes: Probes) -> Zoo:
    """Open the demo's zoo, or make it."""
    if folder.exists() and any(folder.iterdir()):
        zoo = Zoo.open(folder)
        if zoo.methods == list(METHODS.values()) and zoo.probes.hash == probes.hash:
            return zoo
        raise ZooMismatchError(f"{folder}: another zoo; remove it or choose another --out")
    return Zoo.create(folder, probes, list(METHODS.values()))


def _draw(result: Affinity, name: str, out: Path) -> list[Path]:
    title = f"{result.provenance['method_name']}, {result.n_probes} probes"
    tree = result.tree()
    paths = [out / f"affinity_{name}.png", out / f"tree_{name}.png"]
    report.heatmap(
        result.values,
        result.names,
        stderr=result.stderr,
        order=tree.order,
        title=f"Affinity: {title}",
        path=paths[0],
    )
    report.tree_figure(tree, title=f"Tree: {title}", path=paths[1])
    return paths


def _gallery(demo: Demo, path: Path) -> Path:
    """Draw the maps of all networks over the first crop of a few photos."""
    method = METHODS["saliency_half_squared_norm"]
    groups = demo.probes.groups
    chosen = [
        int((groups == g).argmax()) for g in range(min(_GALLERY_PHOTOS, demo.probes.n_groups))
    ]
    images = torch.stack([demo.probes[i] for i in chosen])
    descriptor = AttributionMaps(method, demo.probes.size)
    maps = []
    for network in demo.networks:
        with make_encoder(network).prepare(torch.device("cpu"), images) as prepared:
            rows = descriptor.rows(prepared, images)
        maps.append(rows.view(len(images), *demo.probes.size).cpu())
    report.gallery(
        images.numpy(),
        torch.stack([m.float() for m in maps]).numpy(),
        [network.name for network in demo.networks],
        photo_names=[demo.probes.names[i] for i in chosen],
        title=f"Attribution maps: {method}",
        path=path,
    )
    return path


def _why(demo: Demo, path: Path, batch_size: int, device: str | None) -> Path:
    """Draw which channels of the first network carry its affinity to the second, a crop a photo."""
    first = np.unique(demo.probes.groups, return_index=True)[1]
    source, target = (make_encoder(network) for network in demo.networks[:2])
    found = explain(
        target,
        source,
        demo.probes.take(first),
        Method("grad_x_input", scalar="half_squared_norm"),
        _LAYER,
        batch_size=batch_size,
        device=device,
    )
    found.plot(path)
    return path


def _which_layer(demo: Demo, path: Path, batch_size: int, device: str | None) -> Path:
    """Draw from which layer of the first network faces are told best."""
    source = make_encoder(demo.networks[0])
    found = layers(
        source, labels=_faces(), at=_STAGES, batch_size=batch_size, device=device, cache=False
    )
    found.plot(path)
    return path


@contextmanager
def _stage(name: str, seconds: dict[str, float], say: Say) -> Iterator[None]:
    say(name)
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 2)
