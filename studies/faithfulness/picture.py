"""The picture of docs/faithfulness.md: curves of one of the demo's networks."""

from __future__ import annotations

from pathlib import Path

from pyattrx import Method, faithfulness_of_each
from pyattrx.demo import minitaskonomy
from pyattrx.report import faithfulness_figure

__all__ = ["draw"]

_NETWORK = "rgb2depth"
_SHOWN = (
    Method("saliency", scalar="half_squared_norm"),
    Method("grad_x_input", scalar="half_squared_norm"),
    Method("grad_x_input", scalar="half_squared_norm", reduce="abs_mean"),
)


def draw(file: Path) -> None:
    """Follow the network over all of the demo's probes, patches of 4 x 4 pixels blurred."""
    (encoder,) = (one for one in minitaskonomy.encoders() if one.name == _NETWORK)
    found = faithfulness_of_each(encoder, minitaskonomy.probes(), _SHOWN, fill="blur", patch=4)
    faithfulness_figure(found, path=file)
