"""Published networks whose weights lie in a folder that the user names.

The architectures are written here, in plain torch, from the papers and from the names and shapes
of the tensors. A file is read as plain tensors: none of the code that came with it is run.
"""

from .catalogue import Candidate, candidates, real_networks
from .network import RealNetwork

__all__ = ["Candidate", "RealNetwork", "candidates", "real_networks"]
