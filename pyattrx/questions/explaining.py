"""Why are two networks near: which channels of a layer carry their affinity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from pyattrx._ambient import neutrally
from pyattrx._checks import integer
from pyattrx.affinities import as_encoder
from pyattrx.encoders import Encoder
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.methods import (
    ComparisonMethod,
    InputAttribution,
    Method,
    Regression,
    Ridge,
    resolve_attribution,
)
from pyattrx.methods import get as get_method
from pyattrx.probes import Probes
from pyattrx.questions.explanation import ChannelExamples, Explanation, reference_probes
from pyattrx.questions.map_shares import Asked, Wanted, map_shares
from pyattrx.questions.ridge_shares import ridge_examples, ridge_shares
from pyattrx.questions.where import check_axis, network_asked, usual_layer
from pyattrx.running import check_batch_size, device_name, resolve_device, versions
from pyattrx.statistics import clustered_stderr, degrees_of_freedom, jackknife_residuals

__all__ = ["explain"]

_WHICH = "one that is a sum over channels: 'grad_x_input', 'elrp', 'recommended' or 'ridge'"


@neutrally
def explain(
    target: Encoder | nn.Module | str,
    source: Encoder | nn.Module | str,
    probes: Probes,
    method: Any = "grad_x_input",
    layer: str | None = None,
    *,
    of: str | None = None,
    axis: int | None = None,
    channels: int = 6,
    references: int = 4,
    batch_size: int = 32,
    device: str | torch.device | None = None,
) -> Explanation:
    """Tell why two networks are near: which channels of a layer carry their affinity.

    Of attribution maps, the affinity is a sum over the channels of a layer and what goes around it,
    by skip connections; one more Jacobian-vector product gives all shares at once, instead of a
    backward pass a channel. Of a regression (recommended, ridge), it is a sum over the target's
    channels: what is predicted of each; of a source's channel the share is what the score falls by
    without it, in closed form.

    Parameters
    ----------
    target, source : Encoder, nn.Module or str
        The networks, or specifications (see `pyattrx.load`).
    probes : Probes
    method : str or ComparisonMethod
        "grad_x_input" or "elrp", or a `Method` that is linear in the gradient; "recommended",
        "ridge", "normalized_ridge" or "perturbation_response". Saliency is refused: the magnitude
        of a sum is not a sum.
    layer : str, optional
        Dotted name of a submodule that is called once in a pass. Left out, of maps the last layer
        with locations; of a regression where the network is read anyway: the source's features, or
        the target's output. A layer that is named is read in their place.
    of : {"target", "source"}, optional
        Whose layer. The source's if left out, or the target's where that alone has one of this
        name.
    axis : int, optional
        Axis of the channels in what the layer answers; the last one of tokens [N, T, C], else 1.
    channels, references : int
        How many channels, those with the largest shares, to keep examples of for `Explanation.plot`
        (0: none), and how many images of each. They take ``channels * references`` passes more,
        however many probes there are.
    batch_size : int
        Images in one pass, at least 1.
    device : str or torch.device, optional
        Where to compute; the GPU if there is one.

    Returns
    -------
    Explanation
        ``shares.sum() + remainder`` is the affinity.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Wrong arguments; of an unknown layer, the message names those that are spelt alike.
    AssumptionError
        A network is random, mixes the images of a batch, or is compared by nothing but rounding.
    EncoderError
        A network cannot be loaded, run or differentiated; the layer gives no tensor with a row an
        image, is called several times, or comes after the output.
    NonFiniteError
        A map, or features, hold NaN or Inf.

    Notes
    -----
    With a and b the maps of the two networks, and R what makes a map of a gradient, the cosine is
    ``sum_c <R J^T g_c, b> / (|a| |b|)``, with J the derivative of the layer's answer, g that of the
    attributed number with respect to it, and g_c its channel c: and so the sum over c of
    ``g_c * J R^T b``. Epsilon-LRP's J is that of its own rules. Relevance by channels is Achtibat
    et al., *From attribution maps to human-understandable explanations through concept relevance
    propagation*, Nature Machine Intelligence 2023; what they leave out around a layer is the
    `remainder` here.

    Examples
    --------
    >>> import torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> def network():
    ...     return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 16, 16))
    >>> found = pyattrx.explain(network(), network(), probes, layer="0")
    >>> found.shares.shape, bool(abs(found.shares.sum() - found.affinity) < 1e-6)
    ((4,), True)
    """
    if not isinstance(probes, Probes):
        raise InvalidTypeError("probes", probes, "pyattrx.Probes, such as Probes.from_folder(path)")
    if len(probes) == 0:
        raise InvalidValueError("probes", probes, "at least one probe image")
    check_batch_size(batch_size)
    check_axis(axis)
    integer("channels", channels, least=0)
    integer("references", references, least=1)
    chosen = _checked_method(get_method(method))
    chosen.check_probes(np.asarray(probes.groups))
    options = {"batch_size": batch_size, "device": resolve_device(device)}
    one, other = as_encoder("target", target), as_encoder("source", source)
    whose = network_asked(one, other, layer, of)
    run = _of_maps if isinstance(chosen, Method) else _of_regression
    shown = channels, references
    with _called_a_layer(layer):
        return run(one, other, probes, chosen, layer, whose, axis, shown, options)


@contextmanager
def _called_a_layer(layer: str | None) -> Iterator[None]:
    """Say of the layer what encoders say of the places where they are read."""
    try:
        yield
    except EncoderError as error:
        said = str(error)
        for argument in ("features", "output"):
            said = said.replace(f"the submodule {argument}={layer!r}", f"the layer {layer!r}")
            said = said.replace(f", or give a callable {argument}(module, x)", " layer")
        if layer is not None:
            said = said.replace("the features has shape", f"what layer {layer!r} answers has shape")
            said = said.replace("choose it with features=", "choose another layer")
            at = said.find("choose one with output=")
            said = said if at < 0 else f"{said[:at]}choose another layer than {layer!r}"
        if said == str(error):
            raise
        raise type(error)(said) from error


def _checked_method(method: ComparisonMethod) -> Method | Regression | Ridge:
    """Refuse a method whose score is no sum over channels, and say why."""
    if isinstance(method, (Regression, Ridge)):
        if isinstance(method, Regression) and method.window != 1:
            raise InvalidValueError("method", str(method), "one with a window of 1")
        return method
    if not isinstance(method, Method):
        raise InvalidValueError("method", str(method), _WHICH)
    attribution = resolve_attribution(method.attribution)
    magnitude = "the magnitude of a sum is not the sum of magnitudes"
    if attribution.combine == "saliency":
        raise InvalidValueError("method", str(method), f"{_WHICH}; {magnitude}")
    if method.reduce == "abs_mean":
        raise InvalidValueError("method", str(method), f"reduce='mean' or 'none'; {magnitude}")
    for option in ("pixels", "storage"):
        if getattr(method, option) is not None:
            raise InvalidValueError(
                "method", str(method), f"one without {option}, which two networks have no need of"
            )
    if type(attribution).gradient is not InputAttribution.gradient:
        raise InvalidValueError(
            "method", str(method), f"{_WHICH}, or an attribution by one backward pass under rules"
        )
    return method


def _of_maps(
    target: Encoder,
    source: Encoder,
    probes: Probes,
    method: Any,
    layer: str | None,
    of: str,
    axis: int | None,
    shown: tuple[int, int],
    options: dict[str, Any],
) -> Explanation:
    own, other = (target, source) if of == "target" else (source, target)
    if layer is None:
        layer = usual_layer(own, probes.images(0, min(2, len(probes))), options["device"])
    groups = np.asarray(probes.groups)
    choose = _choosing(groups, *shown)
    wanted: Wanted = []

    def chosen(shares: np.ndarray, relevance: dict[str, np.ndarray]) -> Wanted:
        wanted.extend(choose(shares.mean(0), relevance))
        return wanted

    found = map_shares(Asked(own, layer, axis), other, probes, method, chosen, **options)
    covered = found.shares.sum(1)
    remainder = found.cosines - covered
    facts: dict[str, Any] = {"networks": found.facts}
    facts["around"] = float(found.around.mean())
    errors = [clustered_stderr(x, groups) for x in (found.cosines, covered, remainder)]
    return Explanation(
        target=target.name,
        source=source.name,
        of=of,
        layer="output" if layer is None else layer,
        method=str(method),
        affinity=float(found.cosines.mean()),
        affinity_stderr=float(errors[0]),
        shares=found.shares.mean(0),
        stderr=clustered_stderr(found.shares, groups),
        covered=float(covered.mean()),
        covered_stderr=float(errors[1]),
        remainder=float(remainder.mean()),
        remainder_stderr=float(errors[2]),
        relevance=found.relevance,
        by_probe=found.shares,
        groups=groups,
        degrees_of_freedom=degrees_of_freedom(groups),
        probes=tuple(probes.names),
        examples=_examples(probes, wanted, found.maps, found.others),
        zero_maps=found.zero,
        provenance=_provenance(probes, method, options, facts),
    )


def _of_regression(
    target: Encoder,
    source: Encoder,
    probes: Probes,
    method: Any,
    layer: str | None,
    of: str,
    axis: int | None,
    shown: tuple[int, int],
    options: dict[str, Any],
) -> Explanation:
    if layer is not None and of == "source":
        source = source.read_at(features=layer)
    if layer is not None and of == "target":
        target = target.read_at(output=layer)
    done = ridge_shares(target, source, probes, method, of, axis, **options)
    found, groups = done.found, np.asarray(probes.groups)
    wanted = _choosing(groups, *shown)(found.shares, done.relevance)
    own, other = (target, source) if of == "target" else (source, target)
    if of == "source" and source.features is not None:
        own = source.read_at(output=source.features)
    facts: dict[str, Any] = {"networks": done.facts}
    examples: tuple[ChannelExamples, ...] = ()
    try:
        if wanted:
            asked = Asked(own, None, axis)
            maps = ridge_examples(asked, other, probes, wanted, **options)
            examples = _examples(probes, wanted, *maps)
    except PyattrxError as error:  # a regression needs no derivative, a picture does
        facts["no_examples"] = str(error)

    def stderr(values: Any, without: np.ndarray) -> Any:
        return jackknife_residuals(np.asarray(values), without, done.blocks).stderr()

    covered, covered_without = found.shares.sum(), found.shares_without.sum(1)
    rest_without = found.score_without - covered_without
    where = source.features if of == "source" else target.output
    if where is None and of == "source":
        where = source.output
    return Explanation(
        target=target.name,
        source=source.name,
        of=of,
        layer=where if isinstance(where, str) else "output",
        method=str(method),
        affinity=found.score,
        affinity_stderr=float(stderr(found.score, found.score_without)),
        shares=found.shares,
        stderr=stderr(found.shares, found.shares_without),
        covered=float(covered),
        covered_stderr=float(stderr(covered, covered_without)),
        remainder=float(found.score - covered),
        remainder_stderr=float(stderr(found.score - covered, rest_without)),
        relevance=done.relevance,
        by_probe=None,
        groups=groups,
        degrees_of_freedom=degrees_of_freedom(done.blocks),
        probes=tuple(probes.names),
        examples=examples,
        provenance=_provenance(probes, method, options, facts),
    )


def _choosing(
    groups: np.ndarray, channels: int, references: int
) -> Callable[[np.ndarray, dict[str, np.ndarray]], Wanted]:
    def choose(shares: np.ndarray, relevance: dict[str, np.ndarray]) -> Wanted:
        best = np.argsort(-shares, kind="stable")[:channels].tolist()
        summed = relevance["sum"]
        return [(c, reference_probes(summed[:, c], groups, references)) for c in best]

    return choose


def _examples(
    probes: Probes, wanted: Wanted, maps: list[np.ndarray], others: list[np.ndarray]
) -> tuple[ChannelExamples, ...]:
    found = []
    for (channel, numbers), own, theirs in zip(wanted, maps, others, strict=True):
        pixels = probes.take(numbers).images().mul(255).round().byte()
        photos = pixels.permute(0, 2, 3, 1).numpy()
        found.append(ChannelExamples(channel, numbers, photos, own, theirs))
    return tuple(found)


def _provenance(
    probes: Probes, method: ComparisonMethod, options: dict[str, Any], facts: dict[str, Any]
) -> dict[str, Any]:
    return {
        "probes": probes.describe(),
        "batch_size": options["batch_size"],
        "device": device_name(options["device"]),
        "versions": versions(),
        **facts,
    }
