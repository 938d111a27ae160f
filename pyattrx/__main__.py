"""``python -m pyattrx`` is the command line."""

from pyattrx.cli import main

if __name__ == "__main__":
    main()
