"""From which layer of a source should one start?"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from pyattrx._ambient import neutrally
from pyattrx._scratch import ScratchFolder
from pyattrx.affinities import as_encoder
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.features import FeatureCache
from pyattrx.methods import ComparisonMethod
from pyattrx.methods import get as get_method
from pyattrx.probes import Probes
from pyattrx.questions.candidates import check_names, find_layers
from pyattrx.questions.layers_result import Layers
from pyattrx.questions.with_labels import check_labels, with_labels
from pyattrx.questions.with_target import with_target
from pyattrx.running import Source, check_batch_size, resolve_device
from pyattrx.statistics import check_level

__all__ = ["layers"]


@neutrally
def layers(
    source: Source | nn.Module,
    target: Source | nn.Module | None = None,
    probes: Probes | None = None,
    method: str | ComparisonMethod = "recommended",
    at: Any = None,
    *,
    labels: Any = None,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    level: float = 0.95,
    scratch: ScratchFolder = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
) -> Layers:
    """Score the layers of a source: from which one should a new task start?

    Every layer is compared with a target network as if it were the output, and the features, of a
    network of its own: scores are those that `pyattrx.affinity` has for
    ``source.read_at(output=layer, features=layer)``. Methods of features read all layers in one
    pass; methods of attribution maps make one pass forward and back a layer. Or, without a target,
    layers are scored by the labels of a task, as `pyattrx.recommend` scores networks.

    Parameters
    ----------
    source : Encoder, nn.Module, str or callable
        The network to start from: an encoder, a specification (see `pyattrx.load`), or a function
        that returns an encoder. Where its `output` is a function, that runs it.
    target : Encoder, nn.Module, str or callable, optional
        A network that does the task; its output stands for it.
    probes : Probes, optional
        Images that both see; of the labels, where these come without images.
    method : str or ComparisonMethod
        As for `pyattrx.affinity`. With labels: the name of a score of `pyattrx.scores`;
        "recommended" is the one that `recommend` ranks by.
    at : sequence of str, optional
        Names of submodules, each called once in a pass. The ends of stages and blocks, at most 24,
        if left out.
    labels : Task, or what `Task.of` takes, or a sequence, optional
        A labelled task in the place of a target; with `probes`, a label for each of them.
    batch_size : int
        Images in one pass.
    device : str or torch.device, optional
        The GPU if there is one.
    level : float
        Of the confidence intervals and of the paired test behind the ties.
    scratch : path, optional
        Folder for what does not fit in memory (256 MiB); the system's temporary folder if left out.
    cache : bool, path or FeatureCache
        With labels: where features are kept, see `recommend`.

    Returns
    -------
    Layers
        In the order in which the network calls them.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Wrong arguments: neither a target nor labels, or both; layers that the network does not
        have; images that are too few for the method.
    EncoderError, AssumptionError
        A network fails, or is not what methods take it for; a layer of `at` is called more than
        once, or answers no tensor; or no layer is left.
    NonFiniteError
        What a layer says holds NaN or Inf.

    Warns
    -----
    UntrainedWarning
        The weights of a network look as they were initialised.

    Notes
    -----
    Layer selection by attribution graphs is from Song, Chen, Ye, Wang, Shen, Mao, Song, *DEPARA*,
    CVPR 2020: ``method="depara"`` is its node plus lambda times edge, with edges of centered
    features, and the nodes of each layer on their own. Depth alone beat it in its own table, and
    docs/layers.md says what did where decoders were trained on every stage.

    Of a layer whose output is maps, methods such as `cka` take every number at every location, as
    they do of any output. Layers in whose answers rounding counts are read in float64; where that
    does not help, a layer is left out and named in `Layers.failures`, or refused if `at` asks for
    it.

    Examples
    --------
    >>> import torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(12, 3, 16, 16))
    >>> def block(before, after):
    ...     return torch.nn.Sequential(torch.nn.Conv2d(before, after, 3), torch.nn.Tanh())
    >>> source = pyattrx.Encoder(torch.nn.Sequential(block(3, 4), block(4, 8)), name="source")
    >>> target = pyattrx.Encoder(torch.nn.Conv2d(3, 2, 5), name="target")
    >>> found = pyattrx.layers(source, target, probes, method="cka")
    >>> found.names, found.scores.shape, found.best in found.names
    (('0', '1'), (2,), True)
    """
    check_batch_size(batch_size)
    check_level(level)
    place = resolve_device(device)
    if (target is None) == (labels is None):
        given = "neither" if target is None else "both"
        raise InvalidValueError("target, labels", given, "one of them: a network, or a task")
    if target is not None:
        if not isinstance(probes, Probes):
            raise InvalidTypeError(
                "probes", probes, "pyattrx.Probes, for example Probes.from_folder(path)"
            )
        if len(probes) == 0:
            raise InvalidValueError("probes", probes, "at least one probe image")
        chosen = get_method(method)
        chosen.check_probes(np.asarray(probes.groups))
        ours, other = as_encoder("source", source), as_encoder("target", target)
        spots = find_layers(ours, probes, place, check_names(at, ours.module))
        return with_target(
            ours, other, probes, chosen, spots,
            asked=at is not None, batch_size=batch_size, device=place, level=level, scratch=scratch,
        )  # fmt: skip
    task, names = check_labels(labels, probes, method)
    ours = as_encoder("source", source)
    spots = find_layers(ours, task.probes, place, check_names(at, ours.module))
    return with_labels(
        ours, task, names, spots, batch_size=batch_size, device=place, level=level, cache=cache
    )
