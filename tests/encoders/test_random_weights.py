"""NAME@random: one specification is one network, and nobody's random numbers are touched."""

import sys
import types

import pytest
import torch

import pyattrx
from pyattrx.encoders import expand
from pyattrx.errors import InvalidValueError


@pytest.fixture(params=["timm", "torchvision"])
def name(request, monkeypatch):
    """A specification without its variant; of timm where it is not installed, of a stand-in."""
    if request.param == "torchvision":
        pytest.importorskip("torchvision", exc_type=ImportError)
        return "torchvision:shufflenet_v2_x0_5"
    config = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "input_size": (3, 32, 32)}
    timm = types.ModuleType("timm")
    timm.create_model = lambda *_, **__: torch.nn.Conv2d(3, 2, 3)
    timm.get_pretrained_cfg = lambda name: None
    timm.list_models = lambda pattern, pretrained: [] if pretrained else ["net1", "net2"]
    timm.data = types.SimpleNamespace(resolve_model_data_config=lambda module: config)
    monkeypatch.setitem(sys.modules, "timm", timm)
    return "timm:net1"


def hash_of(specification):
    return pyattrx.load(specification).weights_hash()


def test_one_specification_is_one_network(name):
    torch.manual_seed(1)
    first = hash_of(f"{name}@random")
    torch.manual_seed(2)
    assert hash_of(f"{name}@random") == hash_of(f"{name}@random=0") == first
    assert hash_of(f"{name}@random=7") == hash_of(f"{name}@random=7") != first
    assert pyattrx.load(f"{name}@random=7").specification == f"{name}@random=7"


def test_what_the_caller_has_set_is_no_part_of_it(name):
    expected = hash_of(f"{name}@random")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), torch.inference_mode():
            assert hash_of(f"{name}@random") == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_callers_random_numbers_go_on(name):
    before = torch.get_rng_state()
    pyattrx.load(f"{name}@random=3")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", ["", "-1", "x", "1.5", "9" * 30])
def test_seeds_that_are_none(name, seed):
    with pytest.raises(InvalidValueError, match=r"@random=SEED"):
        pyattrx.load(f"{name}@random={seed}")


def test_patterns_keep_the_seed(name):
    found = expand(f"{name[:-1]}?@random=7")
    assert f"{name}@random=7" in found


# Of every way in which timm draws weights: convolutions, attention, tokens, mixers.
@pytest.mark.parametrize("model", ["resnet10t", "vit_tiny_patch16_224", "convnext_atto",
                                   "mixer_s32_224", "efficientnet_lite0"])  # fmt: skip
def test_the_real_timm(model):
    pytest.importorskip("timm", exc_type=ImportError)
    made = {pyattrx.load(f"timm:{model}@random{seed}").weights_hash() for seed in ("", "=0", "=1")}
    assert len(made) == 2
