"""A published network: what it was trained for, and how its file becomes an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pyattrx import Encoder, Normalize
from pyattrx.encoders import read_weights
from pyattrx.errors import EncoderError, InvalidValueError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "RealNetwork"]

_Triple = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class RealNetwork:
    """A network whose architecture is written here, and whose weights the user has.

    Attributes
    ----------
    name : str
        Short and unique.
    task : str
        What it was trained for.
    file : str
        Its weights, relative to the folder that the user names.
    source : str
        The paper, and where the weights are published.
    licence : str
        Of the weights, as those who publish them state it.
    get : str
        How the file comes to be there.
    build : callable
        Makes the network; called on the meta device.
    mean, std : tuple of three floats
        ``(x - mean) / std`` of an RGB image x in [0, 1] is what the network expects.
    input_size : (int, int) or None
        Height and width that it was trained with; None if it takes any.
    output : str or None
        What represents the network: a submodule, or None for the network's own output.
    note : str
        What `output` is, and what else to know.
    read : callable
        From the file to tensors by the names of `build`; nothing in the file is executed.
    """

    name: str
    task: str
    file: str
    source: str
    licence: str
    get: str
    build: Callable[[], nn.Module]
    mean: _Triple
    std: _Triple
    input_size: tuple[int, int] | None
    output: str | None
    note: str
    read: Callable[[Path], Mapping[str, Tensor]] = read_weights

    def find(self, folder: str | Path) -> Path | None:
        """Return the file with its weights, or None if the folder has none."""
        file = Path(folder) / self.file
        return file if file.is_file() else None

    def load(self, folder: str | Path) -> Encoder:
        """Load the network.

        Parameters
        ----------
        folder : path
            Has `file`.

        Returns
        -------
        Encoder
            On the CPU, in evaluation mode.

        Raises
        ------
        InvalidValueError
            The folder has no such file; the message says how to get it.
        UntrustedError
            Reading the file would execute code.
        EncoderError
            The file is damaged, or a tensor is missing, surplus or of another shape.
        """
        file = self.find(folder)
        if file is None:
            raise InvalidValueError("folder", str(folder), f"a folder with {self.file}: {self.get}")
        weights = self.read(file)
        with torch.device("meta"):  # no time for random weights, and no random number used up
            module = self.build()
        try:
            module.load_state_dict(weights, strict=True, assign=True)
        except RuntimeError as error:
            raise EncoderError(f"{file} does not fit {self.name}: {error}") from error
        encoder = Encoder(
            module.eval(),
            name=self.name,
            output=self.output,
            transform=Normalize(self.mean, self.std),
            input_size=self.input_size,
        )
        # An embedding ends in a layer that looks like a classifier.
        headless = {"headless": True} if self.output is None else {}
        encoder.known |= {"license": self.licence, "url": self.source, **headless}
        return encoder
