"""The current folder may be a copy of this package's sources: its networks are still found."""

import subprocess
import sys
from pathlib import Path

import pyattrx

RUN = """
import os, pyattrx
os.chdir({folder!r})
print(pyattrx.load("pyattrx.demo.minitaskonomy:edge2d").name)
"""


def test_networks_of_this_package_are_found_beside_a_copy_of_it(tmp_path):
    copied = tmp_path / "pyattrx"
    copied.mkdir()
    (copied / "__init__.py").write_text("raise ImportError('this is another one')\n")
    made = subprocess.run(
        [sys.executable, "-c", RUN.format(folder=str(tmp_path))],
        cwd=Path(pyattrx.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "edge2d" in made.stdout
