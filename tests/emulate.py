"""Run the CUDA kernels on an emulated device (tests/emulation), as C++ built by g++, without a GPU.

    python tests/emulate.py            # every op, and the tests of the CUDA ops in two orders
    python tests/emulate.py address    # every op, and most tests in one order, under ASan and UBSan
    python tests/emulate.py thread     # every op under ThreadSanitizer: races

Each first proves on kernels with a mistake (wrong_kernels.cu) that it finds that kind of mistake.
A script and not a test: a sanitizer's runtime has to be there before Python starts.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from native_builds import ROOT, configure, make_site, sanitizers

SANITIZERS = {"plain": "", "address": "address,undefined", "thread": "thread"}
ORDERS = ["ascending", "descending", "7"]  # ways in which threads take turns; a number is a seed
# The tests of the ops, by mode: in which orders, and which. Half precision takes the paths of
# single precision, slowly under a sanitizer.
TESTED = {"plain": ORDERS[1:], "address": ORDERS[2:], "thread": []}
CHOSEN = {"address": "not dtype2 and not dtype3"}
REPORTS = {
    "ASAN_OPTIONS": "detect_leaks=0",  # Python and torch keep what they allocate
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}

RACE = "ThreadSanitizer: data race"
DIFFERENT = "results that differ between orders"
# What each wrong kernel shows, in which mode. It may show more in others.
MISTAKES = {
    "no_barrier_static": {"plain": DIFFERENT, "thread": RACE},
    "no_barrier_dynamic": {"plain": DIFFERENT, "thread": RACE},
    "one_barrier_of_two": {"plain": DIFFERENT, "thread": RACE},
    "shuffle_for_barrier": {"thread": RACE},
    "two_blocks_one_place": {"plain": DIFFERENT, "thread": RACE},
    "past_dynamic": {
        "plain": "wrote past its 512 bytes of dynamic shared memory",
        "address": "use-after-poison",
    },
    "past_global": {"address": "heap-buffer-overflow"},
    "unaligned_pack": {"address": "misaligned address"},
    "never_written": {"plain": "nan"},
    "barrier_for_some": dict.fromkeys(SANITIZERS, "40 of 64 threads wait at a barrier"),
    "shuffle_for_some": dict.fromkeys(SANITIZERS, "lanes 0x0000ffff have returned"),
    "two_masks": dict.fromkeys(SANITIZERS, "lanes 0x55555555 wait, lane 0 for all of 0xffffffff"),
    "lane_outside_mask": dict.fromkeys(SANITIZERS, "reads lane 3, which is not in the mask"),
    "barrier_and_shuffle": dict.fromkeys(SANITIZERS, "lanes 0x00000001 wait at a barrier"),
    "no_blocks": dict.fromkeys(SANITIZERS, "invalid configuration: 0 blocks of 64 threads"),
    "many_threads": dict.fromkeys(SANITIZERS, "invalid configuration: 1 block of 1025 threads"),
    "much_shared_memory": dict.fromkeys(SANITIZERS, "where at most 49152 are allowed"),
}
RIGHT = ["right", "right_large", "products"]


def build(mode: str) -> Path:
    """Build what the mode runs; return the folder."""
    folder = ROOT / "build" / "emulate" / mode
    configure(folder, ATTRX_CUDA="EMULATED", ATTRX_SANITIZE=SANITIZERS[mode])
    # torch does not live with ThreadSanitizer: there the programs are all there is to run.
    targets = ["attrx_cases", "attrx_wrong_kernels", *([] if mode == "thread" else ["_core"])]
    subprocess.run(["cmake", "--build", str(folder), "--target", *targets], check=True)
    return folder


def run(
    program: Path, *arguments: str, order: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program whose threads take turns in this order; its output is that of both streams."""
    return subprocess.run(
        [str(program), *arguments],
        env={**os.environ, **REPORTS, "ATTRX_EMULATED_ORDER": order, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def missed_mistakes(folder: Path, mode: str) -> list[str]:
    """Kernels whose mistake does not show, and right ones that are found to have one."""
    program = folder / "tests" / "emulation" / "attrx_wrong_kernels"
    missed = []
    for name, shown in MISTAKES.items():
        if mode not in shown:
            continue
        one, other = (run(program, name, order=order) for order in ORDERS[:2])
        found = shown[mode] in one.stdout
        if shown[mode] == DIFFERENT:  # and results there are: a crash in one order is none
            codes = one.returncode, other.returncode
            found = one.stdout != other.stdout and codes == (0, 0)
        if not found:
            what = f"{one.stdout!r} ({one.returncode}), {other.stdout!r} ({other.returncode})"
            missed.append(f"{name}: {shown[mode]!r} expected, found {what}")
    for name in RIGHT:
        outputs = [run(program, name, order=order) for order in ORDERS]
        if any(done.returncode for done in outputs) or len({done.stdout for done in outputs}) > 1:
            missed.append(f"{name}: {[done.stdout for done in outputs]!r}")
    return missed


def test(site: Path, mode: str, order: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of the CUDA ops over the package in `site`."""
    # One thread: torch's others would only wait for the emulation's one.
    environment = {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    if mode == "address":
        environment["LD_PRELOAD"] = sanitizers()
    tests = str(ROOT / "tests" / "test_ops_cuda.py")
    command = [
        "-P",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        CHOSEN.get(mode, ""),
        tests,
    ]
    return run(Path(sys.executable), *command, order=order, **environment)


def main() -> int:
    """Return 0 if the device finds what it shall find, and nothing in our kernels."""
    mode = sys.argv[1] if len(sys.argv) > 1 else "plain"
    folder = build(mode)
    missed = missed_mistakes(folder, mode)
    print("\n".join(missed) or f"{mode}: every mistake is found")
    cases = run(folder / "tests" / "emulation" / "attrx_cases", order="ascending")
    print(cases.stdout, flush=True)
    failed = bool(missed) or cases.returncode != 0
    orders = TESTED[mode]
    device = folder / "tests" / "emulation" / "libattrx_cuda.so"
    site = make_site(folder, [device]) if orders else folder
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tests = pool.map(lambda order: test(site, mode, order), orders)
        for order, done in zip(orders, tests, strict=True):
            print(f"{mode}, threads in order {order}\n{done.stdout}", flush=True)
            # With another module than the emulated one everything is skipped.
            failed |= done.returncode != 0 or " passed" not in done.stdout
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
