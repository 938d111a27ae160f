"""Build the CPU kernels with ASan and UBSan and run the op tests over them.

A script and not a test: the sanitizers' runtime has to be there before Python starts.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "sanitize"


def main() -> int:
    """Return the exit code of pytest."""
    subprocess.run(
        [
            "cmake",
            *("-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja"),
            "-DATTRX_CUDA=OFF",
            "-DATTRX_SANITIZE=address,undefined",
            "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
            f"-DCMAKE_PREFIX_PATH={pybind11.get_cmake_dir()}",
            f"-DPython_EXECUTABLE={sys.executable}",
        ],
        check=True,
    )
    subprocess.run(["cmake", "--build", str(BUILD)], check=True)
    site = BUILD / "site"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "pyattrx", site / "pyattrx", ignore=shutil.ignore_patterns("*.so"))
    (module,) = BUILD.glob("_core*.so")
    shutil.copy(module, site / "pyattrx")
    runtime = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(runtime),
        # Python and torch keep what they allocate; their own leaks are not our business.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(site),
    }
    # Registration and compilation are torch's: they take minutes under ASan and touch no kernel.
    # And ASan has an allocator of its own.
    chosen = "not operators_are_registered and not compile_without and not freed_memory"
    tests = [str(ROOT / "tests" / name) for name in ("test_ops.py", "test_sketch.py")]
    command = [sys.executable, "-P", "-m", "pytest", "-q", *tests]
    return subprocess.run(
        [*command, "-k", chosen, "-p", "no:cacheprovider"], env=environment, cwd=BUILD, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
