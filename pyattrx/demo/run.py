"""The demo: real pretrained networks, real photos, two methods, pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pyattrx import report
from pyattrx.affinities import Affinity, affinity
from pyattrx.demo.networks import DemoNetwork, demo_networks
from pyattrx.demo.photos import demo_photos
from pyattrx.descriptors import AttributionMaps, Method
from pyattrx.encoders import Encoder, Normalize
from pyattrx.errors import InvalidValue
from pyattrx.probes import Probes

__all__ = ["METHODS", "Demo", "run"]

# The published form, and the one whose scalar does not depend on the basis of the output.
METHODS = {
    "grad_x_input": Method("grad_x_input"),
    "saliency_half_squared_norm": Method("saliency", scalar="half_squared_norm"),
}
_GALLERY_PHOTOS = 4

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
    seconds : dict of str to float
        By stage.
    """

    networks: list[DemoNetwork]
    probes: Probes
    affinities: dict[str, Affinity] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self, k: int = 3) -> dict[str, Any]:
        """Return JSON types, with each network's k nearest sources."""
        return {
            "networks": [
                {"name": n.name, "task": n.task, "package": n.package, "licence": n.licence}
                for n in self.networks
            ],
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
    """Compare the demo networks over crops of the demo photos and draw what comes out.

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
    InvalidValue
        For any argument.
    MissingDependency
        A package that carries weights, photos, or the drawing is not installed.
    """
    if size < 64:
        raise InvalidValue("size", size, "at least 64: the networks halve it up to five times")
    report.require_matplotlib()
    out = Path(out)
    networks = demo_networks()
    stages: dict[str, float] = {}
    with _stage("photos", stages, say):
        photos = demo_photos()
        probes = Probes.from_images(
            [photo.image for photo in photos],
            size=size,
            crops=crops,
            names=[photo.name for photo in photos],
        )
    demo = Demo(networks, probes, seconds=stages)
    sources = [lambda network=network: _encoder(network) for network in networks]
    for name, method in METHODS.items():
        with _stage(f"affinity, {method}", stages, say):
            demo.affinities[name] = affinity(sources, probes, method, batch_size, device)
    with _stage("pictures", stages, say):
        for name, result in demo.affinities.items():
            demo.files += _draw(result, name, out)
        demo.files.append(_gallery(demo, out / "gallery.png"))
    return demo


def _encoder(network: DemoNetwork) -> Encoder:
    return Encoder(
        network.build(),
        name=network.name,
        output=network.output,
        transform=Normalize(network.mean, network.std),
        input_size=network.input_size,
    )


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
        with _encoder(network).prepare(torch.device("cpu"), images) as prepared:
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


@contextmanager
def _stage(name: str, seconds: dict[str, float], say: Say) -> Iterator[None]:
    say(name)
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 2)
