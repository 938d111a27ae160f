"""``pyattrx maps``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from pyattrx import report
from pyattrx._help import examples
from pyattrx.affinities import attribute
from pyattrx.cli import options
from pyattrx.cli.output import console, print_json
from pyattrx.cli.places import check_specifications, check_there, make_pictures_folder
from pyattrx.encoders import load
from pyattrx.errors import InvalidValueError, ProbeError
from pyattrx.methods import Method
from pyattrx.photos import open_photo
from pyattrx.probes import Probes
from pyattrx.running import check_batch_size, resolve_device

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "maps",
        **examples(
            "pyattrx maps timm:resnet18 cat.jpg dog.jpg --out maps",
            "pyattrx maps my.py:network photos/*.jpg --method saliency --size 160 --out maps",
        ),
    )(maps_command)


def maps_command(
    specification: Annotated[
        str, typer.Argument(metavar="SPEC", help="The network, as for affinity.")
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of the pictures; made if need be.")
    ],
    size: options.Size = 224,
    method: options.MethodName = "grad_x_input",
    scalar: options.ScalarName = "mean",
    reduce: Annotated[
        str, typer.Option(help="Channels: mean, abs_mean.", rich_help_panel=options.METHOD)
    ] = "mean",
    center: options.Center = False,
    steps: options.Steps = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the attribution maps of a network: each image, and beside it what its answer is from.

    Images are cut to a square in the middle, and resized.
    """
    options.be_quiet(quiet)
    options.set_threads(threads)
    if reduce == "none":
        raise InvalidValueError("reduce", reduce, "mean or abs_mean: one map an image")
    chosen = Method(method, scalar=scalar, reduce=reduce, center=center, steps=steps)
    check_batch_size(batch_size)
    place = resolve_device(device)
    check_specifications([specification])
    for path in images:
        check_there("IMAGE", path, "image file")
    make_pictures_folder("out", out)
    probes = Probes.from_images([_opened(path) for path in images], size=size, names=_names(images))
    encoder = load(specification, trust=trust)
    maps = attribute(encoder, probes, chosen, batch_size=batch_size, device=place).numpy()
    files = []
    for index, name in enumerate(probes.names):
        files.append(out / f"{name}.png")
        report.gallery(
            probes.images(index, index + 1).numpy(),
            maps[index][None, None],
            [encoder.name],
            title=f"{images[index].name}: {chosen}",
            path=files[-1],
        )
    zero = [str(path) for path, one in zip(images, maps, strict=True) if not one.any()]
    if as_json:
        print_json(
            {
                "network": encoder.name,
                "method": str(chosen),
                "images": [str(path) for path in images],
                "files": [str(path) for path in files],
                "zero_maps": zero,
            }
        )
        return
    for image in zero:
        console().print(f"{image}: its map is all zero")
    for file in files:
        console().print(f"wrote {file}")


def _opened(path: Path) -> Image.Image:
    try:
        return open_photo(path)
    except Exception as error:  # Pillow raises almost anything on damaged photos
        reason = str(error) or type(error).__name__
        raise ProbeError(f"{path}: {reason}") from error


def _names(images: list[Path]) -> list[str]:
    """File names without suffix; with a number where two are the same."""
    names: list[str] = []
    for path in images:
        name, count = path.stem, 1
        while name in names:
            count += 1
            name = f"{path.stem}-{count}"
        names.append(name)
    return names
