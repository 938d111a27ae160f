"""The native code, built for scripts that look at it: nothing is installed."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pybind11

ROOT = Path(__file__).parent.parent


def configure(folder: Path, **options: str) -> None:
    """Configure a build of the project in `folder`."""
    options = {
        "CMAKE_BUILD_TYPE": "RelWithDebInfo",
        "CMAKE_PREFIX_PATH": pybind11.get_cmake_dir(),
        "Python_EXECUTABLE": sys.executable,
        **options,
    }
    command = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja"]
    command += [f"-D{name}={value}" for name, value in options.items()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_site(folder: Path, libraries: Iterable[Path] = ()) -> Path:
    """Put the package together with its module; return the folder to import it from."""
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "pyattrx", site / "pyattrx", ignore=shutil.ignore_patterns("*.so"))
    for library in [*folder.glob("_core*.so"), *libraries]:
        shutil.copy(library, site / "pyattrx")
    return site


def sanitizers() -> str:
    """Return what has to be loaded before Python, for modules built with ASan and UBSan."""
    return " ".join(
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    )
