"""Pretrained networks whose weights ship inside ordinary packages.

The architectures are written here, in plain torch, from the papers and from the names and shapes
of the tensors. A package is only asked where its weight file lies: none of its code is run, and
the file is read as plain tensors.
"""

from pyattrx.demo.networks.catalogue import DemoNetwork, demo_networks

__all__ = ["DemoNetwork", "demo_networks"]
