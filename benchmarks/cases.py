"""The cases of the op benchmarks, for any device: data, candidates, the exact result, the work.

All data are float32. The exact result is computed in float64 from the same data.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx import ops

from . import rivals
from .measure import Case, Say

__all__ = [
    "Candidates",
    "attribution_maps",
    "cosine_affinity",
    "fused_affinity",
    "sketch",
]

OURS = "pyattrx"
_SLOWEST_S = 20.0  # a round; slower candidates are left out
_FLOAT = 4  # bytes
_SKETCH_SIZE = 4096


class Candidates:
    """The candidates of one case as they are found, and those that cannot take part.

    Parameters
    ----------
    compiled : str, optional
        Why torch.compile does not take part, if so.
    loops : str, optional
        Why loops in NumPy do not.
    say : callable
        Told what takes long.
    """

    def __init__(self, compiled: str | None, loops: str | None, say: Say) -> None:
        self.runs: dict[str, Callable[[], Any]] = {}
        self.left_out: dict[str, str] = {}
        self._no_compiled, self._no_loops = compiled, loops
        self._say = say

    def compiled(self, name: str, function: Callable[..., Tensor], *arguments: Any) -> None:
        """Add what torch.compile makes of a function, for these very shapes."""
        name = f"torch.compile: {name}"
        if self._no_compiled is not None:
            self.left_out[name] = self._no_compiled
            return
        self._say(f"    {name}")
        run = torch.compile(function, dynamic=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's, about itself
                run(*arguments)
        except Exception as error:  # whatever is missing or broken down there, ours is not at fault
            self.left_out[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            return
        self.runs[name] = lambda: run(*arguments)

    def looped(self, name: str, run: Callable[[], Any], estimate: Callable[[], float]) -> None:
        """Add a loop in NumPy, unless it is too slow; `estimate` tells its seconds."""
        if self._no_loops is not None:
            self.left_out[name] = self._no_loops
            return
        seconds = estimate()
        if seconds > _SLOWEST_S:
            self.left_out[name] = f"about {seconds:.0f} s a round"
            return
        self.runs[name] = run


def attribution_maps(n: int, side: int, device: str, found: Candidates) -> Case:
    """Maps of gradient x input of n RGB images, reduced by the mean, normalised.

    Parameters
    ----------
    n, side : int
        Images, and their height and width.
    device : str
        Where the data are.
    found : Candidates
        Gets the candidates.

    Returns
    -------
    Case
        Errors are relative to the largest element of each map.
    """
    random = _generator(device)
    grad, image = (torch.randn(n, 3, side, side, device=device, generator=random) for _ in range(2))

    def error(_name: str, result: Any) -> float:
        worst = 0.0
        for got, g, x in zip(_tensor(result, device), grad, image, strict=True):
            exact = (g.double() * x.double()).mean(0).flatten()
            exact /= exact.norm()
            worst = max(worst, float((got - exact).abs().max() / exact.abs().max()))
        return worst

    found.runs[OURS] = lambda: ops.attribution_maps(grad, image)
    found.runs["eager"] = lambda: rivals.eager_maps(grad, image)
    found.compiled("eager", rivals.eager_maps, grad, image)
    if device == "cpu":
        arrays = grad.numpy(), image.numpy()
        found.looped("numpy loop", lambda: rivals.numpy_maps(*arrays), lambda: 0.0)
    d = side * side
    return Case(
        name=f"attribution_maps {n}x3x{side}x{side}",
        op="attribution_maps",
        shape={"n": n, "c": 3, "d": d},
        moved_bytes=(2 * grad.numel() + n * d) * _FLOAT,
        multiply_adds=grad.numel() + n * d,  # the mean of the products, and the norm
        candidates=found.runs,
        error=error,
        limit=1e-6,
        left_out=found.left_out,
    )


def cosine_affinity(m: int, n: int, d: int, device: str, found: Candidates) -> Case:
    """Affinities of m networks from maps of d elements of n probes.

    Parameters
    ----------
    m, n, d : int
        Networks, probes, map elements.
    device : str
        Where the data are.
    found : Candidates
        Gets the candidates.

    Returns
    -------
    Case
        Errors are absolute.
    """
    random = _generator(device)
    maps = torch.randn(m, n, d, device=device, generator=random)
    maps += torch.randn(n, d, device=device, generator=random)  # cosines around 1/2
    exact = _exact_affinity(maps)
    found.runs[OURS] = lambda: ops.cosine_affinity(maps)
    found.runs["normalize+matmul"] = lambda: rivals.normalize_matmul(maps)
    found.runs["bmm+diagonal"] = lambda: rivals.bmm_diagonal(maps)
    if m >= 64:
        found.runs["blocked bmm"] = lambda: rivals.blocked_bmm(maps)
    found.compiled("normalize+matmul", rivals.normalize_matmul, maps)
    found.compiled("bmm+diagonal", rivals.bmm_diagonal, maps)
    if device == "cpu":
        array = maps.numpy()
        found.looped("numpy loop", lambda: rivals.numpy_affinity(array), lambda: _loop_s(array))
    return Case(
        name=f"cosine_affinity {m}x{n}x{d}",
        op="cosine_affinity",
        shape={"m": m, "n": n, "d": d},
        moved_bytes=maps.numel() * _FLOAT + m * m * 8,
        multiply_adds=n * m * (m + 1) // 2 * d,
        candidates=found.runs,
        error=lambda _name, result: float((_tensor(result, device) - exact).abs().max()),
        limit=1e-8,
        left_out=found.left_out,
    )


def fused_affinity(m: int, n: int, side: int, device: str, found: Candidates) -> Case:
    """Affinities straight from gradients of m networks on n RGB images that all of them saw.

    Parameters
    ----------
    m, n, side : int
        Networks, images, their height and width.
    device : str
        Where the data are.
    found : Candidates
        Gets the candidates.

    Returns
    -------
    Case
        Errors are absolute.
    """
    random = _generator(device)
    grads = torch.randn(m, n, 3, side, side, device=device, generator=random)
    grads += torch.randn(n, 3, side, side, device=device, generator=random)
    image = torch.randn(n, 3, side, side, device=device, generator=random)
    d = side * side
    exact = torch.zeros(m, m, dtype=torch.float64, device=device)
    for k in range(n):
        maps = (grads[:, k].double() * image[k].double()).mean(1).flatten(1)
        exact += _exact_affinity(maps[:, None]) / n

    def two_parts() -> Tensor:
        rows = [ops.attribution_maps(grad, image, normalize=False) for grad in grads]
        return ops.cosine_affinity(torch.stack(rows))

    found.runs[OURS] = lambda: ops.fused_affinity(grads, image)
    found.runs["pyattrx, two parts"] = two_parts
    found.runs["eager"] = lambda: rivals.eager_fused(grads, image)
    found.compiled("eager", rivals.eager_fused, grads, image)
    if device == "cpu":
        arrays, seen = grads.numpy(), image.numpy()

        def loop() -> Any:
            return rivals.numpy_affinity(np.stack([rivals.numpy_maps(g, seen) for g in arrays]))

        found.looped("numpy loop", loop, lambda: _loop_s(arrays[:, :, 0].reshape(m, n, d)))
    return Case(
        name=f"fused_affinity {m}x{n}x3x{side}x{side}",
        op="fused_affinity",
        shape={"m": m, "n": n, "c": 3, "d": d},
        moved_bytes=(grads.numel() + image.numel()) * _FLOAT + m * m * 8,
        multiply_adds=grads.numel() + n * m * (m + 1) // 2 * d,
        candidates=found.runs,
        error=lambda _name, result: float((_tensor(result, device) - exact).abs().max()),
        limit=1e-8,
        left_out=found.left_out,
    )


def sketch(n: int, d: int, device: str, found: Candidates) -> Case:
    """Count sketch of n unit maps of d elements.

    Parameters
    ----------
    n, d : int
        Maps and their elements.
    device : str
        Where the data are.
    found : Candidates
        Gets the candidates.

    Returns
    -------
    Case
        No two candidates hash alike, so the error is that of inner products: of the sketches of two
        sets of maps with cosine 1/2, and of one with itself, over the number of maps.
    """
    random = _generator(device)
    noise = torch.randn(3, n, d, device=device, generator=random)
    maps, other = (torch.nn.functional.normalize(noise[2] + noise[i], dim=1) for i in range(2))
    exact = float((maps.double() * other.double()).sum() / n)
    index = torch.randint(_SKETCH_SIZE, (n * d,), device=device, generator=random)
    sign = torch.randint(2, (n, d), device=device, generator=random).float() * 2 - 1

    def added_at(rows: Tensor) -> Any:
        out = np.zeros(_SKETCH_SIZE, np.float32)
        np.add.at(out, index.numpy(), (rows.numpy() * sign.numpy()).ravel())
        return out

    functions: dict[str, Callable[[Tensor], Any]] = {
        OURS: lambda rows: ops.sketch(rows, size=_SKETCH_SIZE, normalize=False),
        "index_add": lambda rows: rivals.index_add_sketch(rows, index, sign, _SKETCH_SIZE),
    }
    for name, function in functions.items():
        found.runs[name] = partial(function, maps)
    found.compiled("index_add", rivals.index_add_sketch, maps, index, sign, _SKETCH_SIZE)
    functions["torch.compile: index_add"] = functions["index_add"]
    if device == "cpu":
        functions["numpy add.at"] = added_at
        found.looped("numpy add.at", lambda: added_at(maps), lambda: 0.0)

    def error(name: str, result: Any) -> float:
        left = _tensor(result, device)
        right = _tensor(functions[name](other), device)
        return max(abs(float(left @ right) / n - exact), abs(float(left @ left) / n - 1))

    return Case(
        name=f"sketch {n}x{d}",
        op="sketch",
        shape={"n": n, "d": d, "size": _SKETCH_SIZE},
        moved_bytes=(maps.numel() + _SKETCH_SIZE) * _FLOAT,
        multiply_adds=maps.numel(),
        candidates=found.runs,
        error=error,
        limit=6 / math.sqrt(_SKETCH_SIZE),
        left_out=found.left_out,
    )


def _generator(device: str) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)


def _tensor(result: Any, device: str) -> Tensor:
    """What a candidate returned, in float64, where the data are."""
    return torch.as_tensor(result).to(device, torch.float64)


def _exact_affinity(maps: Tensor) -> Tensor:
    """In float64, one probe at a time: all maps in float64 need not fit in memory."""
    m, n, _ = maps.shape
    total = torch.zeros(m, m, dtype=torch.float64, device=maps.device)
    for k in range(n):
        rows = maps[:, k].double()
        rows /= rows.norm(dim=1, keepdim=True)
        total += rows @ rows.T
    return total / n


def _loop_s(maps: rivals.Array) -> float:
    """Seconds that `rivals.numpy_affinity` will take, from some of its steps."""
    m, n = maps.shape[:2]
    steps = 4
    begun = time.perf_counter()
    for k in range(steps):
        rivals.numpy_cosine(maps[0, k % n], maps[-1, k % n])
    seconds = (time.perf_counter() - begun) / steps
    return seconds * int(n * m * (m - 1) // 2)
