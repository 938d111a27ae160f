"""How much memory `affinity` takes, by method and number of probes: `python -m benchmarks.memory`.

Four small networks (convolutions of 16, 32 and 64 channels with stride 2) see 100, 1000 and 4000
random images of 64 x 64. Every case is a process of its own, on one thread. Counted is what it
takes at most, less what it has after the same with twelve images, when all libraries are loaded:
what is resident, pages of scratch files included, and what of it is no file's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from itertools import product
from pathlib import Path

__all__ = ["CASES", "measure", "one"]

_OUT = Path(__file__).parent / "results" / "memory.json"
_SIZE = 64
_EVERY = 0.005  # seconds between two looks
# rsa ranks pairs of probes once for each block: 4000 of them take minutes.
CASES = [
    case
    for case in product(("saliency", "recommended", "cka", "rsa"), (100, 1000, 4000))
    if case != ("rsa", 4000)
]


def _status(name: str) -> int:
    """Bytes of this process, as the kernel counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise OSError(f"the kernel does not count {name}")


def one(method: str, count: int) -> dict[str, float | int | str]:
    """Measure one case, in this process."""
    import torch
    from torch import nn

    import pyattrx

    torch.set_num_threads(1)
    pyattrx.set_progress(False)

    def network(seed: int) -> pyattrx.Encoder:
        torch.manual_seed(seed)
        layers = [
            layer
            for width, channels in ((3, 16), (16, 32), (32, 64))
            for layer in (nn.Conv2d(width, channels, 3, 2, 1), nn.ReLU())
        ]
        return pyattrx.Encoder(nn.Sequential(*layers), name=f"net{seed}")

    def images(n: int) -> pyattrx.Probes:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (n, 3, _SIZE, _SIZE), generator=generator)
        return pyattrx.Probes.from_tensor(pixels.to(torch.uint8))

    networks = [network(seed) for seed in range(4)]
    probes = images(count)
    pyattrx.affinity(networks, images(12), method, device="cpu")
    before = {name: _status(name) for name in ("VmRSS", "RssAnon")}
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    most, done = before["RssAnon"], threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(_EVERY):
            most = max(most, _status("RssAnon"))

    looking = threading.Thread(target=look)
    looking.start()
    begun = time.process_time()
    pyattrx.affinity(networks, probes, method, device="cpu")
    seconds = time.process_time() - begun
    done.set()
    looking.join()
    return {
        "method": method,
        "probes": count,
        "resident": _status("VmHWM") - before["VmRSS"],
        "anonymous": most - before["RssAnon"],
        "cpu_seconds": round(seconds, 2),
    }


def measure(cases: list[tuple[str, int]]) -> dict[str, object]:
    """Measure cases one after another, each in a new process."""
    from .measure import machine

    found = []
    for method, count in cases:
        command = [sys.executable, "-m", __spec__.name, method, str(count)]
        # From where the package is: the sources of another one may be here.
        here = Path(__file__).resolve().parents[__spec__.name.count(".")]
        out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=here).stdout
        found.append(json.loads(out))
    return {"image": _SIZE, "networks": 4, "machine": machine(), "cases": found}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(sys.argv[1], int(sys.argv[2]))))
    else:
        _OUT.write_text(json.dumps(measure(CASES), indent=1) + "\n")
