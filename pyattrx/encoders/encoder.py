"""A network with what is needed to run it: preprocessing, and the output that stands for it."""

from __future__ import annotations

import contextlib
import copy
import difflib
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx.encoders.affine import Affine
from pyattrx.encoders.identity import weights_hash
from pyattrx.encoders.outputs import Output
from pyattrx.encoders.own_modules import plain_name
from pyattrx.encoders.prepared import PreparedEncoder
from pyattrx.encoders.transforms import Normalize, Transform
from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Encoder", "refused"]


class Encoder:
    """A network and how to run it. Making one is cheap; the module is never changed.

    Parameters
    ----------
    module : nn.Module
        Any network; ``torch.compile`` and ``DataParallel`` wrappers are looked through.
    name : str, optional
        The name in results; the class name in lower case if left out.
    output : str or callable, optional
        What stands for the network: the module's own output (None), the output of a submodule (its
        dotted name; nothing after it is computed), or ``output(module, x)``. Of tuples, mappings
        and dataclasses a documented choice is made, see `pyattrx.encoders.pick_tensor`.
    transform : Normalize or callable, optional
        Preprocessing of images [N, 3, H, W] in [0, 1], on the network's device. It must not crop or
        move the image: attribution maps are compared pixel by pixel.
    input_size : int or (int, int), optional
        Probes are resized to this height and width first (bilinear, antialiased).
    dtype : torch.dtype, optional
        Floating dtype that weights are rounded to, and passes are made in; the module's own if left
        out. float16, and a module's own bfloat16, are computed in float32, in which nothing is lost
        on the way back: in float16 most gradients would be zero.
    specification : str, optional
        How the network can be loaded again.
    features : str or callable, optional
        What a directional method reads from the network as a source: the same as `output` (None),
        or something else, said in the same two ways; often the last layer before the output.

    Attributes
    ----------
    known : dict
        What its loader knows of the network, and nothing can be told from the module: ``headless``,
        whether it has no classifier any more; ``license`` and ``url`` of its weights;
        ``imagenet_top1``, their published accuracy in percent; ``model``, timm's name of both.
    beside : tuple of str
        Layers that `features` are read at together, in one pass, where they are kept in a cache.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Wrong arguments; an unknown submodule is answered with similar names.

    Examples
    --------
    >>> import torch, pyattrx
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> encoder = pyattrx.Encoder(network, name="small", output="0")
    >>> encoder
    Encoder('small', Sequential, output='0')
    """

    def __init__(
        self,
        module: nn.Module,
        name: str | None = None,
        output: Output = None,
        transform: Transform | None = None,
        input_size: int | tuple[int, int] | None = None,
        *,
        dtype: torch.dtype | None = None,
        specification: str | None = None,
        features: Output = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise InvalidTypeError("module", module, "a torch.nn.Module")
        module = _unwrap(module)
        if name is None:
            name = type(module).__name__.lower()
        _check_name(name)
        _check_output("output", output, module)
        _check_output("features", features, module)
        if transform is not None and not callable(transform):
            raise InvalidTypeError("transform", transform, "None, pyattrx.Normalize or a callable")
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise InvalidValueError("dtype", dtype, "a floating torch.dtype, or None")
        self.module = module
        self.name = name
        self.output = output
        self.transform = transform
        self.input_size = _check_size(input_size)
        self.dtype = dtype or _own_dtype(module)
        self._cast = dtype is not None
        self.specification = specification
        self.features = features
        self.known: dict[str, Any] = {}
        self.beside: tuple[str, ...] = ()

    def read_at(
        self, *, output: Output = None, features: Output = None, name: str | None = None
    ) -> Encoder:
        """Return the same network, read at other places.

        Parameters
        ----------
        output, features : str or callable, optional
            As for `Encoder`; what is left out stays as it is.
        name : str, optional
            Another name, so that both can be compared.

        Returns
        -------
        Encoder
            Without a specification: that would load what was read before.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            As for `Encoder`.

        Examples
        --------
        >>> import torch, pyattrx
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        >>> pyattrx.Encoder(network, name="small").read_at(output="0", name="first layer")
        Encoder('first layer', Sequential, output='0')
        """
        made = copy.copy(self)
        if name is not None:
            _check_name(name)
            made.name = name
        for argument, value in (("output", output), ("features", features)):
            if value is not None:
                _check_output(argument, value, self.module)
                setattr(made, argument, value)
                made.specification = None
        return made

    def read_at_each(self, features: Sequence[str]) -> list[Encoder]:
        """Return the same network several times, its features read at one layer after another.

        `recommend` takes them as candidates, and its cache gets the features of all from the pass
        of the first: what more places cost is their scores.

        Parameters
        ----------
        features : sequence of str
            Dotted names of submodules.

        Returns
        -------
        list of Encoder
            One a layer, named after it.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            No layers, no names of any, or one twice.

        Examples
        --------
        >>> import torch, pyattrx
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
        >>> [one.name for one in pyattrx.Encoder(network, name="small").read_at_each(["0", "1"])]
        ['small?features=0', 'small?features=1']
        """
        if isinstance(features, str) or not isinstance(features, Sequence):
            raise InvalidTypeError("features", features, "names of submodules, such as ['layer3']")
        if not features or len(set(features)) < len(features):
            raise InvalidValueError("features", list(features), "at least one layer, each once")
        for layer in features:
            if not isinstance(layer, str):
                raise InvalidTypeError("features", layer, "names of submodules, such as ['layer3']")
        made = [self.read_at(features=one, name=f"{self.name}?features={one}") for one in features]
        for one in made:
            one.beside = tuple(features)
        return made

    def prepare(
        self,
        device: str | torch.device,
        example: Tensor,
        *,
        batch_size: int = 32,
        plain: bool = False,
        looked_at: bool = True,
        gradients: bool = True,
    ) -> PreparedEncoder:
        """Make the copy that is run: frozen, in eval mode, folded, on a device.

        Parameters
        ----------
        device : str or torch.device
        example : Tensor [N, 3, H, W]
            Some probes, float32 in [0, 1]; the first two are used to look at the network.
        batch_size : int
            Images in the batches to come. Of a network that is run on one image at a time nobody
            needs to know what it does with two.
        plain : bool
            Leave the copy as it is: neither folded nor laid out anew.
        looked_at : bool
            Whether to look at the network. Without that the copy is plain, and what methods take
            for granted is not known of it: only for one that was looked at before.
        gradients : bool
            Whether gradients will be asked for, and are looked at; without them it is cheaper.

        Returns
        -------
        PreparedEncoder
            A context manager; leaving it frees the copy.

        Raises
        ------
        AssumptionError
            The network is no function of one image: it is random, or mixes the images of a batch;
            or the copy refers to the original.
        EncoderError
            The network cannot be copied or run, its output is none, or the transform moves the
            image.
        """
        try:
            place = torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise InvalidValueError("device", device, "a torch device such as 'cpu'") from error
        return PreparedEncoder(
            self.module,
            self.name,
            self.output,
            self.transform,
            self.input_size,
            self.dtype,
            place,
            example,
            cast=self._cast,
            features=self.features,
            batch_size=batch_size,
            plain=plain,
            looked_at=looked_at,
            gradients=gradients,
        )

    def describe(self) -> dict[str, Any]:
        """Say what the network is, as JSON types: provenance of a result."""
        facts = {
            "name": self.name,
            "class": plain_name(f"{type(self.module).__module__}.{type(self.module).__qualname__}"),
            "parameters": sum(p.numel() for p in self.module.parameters()),
            "weights_hash": self.weights_hash(),
            "output": _output_named(self.output),
            "transform": None if self.transform is None else _named(self.transform),
            "input_size": None if self.input_size is None else list(self.input_size),
            "dtype": str(self.dtype).removeprefix("torch."),
            "specification": self.specification,
            "versions": _versions(type(self.module).__module__),
        }
        if self.dtype == torch.float16 or (self.dtype == torch.bfloat16 and not self._cast):
            facts["computed_in"] = "float32"
        if self.features is not None:  # a fact more, so that networks without it stay who they are
            facts["features"] = _output_named(self.features)
        return facts

    def weights_hash(self) -> str:
        """BLAKE2b-256 over names, shapes, dtypes and values of all tensors that the module holds.

        Its state, and beside it buffers that are not saved, tensors in plain attributes, quantised
        weights and the constants of TorchScript.
        """
        return weights_hash(self.module)

    def __repr__(self) -> str:
        parts = [repr(self.name), type(self.module).__name__]
        if self.output is not None:
            parts.append(f"output={self.output!r}")
        if self.features is not None:
            parts.append(f"features={self.features!r}")
        if self.transform is not None:
            parts.append(f"transform={self.transform!r}")
        if self.input_size is not None:
            parts.append(f"input_size={self.input_size}")
        return f"Encoder({', '.join(parts)})"


def refused(argument: str, value: Any, expected: str = "an Encoder") -> InvalidTypeError:
    """Return the error of a value that is no encoder; of a module it says how to make one of it."""
    if isinstance(value, nn.Module):
        expected += (
            f": wrap the module as pyattrx.Encoder(module, name={type(value).__name__.lower()!r}), "
            "with the transform= and input_size= that the network was trained with"
        )
    return InvalidTypeError(argument, value, expected)


def _unwrap(module: nn.Module) -> nn.Module:
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner = getattr(module, "_orig_mod", None)  # torch.compile
        if isinstance(module, wrappers):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _own_dtype(module: nn.Module) -> torch.dtype:
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidTypeError("name", name, "a str")
    if not name.strip():
        raise InvalidValueError("name", name, "a name that is not empty")


def _check_output(argument: str, output: Any, module: nn.Module) -> None:
    if not isinstance(output, str):
        if output is not None and not callable(output):
            raise InvalidTypeError(argument, output, "None, a submodule's name or a callable")
        return
    names = [n for n, _ in module.named_modules() if n]
    if output not in names:
        near = difflib.get_close_matches(output, names, n=5, cutoff=0.3) or names[:5]
        raise InvalidValueError(argument, output, f"a submodule's dotted name, such as {near}")


def _check_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, Integral) else size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(isinstance(v, Integral) and not isinstance(v, bool) for v in pair)
    ):
        raise InvalidTypeError("input_size", size, "an integer, or a height and a width")
    if min(pair) < 1:
        raise InvalidValueError("input_size", size, "at least 1")
    return int(pair[0]), int(pair[1])


def _versions(module: str) -> dict[str, str]:
    """Versions of torch and of the package that the network's class comes from."""
    found = {"torch": str(torch.__version__)}
    package = module.partition(".")[0]
    with contextlib.suppress(PackageNotFoundError, ValueError):  # the user's own code has none
        found.setdefault(package, version(package))
    return found


def _output_named(output: Output) -> str | None:
    return output if isinstance(output, str | None) else _named(output)


def _named(value: Callable[..., Any]) -> str:
    if isinstance(value, Normalize | Affine):
        return repr(value)
    module = getattr(value, "__module__", type(value).__module__)
    return plain_name(f"{module}:{getattr(value, '__qualname__', type(value).__qualname__)}")
