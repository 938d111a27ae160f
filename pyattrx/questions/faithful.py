"""Are a network's attribution maps faithful: does its answer change where they say?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pyattrx._ambient import neutrally
from pyattrx._checks import integer
from pyattrx.affinities import as_encoder
from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import Method
from pyattrx.methods import get as get_method
from pyattrx.probes import Probes
from pyattrx.questions.faithfulness_result import Faithfulness
from pyattrx.questions.following import Followed, Occlusions
from pyattrx.questions.occluding import Fill, Order, Patches, check_fill, order_of
from pyattrx.running import check_batch_size, device_name, resolve_device, versions

__all__ = ["check_map_method", "faithfulness", "faithfulness_of_each"]


def faithfulness(
    encoder: Encoder | nn.Module | str,
    probes: Probes,
    method: Any = "grad_x_input",
    *,
    fill: Fill = "mean",
    order: str = "strongest",
    steps: int = 16,
    patch: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    device: str | torch.device | None = None,
) -> Faithfulness:
    """Tell whether attribution maps are faithful: occlude what they call important, and look.

    Patches of each probe are occluded step by step in the order of its map, and in a random order.
    If the map is right, the network's answer changes sooner where the strongest go first.

    Parameters
    ----------
    encoder : Encoder, nn.Module or str
        The network, or a specification (see `pyattrx.load`).
    probes : Probes
    method : str or Method
        What makes the maps, as for `pyattrx.attribute`. Methods of features have none.
    fill : {"mean", "zero", "blur"} or three numbers from 0 to 1
        What stands in the place of occluded pixels: the probe's mean color, black, the probe
        blurred (a Gaussian, its deviation an eighth of the shorter side), or a color.
    order : {"strongest", "weakest", "highest", "lowest"}
        Which patches go first: those with the largest or least magnitude of the map's mean, or with
        its largest or least value. Patches that are equal go in the random order.
    steps : int
        In how many steps all is occluded, at least 1; never more than there are patches.
    patch : int, optional
        Side of the square patches, in pixels of the probes; a sixteenth of the shorter side if left
        out. Those at the right and lower edge may be smaller.
    seed : int
        Of the random order, from 0.
    batch_size : int
        Images in one pass, at least 1.
    device : str or torch.device, optional
        Where to compute; the GPU if there is one.

    Returns
    -------
    Faithfulness
        Curves over the part of the image that is occluded, and the areas under them, with errors.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Wrong arguments; a method without one whole map an image; a fill that changes nothing.
    NonFiniteError
        A map, or the answer to an occluded image, holds NaN or Inf.
    AssumptionError
        The network is random, mixes the images of a batch, or answers to no image.
    EncoderError
        The network cannot be loaded, run or differentiated.

    Notes
    -----
    The protocol is that of deletion curves (Samek et al., IEEE TNNLS 2017; Petsiuk et al., BMVC
    2018): one mask for all channels, both end points, and trapezoids over the true fractions of
    pixels. The area says nothing by itself, so it is held against a random order of the same probe;
    as that scatters patches, which does harm of its own, ask for "strongest" and "weakest" too: the
    sum of both gains is the area between the two. What is followed is the output, of any shape, and
    the number that the method attributes, and not a class. Occluded images are none that the
    network was trained on, whatever the fill.

    A map costs what it costs `pyattrx.attribute`; ``2 * steps`` forward passes a probe come on top.

    Examples
    --------
    >>> import torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 1, bias=False))
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 8, 8))
    >>> found = pyattrx.faithfulness(network, probes, fill="zero", order="highest", patch=1)
    >>> found.areas["scalar"].gain > 0.1
    True
    """
    (found,) = faithfulness_of_each(
        encoder, probes, [check_map_method(method)], fill=fill, order=order, steps=steps,
        patch=patch, seed=seed, batch_size=batch_size, device=device,
    )  # fmt: skip
    return found


@neutrally
def faithfulness_of_each(
    encoder: Encoder | nn.Module | str,
    probes: Probes,
    methods: Sequence[Any],
    *,
    fill: Fill = "mean",
    order: str = "strongest",
    steps: int = 16,
    patch: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    device: str | torch.device | None = None,
) -> tuple[Faithfulness, ...]:
    """Tell whether the maps of several methods are faithful, held against one random order.

    Parameters
    ----------
    encoder, probes, fill, order, steps, patch, seed, batch_size, device
        As for `faithfulness`.
    methods : sequence of str or Method
        At least one. The random order is run once for all, so that about ``1 + len(methods)`` times
        `steps` forward passes a probe come on top of the maps.

    Returns
    -------
    tuple of Faithfulness
        One for each method.

    Raises
    ------
    InvalidValueError, InvalidTypeError, NonFiniteError, AssumptionError, EncoderError
        As for `faithfulness`.

    Examples
    --------
    >>> import torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 16, 16))
    >>> found = pyattrx.faithfulness_of_each(network, probes, ["saliency", "grad_x_input"])
    >>> [one.method for one in found]
    ['saliency', 'grad_x_input']
    """
    begun = time.perf_counter()
    if not isinstance(probes, Probes):
        raise InvalidTypeError("probes", probes, "pyattrx.Probes, such as Probes.from_folder(path)")
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise InvalidTypeError("methods", methods, "a list of methods")
    if not methods:
        raise InvalidValueError("methods", methods, "at least one method")
    chosen = [check_map_method(one, f"methods[{place}]") for place, one in enumerate(methods)]
    patches = Patches.of(patch, probes.size)
    occlusions = Occlusions(
        chosen,
        patches,
        order_of(order),
        check_fill(fill),
        patches.steps(integer("steps", steps, least=1)),
        integer("seed", seed, least=0, most=2**64 - 1),
    )
    check_batch_size(batch_size)
    place = resolve_device(device)
    network = as_encoder("encoder", encoder)
    followed, facts = occlusions.follow(network, probes, batch_size, place)
    provenance = {
        "probes": probes.describe(),
        "network": network.describe(),
        "steps": len(occlusions.steps) - 1,
        "seed": occlusions.seed,
        "batch_size": batch_size,
        "device": device_name(place),
        "seconds": round(time.perf_counter() - begun, 3),
        "versions": versions(),
        **facts,
    }
    return tuple(
        _result(network.name, probes, method, occlusions, one, provenance)
        for method, one in zip(chosen, followed, strict=True)
    )


def check_map_method(method: Any, argument: str = "method") -> Method:
    """Return a method with one whole map an image.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        It has none; the message says what to take.
    """
    chosen = get_method(method, argument)
    maps = "a method with attribution maps, such as 'saliency' or 'grad_x_input'"
    if not isinstance(chosen, Method):
        why = "which has maps and features" if len(chosen.parts) > 1 else "which compares features"
        raise InvalidValueError(
            argument, str(chosen), f"{maps}, and not one {why}: there is no map to occlude by"
        )
    if chosen.reduce == "none" or chosen.pixels is not None:
        what = "reduce='none'" if chosen.reduce == "none" else "pixels"
        expected = f"one with one whole map an image, without {what}"
        raise InvalidValueError(argument, str(chosen), expected)
    return chosen


def _result(
    network: str,
    probes: Probes,
    method: Method,
    occlusions: Occlusions,
    followed: Followed,
    provenance: dict[str, Any],
) -> Faithfulness:
    order = occlusions.order
    curves = {
        "distance": followed.distances,
        "scalar": _moved(followed.scalars, order),
    }
    random = {
        "distance": followed.random_distances,
        "scalar": _moved(followed.random_scalars, order),
    }
    units = {measure: float(np.abs(curve[:, -1]).mean()) for measure, curve in curves.items()}
    if units["distance"] == 0:
        expected = "one that changes what the network answers: with this it does not"
        raise InvalidValueError("fill", occlusions.fill, expected)
    for of_one in (curves, random):
        for measure, unit in units.items():
            of_one[measure] = of_one[measure] / unit if unit > 0 else 0 * of_one[measure]
    return Faithfulness(
        network=network,
        method=str(method),
        order=order.name,
        fill=occlusions.fill,
        patch=occlusions.patches.side,
        fractions=followed.fractions,
        random_fractions=followed.random_fractions,
        curves=curves,
        random_curves=random,
        units=units,
        groups=np.asarray(probes.groups),
        probes=tuple(probes.names),
        zero_maps=followed.zero_maps,
        provenance=provenance,
    )


def _moved(scalars: NDArray[np.float64], order: Order) -> NDArray[np.float64]:
    """How far a number has moved: by magnitude, or how far it fell, as the order has it."""
    fallen: NDArray[np.float64] = scalars[:, :1] - scalars
    return np.abs(fallen) if order.magnitude else fallen
