"""Compile the CUDA kernels and fail if one spills registers; nothing is run.

A script and not a test: it builds for a minute and needs nvcc.
"""

import os
import re
import subprocess
import sys

from native_builds import ROOT, configure

BUILD = ROOT / "build" / "spills"
# ptxas names a kernel, then its spills, then its registers.
COMPILED = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")


def main() -> int:
    """Return 1 if any kernel spills, or if the log shows none at all."""
    architectures = sys.argv[1] if len(sys.argv) > 1 else "90-real"
    configure(
        BUILD,
        ATTRX_CUDA="ON",
        ATTRX_PTXAS_VERBOSE="ON",
        CMAKE_BUILD_TYPE="Release",
        CMAKE_CUDA_ARCHITECTURES=architectures,
    )
    # An object that is there already would not be compiled, and not be in the log.
    command = ["cmake", "--build", str(BUILD), "--clean-first", "--target", "attrx_cuda"]
    built = subprocess.run(
        [*command, "--parallel", str(os.cpu_count() or 1)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        print(built.stdout)
        return built.returncode
    kernel, kernels, spilling = ("", ""), 0, []
    for line in built.stdout.splitlines():
        if named := COMPILED.search(line):
            kernel = (named[1], named[2])
        if spills := SPILLS.search(line):
            kernels += 1
            if spills[1] != "0" or spills[2] != "0":
                spilling.append(f"{kernel[0]} ({kernel[1]}): {spills[0]}")
    print(f"{kernels} kernels compiled for {architectures}, {len(spilling)} spill registers")
    print("\n".join(spilling), end="")
    return 1 if spilling or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
