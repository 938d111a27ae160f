"""Command line of the benchmarks: ``python -m benchmarks pipeline | gpu``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import gpu, pipeline
from pyattrx import ops


def main() -> None:
    """Run the benchmark that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)

    command = benchmarks.add_parser("pipeline", help="affinity() against a plain loop, on the CPU")
    command.add_argument("--rounds", type=int, default=3, help="repetitions; medians are quoted")
    command.add_argument("--networks", type=int, default=2, help="how many ResNet-18s")
    command.add_argument("--probes", type=int, default=64, help="how many images")
    command.add_argument("--out", type=Path, help="JSON file; in benchmarks/results by default")

    command = benchmarks.add_parser("gpu", help="the ops on a GPU against eager PyTorch")
    command.add_argument("--rounds", type=int, default=20, help="repetitions; medians are quoted")
    command.add_argument("--out", type=Path, help="JSON file; in benchmarks/results by default")

    given = parser.parse_args()
    if not ops.backends()["cpu"].startswith("native"):
        raise SystemExit(f"the kernels to measure are missing: {ops.backends()['cpu']}")
    if given.benchmark == "pipeline":
        pipeline.run(
            rounds=given.rounds, networks=given.networks, probes=given.probes, out=given.out
        )
    else:
        gpu.run(rounds=given.rounds, out=given.out)


if __name__ == "__main__":
    main()
