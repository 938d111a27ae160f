"""The arithmetic of passes: what is set inside, and that everything comes back."""

import subprocess
import sys

import pytest
import torch

import pyattrx
from networks import build
from pyattrx.running import arithmetic

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
@pytest.mark.parametrize(("precision", "inside"), [("float32", "highest"), ("tf32", "high")])
def test_settings_come_back(before, precision, inside):
    # The flags can be set without a GPU.
    kept = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(before)
    try:
        with arithmetic(precision, CUDA):
            assert torch.get_float32_matmul_precision() == inside
            assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
        assert torch.get_float32_matmul_precision() == before
        with pytest.raises(KeyError), arithmetic(precision, CUDA):
            raise KeyError
        assert torch.get_float32_matmul_precision() == before
        assert torch.backends.cudnn.allow_tf32 == kept[1]
    finally:
        torch.set_float32_matmul_precision(kept[0])


NEW = """
import torch
from pyattrx.running import arithmetic
backends = torch.backends
places = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul]
CHANGE
def precisions():
    # The older way writes "ieee" where nothing was said, which means the same.
    return [place.fp32_precision.replace("none", "ieee") for place in places]
before = precisions()
for device in ("cpu", "cuda"):
    with arithmetic("float32", torch.device(device)):
        assert backends.cuda.matmul.fp32_precision in ("ieee", "none")
    assert precisions() == before
print("same")
"""


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="an older PyTorch"
)
@pytest.mark.parametrize(
    "change",
    [
        "backends.cuda.matmul.fp32_precision = 'tf32'",
        "backends.fp32_precision = 'tf32'",
        "backends.cudnn.conv.fp32_precision = 'ieee'",
        "backends.cudnn.fp32_precision = 'ieee'",
    ],
)
def test_the_newer_way_to_set_it_is_understood(change):
    # A process of its own: PyTorch does not forget which of the two ways was used.
    done = subprocess.run(
        [sys.executable, "-c", NEW.replace("CHANGE", change)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr


def test_an_autocast_around_the_call_changes_nothing():
    probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 32, 32))
    encoders = [pyattrx.Encoder(build(name), name=name) for name in ("plain", "resnet")]
    plain = pyattrx.affinity(encoders, probes, device="cpu", method="grad_x_input")
    with torch.autocast("cpu", torch.bfloat16):
        within = pyattrx.affinity(encoders, probes, device="cpu", method="grad_x_input")
        assert torch.is_autocast_enabled("cpu")
    assert (within.values == plain.values).all()
