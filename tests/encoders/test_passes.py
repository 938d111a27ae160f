"""Images with other last bits."""

import pytest
import torch

from pyattrx.encoders.passes import nudged


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_last_bits_are_changed_in_every_type(dtype):
    x = torch.rand(2, 3, 8, 8).to(dtype) + 0.5
    other = nudged(x)
    assert other.dtype == dtype
    apart = ((other.double() - x.double()) / x.double()).abs() / torch.finfo(dtype).eps
    assert bool((apart > 0.25).all())
    assert bool((apart < 2).all())
