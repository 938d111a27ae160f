"""Randomness that nothing but a seed and a name decides."""

from __future__ import annotations

import hashlib
import unicodedata

__all__ = ["seeded_hash"]


def seeded_hash(seed: int, purpose: str, name: str) -> bytes:
    """Return 32 bytes that are the same on every platform and under every release of anything."""
    # Accents are written in more than one way, and copying between systems may change which.
    text = f"{seed}\0{purpose}\0{unicodedata.normalize('NFC', name)}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
