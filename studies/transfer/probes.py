"""The two sets of probes of the study: rendered scenes, and crops of real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pyattrx import Probes
from pyattrx.demo.photos import demo_photos

from ..minitaskonomy.data import Data, to_tensor
from ..minitaskonomy.presets import Preset

__all__ = ["PROBE_SETS", "make_probes"]

PROBE_SETS = ("rendered", "photos")
_SIZE = 64
_CROPS = 24  # of each of eleven photos
_SEED = 2019


def make_probes(kind: str, folder: Path, preset: Preset) -> Probes:
    """Make a set of as many probes as the preset has.

    Parameters
    ----------
    kind : {"rendered", "photos"}
        Scenes that no encoder has seen; or random crops, of half a photo's side to all of it, the
        crops of one photo in a group. Both are in random order, so that the first few are a sample.
    folder : Path
        With a complete data set, for the scenes.
    preset : Preset
        Of that data set.

    Returns
    -------
    Probes
        [N, 3, 64, 64].
    """
    if kind == "rendered":
        return Probes.from_tensor(to_tensor(Data(folder, preset).images("probes")))
    photos = demo_photos()
    names = [photo.name for photo in photos]
    crops = Probes.from_images(
        [photo.image for photo in photos], _SIZE, crops=_CROPS, seed=_SEED, names=names
    )
    order = np.random.default_rng(_SEED).permutation(len(crops))[: preset.probes]
    images = crops.images()[torch.from_numpy(order)]
    return Probes.from_tensor(images, [names[group] for group in crops.groups[order]])
