"""``python -m benchmarks`` is ``pyattrx bench``, with its messages and exit codes."""

from __future__ import annotations

import sys

from pyattrx.cli import main

if __name__ == "__main__":
    main(["bench", *sys.argv[1:]])
