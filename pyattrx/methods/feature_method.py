"""Methods that compare networks by what they answer to a set of probes as a whole.

Attribution maps are rows, one for each probe, whose cosines are averaged. The methods here say
nothing about one probe alone: a network's outputs on all probes are reduced to a `Summary`, and
summaries are compared. How far a comparison can be trusted is told by a jackknife: what it says
without one block of probes, for every block. A bootstrap would show the same probe twice, which
these methods mistake for structure (a dissimilarity of 0, a probe left out that is still there).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods.base import ComparisonMethod, reference_to

__all__ = [
    "ROUNDINGS",
    "FeatureMethod",
    "Summary",
    "centered",
    "chunks",
    "is_constant",
    "widened",
]

# Columns of features that are taken to float64 at once.
_CHUNK_ELEMENTS = 1 << 22
#: A feature is constant where its values differ by no more than so many roundings.
ROUNDINGS = 16


@dataclass(frozen=True)
class Summary:
    """What is kept of a network.

    Attributes
    ----------
    arrays : dict of str to ndarray
        float32 or float64; the first axis is the probes.
    zero_probes : int
        Probes on which there is nothing to compare.
    facts : dict
        What else is worth knowing, as JSON types: shapes, features that never change.
    """

    arrays: dict[str, np.ndarray]
    zero_probes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureMethod(ComparisonMethod):
    """A way of comparing networks by what they answer to a set of probes.

    Each is a frozen dataclass of its own, such as `pyattrx.methods.Ridge`; a name such as "ridge"
    is short for one with the options that it has by itself. For a method of your own derive from
    this class: say in `observe` what is seen of a network, in `summarize` what is kept of it, and
    in `compare` how two are compared.

    Attributes
    ----------
    least_probes, least_groups : int
        How many probes, and groups of them, are needed.
    all_units_alike : bool
        Whether a unit that hardly changes counts as much as any other, so that what rounding left
        of it would, too.

    Examples
    --------
    How far the mean outputs of two networks are apart, on a scale of its own:

    >>> from dataclasses import dataclass
    >>> import numpy as np, torch, pyattrx
    >>> @dataclass(frozen=True)
    ... class MeanGap(pyattrx.FeatureMethod):
    ...     name = "mean_gap"
    ...     bounds = (float("-inf"), 0.0)
    ...     def summarize(self, observed):
    ...         means = observed["output"].flatten(1).double().mean(1)
    ...         return pyattrx.methods.Summary({"means": means.numpy()})
    ...     def compare(self, targets, sources, groups, blocks):
    ...         def gaps(keep):
    ...             t, s = ([one.arrays["means"][keep].mean() for one in some]
    ...                     for some in (targets, sources))
    ...             return -np.abs(np.subtract.outer(t, s))
    ...         return gaps(blocks >= 0), np.stack([gaps(blocks != b) for b in np.unique(blocks)])
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 16, 16))
    >>> nets = [pyattrx.Encoder(torch.nn.Conv2d(3, 2, 3), name=name) for name in "ab"]
    >>> found = pyattrx.affinity(nets, probes, MeanGap())
    >>> float(abs(found.values[0, 0])), found.symmetric
    (0.0, True)
    """

    least_probes: ClassVar[int] = 3
    least_groups: ClassVar[int] = 1
    all_units_alike: ClassVar[bool] = False

    def __new__(cls, *args: Any, **options: Any) -> FeatureMethod:  # noqa: D102
        if cls is FeatureMethod:
            expected = "pyattrx.methods.get(name), or a form of it: pyattrx.methods.Ridge(), say"
            raise InvalidTypeError("method", args[0] if args else cls, expected)
        for kind in cls.__mro__[: cls.__mro__.index(FeatureMethod)]:
            # Its options would be no part of it: two that differ would be the same.
            if "__init__" in vars(kind) and "__dataclass_fields__" not in vars(kind):
                raise InvalidTypeError("method", kind, "a class with @dataclass(frozen=True)")
        return super().__new__(cls)

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types.

        Raises
        ------
        InvalidValueError
            A method of one's own that cannot be imported again by its module and name.
        """
        kind = self.name if _is_ours(self) else reference_to("method", type(self))
        return {"kind": kind, **{one.name: getattr(self, one.name) for one in fields(self)}}

    def check_probes(self, groups: np.ndarray) -> None:
        """Refuse probes that are too few.

        Raises
        ------
        InvalidValueError
        """
        count, independent = len(groups), len(np.unique(groups))
        if count < self.least_probes:
            raise InvalidValueError(
                "probes", count, f"at least {self.least_probes} probe images for {self}"
            )
        if independent < self.least_groups:
            raise InvalidValueError(
                "probes.groups",
                independent,
                f"at least {self.least_groups} groups of probes for {self}",
            )

    def enough(self, groups: np.ndarray) -> bool:
        """Whether some of the probes, in these groups, can be compared alone."""
        return len(groups) >= self.least_probes and len(np.unique(groups)) >= self.least_groups

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network on a batch of probes.

        Parameters
        ----------
        encoder : PreparedEncoder
        images : Tensor [B, 3, H, W]
        probes : ndarray [B], int64
            Their numbers.

        Returns
        -------
        dict of str to Tensor [B, ...]
            float64 for a float64 network, float32 otherwise.
        """
        output, _ = encoder.outputs(encoder.preprocess(images))
        return {"output": widened(output)}

    @abstractmethod
    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Reduce what was observed on all probes, [N, ...] each, finite, on the host."""

    @abstractmethod
    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare networks, over all probes and without each block of them.

        Parameters
        ----------
        targets, sources : sequence of Summary
        groups, blocks : ndarray [N], int64
            Group of each probe, and the block that its group belongs to, 0 to K - 1.

        Returns
        -------
        values : ndarray [T, S], float64
        without : ndarray [K, T, S], float64
            NaN where what is left of the probes is not enough.
        """


def _is_ours(method: FeatureMethod) -> bool:
    return type(method).__module__.startswith("pyattrx.")


def widened(output: Tensor) -> Tensor:
    """An output in a type that its values can be compared in."""
    return output if output.dtype in (torch.float32, torch.float64) else output.float()


def centered(features: Tensor, *, scale: bool = False) -> tuple[np.ndarray, int]:
    """Gram matrix of features, less each feature's mean over the probes.

    Parameters
    ----------
    features : Tensor [N, ...]
    scale : bool
        Divide each feature by its standard deviation over the probes, too.

    Returns
    -------
    gram : ndarray [N, N], float64
        Of features scaled as a whole by a power of two, so that no square over- or underflows.
    constant : int
        Features that are the same on every probe; they do not contribute.
    """
    flat = features.flatten(1) if features.dim() > 1 else features[:, None]
    gram = np.zeros((len(flat), len(flat)))
    constant = 0
    exponent = int(np.frexp(float(flat.abs().max()))[1])
    for some in chunks(flat):
        x = flat[:, some].double().numpy()
        x = np.ldexp(x, -exponent)
        moving = ~is_constant(x, flat.dtype)
        constant += int((~moving).sum())
        x = x[:, moving] - x[:, moving].mean(0)
        if scale:
            x /= np.sqrt(np.square(x).mean(0))
        gram += x @ x.T
    return gram, constant


def is_constant(values: np.ndarray, dtype: torch.dtype) -> Any:
    """Whether values [N, ...], computed in a type, differ along the first axis by rounding only."""
    rounding = ROUNDINGS * torch.finfo(dtype).eps
    return np.ptp(values, axis=0) <= rounding * np.abs(values).max(0)


def chunks(flat: Tensor) -> Iterator[slice]:
    """Columns of features [N, D] that are taken to float64 at once."""
    step = max(1, _CHUNK_ELEMENTS // len(flat))
    for first in range(0, flat.shape[1], step):
        yield slice(first, first + step)
