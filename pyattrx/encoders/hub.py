"""Weights of Hugging Face's hub without a connection: one sentence, not a minute of retries.

Its client tries again where an address cannot be found, several times for each file, and has no
setting for that. What it has in its cache it finds without a connection, so only what is not there
is refused here.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies

from pyattrx.errors import EncoderError

__all__ = ["check_reachable"]


def check_reachable(repository: str, files: Sequence[str], specification: str) -> None:
    """Refuse at once what is neither in the hub's cache nor can be downloaded.

    Parameters
    ----------
    repository : str
        ``owner/name``.
    files : sequence of str
        Of which one is in the cache wherever the network was loaded before.
    specification : str
        What is loaded, for the message.

    Raises
    ------
    EncoderError
    """
    try:
        from huggingface_hub import constants, try_to_load_from_cache
    except ImportError:  # then nothing is downloaded with it
        return
    try:
        if any(isinstance(try_to_load_from_cache(repository, name), str) for name in files):
            return
    except ValueError:  # no name of a repository: whoever loads it says so
        return
    host = urlsplit(constants.ENDPOINT).hostname
    if host is None or getproxies():  # a proxy finds the address
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise EncoderError(
            f"{specification!r}: it was not downloaded before, and {host} cannot be found "
            f"({error.strerror}); connect to the network, or copy {repository} into the cache of "
            "huggingface_hub from a machine that has it (HF_HOME says where it is)"
        ) from error
