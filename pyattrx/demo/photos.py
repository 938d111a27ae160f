"""Photos that ship inside the scikit-image package; nothing is downloaded, nothing imported.

From the documentation of `skimage.data`:

=================  ==========================================================================
astronaut          Eileen Collins; NASA Great Images database, public domain
chelsea            a cat, by Stefan van der Walt; CC0
coffee             courtesy of Pikolo Espresso Bar, by Rachel Michetti; CC0
hubble_deep_field  Hubble eXtreme Deep Field; NASA, public domain
motorcycle         left view of a stereo pair, Middlebury 2014 benchmark (Scharstein et al.);
                   no licence is given
rocket             launch of DSCOVR on Falcon 9, by SpaceX; public domain
brick, gravel      from CC0Textures; CC0; grey
camera             a photographer at work, by Lav Varshney; CC0; grey
coins              Greek coins from Pompeii, Brooklyn Museum; no known restrictions; grey
grass              by linolafett, DeviantArt; CC0; grey
=================  ==========================================================================

Its ``lfw_subset`` has 100 faces of Labeled Faces in the Wild (Huang et al. 2007) and 100 parts of
other pictures, 25 x 25, grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pyattrx.errors import MissingDependencyError, ProbeError

__all__ = ["DemoPhoto", "demo_faces", "demo_photos"]

_FILES = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
    "brick": "brick.png",
    "camera": "camera.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
}


@dataclass(frozen=True, eq=False)
class DemoPhoto:
    """A photo and its name.

    Attributes
    ----------
    name : str
        Short and unique.
    image : ndarray, uint8, [H, W, 3]
        RGB; a grey photo has three equal channels.
    """

    name: str
    image: NDArray[np.uint8]


def demo_photos() -> list[DemoPhoto]:
    """Eleven photos of the scikit-image package: six in colour, then five grey ones.

    Returns
    -------
    list of DemoPhoto
        In a fixed order, at full size (from 384 x 303 to 1000 x 872 pixels).

    Raises
    ------
    MissingDependencyError
        If scikit-image is not installed.
    ProbeError
        If the installed scikit-image lacks one of the photos, or it cannot be read.

    Examples
    --------
    >>> photos = demo_photos()
    >>> len(photos), photos[1].name, photos[1].image.shape
    (11, 'chelsea', (300, 451, 3))
    """
    folder = _folder()
    return [DemoPhoto(name, _read(folder / file)) for name, file in _FILES.items()]


def demo_faces(each: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Real images with labels from the scikit-image package: faces, and parts of other pictures.

    Parameters
    ----------
    each : int
        How many of each, at most 100.

    Returns
    -------
    images : ndarray, uint8, [2 * each, 25, 25, 3]
        Grey: three equal channels.
    labels : list of str
        "face" or "no face".

    Raises
    ------
    MissingDependencyError
        If scikit-image is not installed.
    ProbeError
        If the installed scikit-image lacks the images, or they cannot be read.

    Examples
    --------
    >>> images, labels = demo_faces(2)
    >>> images.shape, labels
    ((4, 25, 25, 3), ['face', 'face', 'no face', 'no face'])
    """
    file = _folder() / "lfw_subset.npy"
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ProbeError(f"the images {file} cannot be read: {error}") from error
    if found.shape != (200, 25, 25):
        raise ProbeError(f"the images {file} have shape {found.shape}: expected (200, 25, 25)")
    chosen = np.concatenate([found[:each], found[100 : 100 + each]])
    grey = (chosen * 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), ["face"] * each + ["no face"] * each


def _folder() -> Path:
    spec = PathFinder.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("scikit-image", "demo_photos", '"pyattrx[demo]"')
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(file: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except FileNotFoundError as error:
        raise ProbeError(
            f"scikit-image is installed without the photo {file.name} (looked in {file.parent}); "
            "its wheel has it: pip install --force-reinstall scikit-image"
        ) from error
    except (UnidentifiedImageError, OSError) as error:
        raise ProbeError(f"the photo {file} cannot be read: {error}") from error
