"""Real networks over real photos: what `pyattrx demo` runs.

Every demo network can be loaded by its name: ``pyattrx.load("pyattrx.demo:efficientnet_lite0")``.
`pyattrx.demo.minitaskonomy` has twenty more, small ones, whose transfers were measured.
"""

from __future__ import annotations

from collections.abc import Callable

from pyattrx.encoders import Encoder

__all__: list[str] = []


def __getattr__(name: str) -> Callable[[], Encoder]:
    """Return a function that makes the demo network of a name."""
    if not name.startswith("_"):
        from pyattrx.demo.networks import demo_networks

        for network in demo_networks():
            if network.name.replace("-", "_") == name:
                from pyattrx.demo.run import make_encoder

                return lambda: make_encoder(network)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
