"""Lists of timm's networks to begin with: ``timm:@small``, ``timm:@base`` and ``timm:@diverse``.

Chosen by hand for variety of architecture and of pretraining; the reason stands beside each name.
None of them was chosen for how it scores.
"""

from __future__ import annotations

from pyattrx._near import did_you_mean
from pyattrx.encoders.random_weights import random_seed
from pyattrx.errors import InvalidValueError

__all__ = ["CURATED", "curated"]

CURATED = {
    # Up to 12 million parameters.
    "small": {
        "resnet18.a1_in1k": "residual network, a modern recipe",
        "resnet18.fb_swsl_ig1b_ft_in1k": "the same network, pretrained on a billion tagged photos",
        "densenet121.ra_in1k": "each layer sees all before it",
        "mobilenetv2_100.ra_in1k": "inverted residuals",
        "mobilenetv3_large_100.miil_in21k_ft_in1k": "architecture search; 21,000 classes first",
        "mobilenetv4_conv_small.e2400_r224_in1k": "a later search for phones, trained long",
        "efficientnet_b0.ra_in1k": "compound scaling",
        "regnety_008.pycls_in1k": "a regular design space",
        "ghostnet_100.in1k": "cheap features from other features",
        "repvit_m1_0.dist_300e_in1k": "branches merged after training; distilled",
        "starnet_s3.in1k": "element-wise products",
        "convnext_atto.d2_in1k": "convolutions in a transformer's layout",
        "convnextv2_atto.fcmae_ft_in1k": "the same layout, masked autoencoding first",
        "poolformerv2_s12.sail_in1k": "pooling in the place of attention",
        "efficientvit_b0.r224_in1k": "linear attention",
        "xcit_nano_12_p16_224.fb_in1k": "attention across channels",
        "levit_128.fb_dist_in1k": "convolutional stem, attention, distilled",
        "mobilevit_s.cvnets_in1k": "convolutions and attention in turn",
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k": "plain transformer; 21,000 classes first",
        "tiny_vit_11m_224.dist_in22k_ft_in1k": "windows of attention; taught by a large network",
    },
    # 15 to 100 million parameters.
    "base": {
        "resnet50.a1_in1k": "residual network, a modern recipe",
        "resnet50.fb_swsl_ig1b_ft_in1k": "the same network, pretrained on a billion tagged photos",
        "resnetv2_50x1_bit.goog_in21k": "group norm, no batch norm; 21,000 classes",
        "regnety_032.ra_in1k": "a regular design space",
        "hrnet_w32.ms_in1k": "high resolution to the end",
        "tf_efficientnet_b4.ns_jft_in1k": "compound scaling; noisy student on unlabeled photos",
        "tf_efficientnetv2_s.in21k": "fused blocks; 21,000 classes",
        "convnext_tiny.fb_in22k": "convolutions in a transformer's layout; 22,000 classes",
        "convnextv2_base.fcmae_ft_in22k_in1k": "masked autoencoding first, then labels",
        "mambaout_base.in1k": "gated convolutions",
        "vit_base_patch16_224.augreg_in21k": "plain transformer; 21,000 classes",
        "deit3_base_patch16_224.fb_in22k_ft_in1k": "the same network, another recipe",
        "swin_base_patch4_window7_224.ms_in22k": "shifted windows; 22,000 classes",
        "maxvit_tiny_tf_224.in1k": "attention in blocks and in grids",
        "caformer_s36.sail_in22k": "convolutions first, attention later",
        "pvt_v2_b3.in1k": "a pyramid of attention",
        "focalnet_base_srf.ms_in1k": "focal modulation in the place of attention",
        "mixer_b16_224.goog_in21k": "perceptrons only",
        "vit_base_patch16_clip_224.laion2b": "images and captions",
        "vit_base_patch14_dinov2.lvd142m": "self-supervised, no labels (images of 518 pixels)",
    },
    # Pretraining that differs as much as it can; 25 to 310 million parameters, most below 100.
    "diverse": {
        "resnet50.a1_in1k": "labels of ImageNet",
        "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k": "labels that a teacher made",
        "resnet50_clip.openai": "images and captions, convolutions",
        "resnetv2_50x1_bit.goog_in21k": "21,000 classes",
        "tresnet_m.miil_in21k": "21,000 classes in their hierarchy",
        "tf_efficientnet_b4.ns_jft_in1k": "noisy student on 300 million unlabeled photos",
        "convnext_base.clip_laion2b": "two billion public images and captions",
        "convnextv2_tiny.fcmae": "masked autoencoding, convolutions, no labels",
        "swin_base_patch4_window7_224.ms_in22k": "22,000 classes, windows of attention",
        "cait_s24_224.fb_dist_in1k": "distilled, deep transformer",
        "resmlp_24_224.fb_dino": "self-distillation, perceptrons only, no labels",
        "vit_base_patch16_224.mae": "masked autoencoding, no labels",
        "vit_base_patch16_224.dino": "self-distillation, no labels",
        "vit_base_patch14_dinov2.lvd142m": "the same with masks, 142 million photos (518 pixels)",
        "beitv2_base_patch16_224.in1k_ft_in22k": "visual words predicted, then 22,000 classes",
        "eva02_base_patch14_224.mim_in22k": "features of CLIP predicted under masks",
        "vit_base_patch16_clip_224.openai": "images and captions, transformer",
        "vit_base_patch16_siglip_224.v2_webli": "captions with a pairwise loss, many languages",
        "vit_pe_core_base_patch16_224.fb": "captions of images and of video",
        "aimv2_large_patch14_224.apple_pt": "patches and captions, one after another",
    },
}


def curated(name: str, specification: str) -> list[str]:
    """List the ``timm:NAME`` that ``@small``, or ``@small@random``, stands for.

    Parameters
    ----------
    name : str
        What follows ``timm:``.
    specification : str
        For the message.

    Raises
    ------
    InvalidValueError
        There is no such list.
    """
    title, at, variant = name.removeprefix("@").partition("@")
    if title not in CURATED or (at and random_seed(variant) is None):
        lists = ", ".join(f"timm:@{one}" for one in CURATED)
        near = did_you_mean(title, list(CURATED))
        raise InvalidValueError(
            "specification", specification, f"{lists}, or one of them with @random{near}"
        )
    return [f"timm:{model}{at}{variant}" for model in CURATED[title]]
