"""What people write instead: every op in simple PyTorch and in the loops of the paper's script.

The functions take tensors (those of NumPy: arrays) and return affinities [M, M], maps [N, D] or
sketches [size].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "blocked_bmm",
    "bmm_diagonal",
    "eager_fused",
    "eager_maps",
    "index_add_sketch",
    "normalize_matmul",
    "numpy_affinity",
    "numpy_cosine",
    "numpy_maps",
]

Array = np.ndarray[Any, Any]


def eager_maps(grad: Tensor, image: Tensor) -> Tensor:
    """Gradient times input, mean over the channels, unit rows."""
    return F.normalize((grad * image).mean(1).flatten(1))


def normalize_matmul(maps: Tensor) -> Tensor:
    """Unit rows, all probes of a network in one long row, one product."""
    rows = F.normalize(maps, dim=2).flatten(1)
    return rows @ rows.T / maps.shape[1]


def bmm_diagonal(maps: Tensor) -> Tensor:
    """One batched product; the norms are on its diagonal, so maps are read once."""
    rows = maps.transpose(0, 1)
    return _mean_cosines(rows @ rows.transpose(1, 2))


def blocked_bmm(maps: Tensor) -> Tensor:
    """`bmm_diagonal`, of the upper blocks only; blocks of 128 networks, or of half of them."""
    rows = maps.transpose(0, 1)
    m = maps.shape[0]
    step = min(128, -(-m // 2))
    gram = maps.new_empty((maps.shape[1], m, m))
    for i in range(0, m, step):
        for j in range(i, m, step):
            block = rows[:, i : i + step] @ rows[:, j : j + step].transpose(1, 2)
            gram[:, i : i + step, j : j + step] = block
            gram[:, j : j + step, i : i + step] = block.transpose(1, 2)
    return _mean_cosines(gram)


def _mean_cosines(gram: Tensor) -> Tensor:
    norm = gram.diagonal(dim1=1, dim2=2).sqrt()
    return (gram / (norm[:, :, None] * norm[:, None])).mean(0)


def eager_fused(grads: Tensor, image: Tensor) -> Tensor:
    """Maps of all networks, then `bmm_diagonal`."""
    return bmm_diagonal((grads * image).mean(2).flatten(2))


def index_add_sketch(maps: Tensor, index: Tensor, sign: Tensor, size: int) -> Tensor:
    """Every element, with its sign, added where its index says; both are known beforehand."""
    out = maps.new_zeros(size)
    return out.index_add_(0, index, (maps * sign).flatten())


def numpy_maps(grad: Array, image: Array) -> Array:
    """Image by image."""
    rows = []
    for g, x in zip(grad, image, strict=True):
        row = (g * x).mean(0).ravel()
        rows.append(row / np.linalg.norm(row))
    return np.stack(rows)


def numpy_cosine(left: Array, right: Array) -> float:
    """Cosine of two rows, normalised once more for every pair, as the paper's script does."""
    return float(np.dot(left / np.linalg.norm(left), right / np.linalg.norm(right)))


def numpy_affinity(maps: Array) -> Array:
    """Pair by pair (each once, none with itself), image by image."""
    m, n, _ = maps.shape
    affinity = np.eye(m)
    for i in range(m):
        for j in range(i):
            total = 0.0
            for k in range(n):
                total += numpy_cosine(maps[i, k], maps[j, k])
            affinity[i, j] = affinity[j, i] = total / n
    return affinity
