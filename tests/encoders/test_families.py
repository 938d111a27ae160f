"""Architectures as timm and transformers have them, with random weights: none is refused.

Runs where timm, torchvision or transformers can be imported; nothing is downloaded.
"""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx

TIMM = [
    "resnet18",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "efficientnet_b0",
    "mobilenetv4_conv_small",
    "regnety_002",
    "vit_small_patch14_reg4_dinov2",
    "eva02_tiny_patch14_224",
    "maxvit_tiny_tf_224",
    "nf_regnet_b0",
    "mobilevit_xs",
    "coatnet_nano_rw_224",
    "fastvit_t8",
    "hiera_tiny_224",
    "edgenext_xx_small",
    "levit_128s",
    "dla34",
    "repvgg_a0",
    "mixer_s16_224",
    "xcit_nano_12_p16_224",
    "beit_base_patch16_224",
    "volo_d1_224",
    "convmixer_768_32",
    "gmlp_s16_224",
    "poolformer_s12",
    "cait_xxs24_224",
    "densenet121",
    "ghostnet_100",
    "hrnet_w18_small",
    "mobileone_s0",
    "pvt_v2_b0",
    "crossvit_tiny_240",
    "sequencer2d_s",
    "convit_tiny",
    "twins_svt_small",
    "inception_v3",
    "efficientformer_l1",
    "efficientvit_b0",
    "repvit_m0_9",
    "starnet_s1",
    "resnetv2_50",
    "botnet26t_256",
    "halonet26t",
    "lambda_resnet26t",
]

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 64}
STAGES = {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]}
WINDOWS = {"image_size": 64, "embed_dim": 24, "depths": [1, 1], "num_heads": [2, 2]}
TRANSFORMERS = {
    "ViT": SMALL,
    "DeiT": SMALL,
    "Beit": SMALL,
    "Dinov2": SMALL,
    "Dinov2WithRegisters": SMALL,
    "CLIPVision": SMALL,
    "SiglipVision": SMALL,
    "Data2VecVision": SMALL,
    "ViTMSN": SMALL,
    "Swin": {**WINDOWS, "window_size": 4},
    "Swinv2": {**WINDOWS, "window_size": 4},
    "ConvNext": STAGES,
    "ConvNextV2": STAGES,
    "ResNet": {**STAGES, "embedding_size": 16},
    "RegNet": {**STAGES, "embedding_size": 16, "groups_width": 8},
    "PoolFormer": STAGES,
    "MobileViT": {"image_size": 64},
    "MobileNetV2": {"image_size": 64},
    "Segformer": {"image_size": 64},
    "PvtV2": {"image_size": 64},
    "Levit": {"image_size": 64},
}


def shaken(module):
    """As after some training: new norms have the same mean for every image, new heads are zero."""
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if "Norm" in type(part).__name__ and isinstance(weight, nn.Parameter):
            nn.init.uniform_(weight, 0.5, 1.5)
        if isinstance(part, nn.Linear) and not weight.any():
            nn.init.normal_(weight, std=0.05)
    return module.eval()


def other():
    layers = (
        nn.Conv2d(3, 4, 7, 4),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    )
    return pyattrx.Encoder(nn.Sequential(*layers), name="other")


def is_answered(module, size):
    before = {name: value.clone() for name, value in module.state_dict().items()}
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    probes = pyattrx.Probes.from_tensor(images)
    encoders = [pyattrx.Encoder(module, name="one"), other()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = pyattrx.affinity(encoders, probes, pyattrx.Method("saliency"))
    assert np.isfinite(result.values).all()
    assert 0 < result.values[0, 1] < 1
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    timm = pytest.importorskip("timm", exc_type=ImportError)
    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False)
    size = module.default_cfg["input_size"][-1]
    if size > 300:
        size = 112
        module = timm.create_model(name, pretrained=False, img_size=size)
    is_answered(shaken(module), size)


@pytest.mark.parametrize("name", sorted(TRANSFORMERS))
def test_transformers(name):
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**TRANSFORMERS[name])
    is_answered(shaken(getattr(transformers, f"{name}Model")(config)), 64)
