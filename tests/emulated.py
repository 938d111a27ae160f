"""Which device the CUDA tests run on, and the ops on it.

With a `_core` built with ``ATTRX_CUDA=EMULATED`` (tests/emulate.py) that is the host: there the
kernels of csrc/cuda work on its memory, one thread after another.
"""

import contextlib
from types import SimpleNamespace
from unittest import mock

import torch

from pyattrx import ops
from pyattrx.ops import library
from pyattrx.ops.kernels import Kernels
from pyattrx.ops.native import core

EMULATED = core is not None and core.emulated
DEVICE = "cpu" if EMULATED else "cuda"


def sized(size, emulated):
    """A size of a test; emulated a smaller one, on the same side of what kernels divide work by."""
    return emulated if EMULATED else size


@contextlib.contextmanager
def cuda_ops():
    """Have `pyattrx.ops` run the CUDA kernels on tensors of DEVICE: on the host by hand."""
    if not EMULATED:
        yield
        return
    kernels = Kernels(core.cuda, on_gpu=True)
    operators = SimpleNamespace(
        attribution_maps=kernels.attribution_maps,
        probe_cosines=kernels.probe_cosines,
        fused_probe_cosines=kernels.fused_probe_cosines,
        sketch=kernels.sketch,
        cosine_affinity=library._cosine_affinity,
        fused_affinity=library._fused_affinity,
    )
    stream = SimpleNamespace(cuda_stream=0)
    with contextlib.ExitStack() as stack:
        for owner, name, value in [
            (ops, "operators", operators),
            (library, "operators", operators),
            (torch.cuda, "device", lambda _: contextlib.nullcontext()),
            (torch.cuda, "current_stream", lambda: stream),
            (torch.cuda, "synchronize", lambda: None),
        ]:
            stack.enter_context(mock.patch.object(owner, name, value))
        # Results and workspaces are full of NaN before a kernel writes them.
        torch.use_deterministic_algorithms(True)
        stack.callback(torch.use_deterministic_algorithms, False)
        yield
