"""Build the CPU kernels with ASan and UBSan and run the op tests over them.

A script and not a test: the sanitizers' runtime has to be there before Python starts.
"""

import os
import subprocess
import sys

from native_builds import ROOT, configure, make_site, sanitizers

BUILD = ROOT / "build" / "sanitize"


def main() -> int:
    """Return the exit code of pytest."""
    configure(BUILD, ATTRX_CUDA="OFF", ATTRX_SANITIZE="address,undefined")
    subprocess.run(["cmake", "--build", str(BUILD)], check=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": sanitizers(),
        # Python and torch keep what they allocate; their own leaks are not our business.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(make_site(BUILD)),
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
