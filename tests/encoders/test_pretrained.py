"""Networks of transformers, saved as their owners save them."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

import pyattrx
from pyattrx.encoders import Affine
from pyattrx.errors import EncoderError, UntrainedWarning

transformers = pytest.importorskip("transformers")
BACKEND = "" if transformers.utils.is_torchvision_available() else "Pil"

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip
VISION = SMALL | {"image_size": 32, "patch_size": 8}
TEXT = SMALL | {
    "vocab_size": 99, "max_position_embeddings": 20,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
SQUARE = {"height": 32, "width": 32}
X = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def vit(kind="ViTModel", **options):
    return getattr(transformers, kind)(transformers.ViTConfig(**VISION, **options))


def saved(folder, module, kind="ViT", **options):
    module.save_pretrained(folder)
    options = {"size": SQUARE} | options
    getattr(transformers, f"{kind}ImageProcessor{BACKEND}")(**options).save_pretrained(folder)
    return f"transformers:{folder}"


def edit(folder, change):
    """Change the weights of a checkpoint."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def silently(specification):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return pyattrx.load(specification)


def output(encoder):
    with encoder.prepare("cpu", X) as prepared:
        return prepared.forward(prepared.preprocess(X))


def test_no_classifier_is_loaded(tmp_path):
    network = vit("ViTForImageClassification", num_labels=7)
    encoder = silently(saved(tmp_path, network))
    assert encoder.known["headless"]
    assert output(encoder).shape == (3, 17, 16)


TOWERS = {
    "CLIP": ("CLIP", {"crop_size": SQUARE}),
    "Siglip": ("Siglip", {}),
    "Blip": ("Blip", {}),
    "ChineseCLIP": ("ChineseCLIP", {"crop_size": SQUARE}),
    "CLIPSeg": ("ViT", {}),
    "OwlViT": ("OwlViT", {"crop_size": SQUARE}),
}


@pytest.mark.parametrize("name", TOWERS)
def test_the_part_that_sees_images(tmp_path, name):
    config = getattr(transformers, f"{name}Config")(vision_config=VISION, text_config=TEXT)
    torch.manual_seed(0)
    whole = getattr(transformers, f"{name}Model")(config).eval()
    kind, options = TOWERS[name]
    encoder = silently(saved(tmp_path, whole, kind, **options))
    assert "Vision" in type(encoder.module).__name__
    with encoder.prepare("cpu", X) as prepared:
        x = prepared.preprocess(X)
        z = prepared.forward(x)
    assert torch.allclose(z, whole.vision_model(x).last_hidden_state, atol=1e-6)
    assert silently(encoder.specification).weights_hash() == encoder.weights_hash()
    pooled = pyattrx.Encoder(
        encoder.module, "pooled", lambda module, x: module(x).pooler_output, encoder.transform, 32
    )
    assert output(pooled).shape == (3, 16)


def test_a_part_among_others_by_another_name(tmp_path):
    config = transformers.FlavaConfig(
        image_config=VISION, text_config=TEXT, multimodal_config=SMALL,
        image_codebook_config={"num_groups": 1, "hidden_size": 8},
    )  # fmt: skip
    whole = transformers.FlavaModel(config)
    encoder = silently(saved(tmp_path, whole, "Flava", crop_size=SQUARE))
    assert type(encoder.module).__name__ == "FlavaImageModel"
    assert output(encoder).shape == (3, 17, 16)


@pytest.mark.parametrize("name", ["Bert", "Vilt"])
def test_networks_without_a_part_for_images_alone(tmp_path, name):
    config = getattr(transformers, f"{name}Config")(**TEXT | VISION)
    module = getattr(transformers, f"{name}Model")(config)
    with pytest.raises(EncoderError, match=f"{name}Model takes input_ids and more"):
        pyattrx.load(saved(tmp_path, module))


def test_channels_that_change_places(tmp_path):
    module = transformers.MobileViTModel(transformers.MobileViTConfig(image_size=64))
    size = {"height": 64, "width": 64}
    name = saved(tmp_path, module, "MobileViT", size={"shortest_edge": 72}, crop_size=size)
    encoder = silently(name)
    assert isinstance(encoder.transform, Affine)
    assert encoder.describe()["transform"].startswith("Affine(matrix=((0.0, 0.0, 1.0)")
    with encoder.prepare("cpu", X) as prepared:
        assert torch.equal(prepared.preprocess(X), prepared.preprocess(X.flip(1)).flip(1))
        swapped = pyattrx.Encoder(encoder.module, "plain", input_size=64)
        with swapped.prepare("cpu", X) as plain:
            assert torch.equal(prepared.preprocess(X), plain.preprocess(X.flip(1)))
    assert (
        pyattrx.affinity(
            [encoder, swapped], pyattrx.Probes.from_tensor(X), method="grad_x_input"
        ).values[0, 1]
        < 0.999
    )


class TestProcessors:
    def test_that_are_not_saved(self, tmp_path):
        vit().save_pretrained(tmp_path)
        with pytest.raises(
            EncoderError, match="no image processor is saved.*save_pretrained.*tran"
        ):
            pyattrx.load(f"transformers:{tmp_path}")

    def test_that_are_not_understood(self, tmp_path):
        name = saved(tmp_path, vit(), "GLPN", size=None)
        with pytest.raises(EncoderError, match=r"transformers:.*GLPNImageProcessor.*no fixed size"):
            pyattrx.load(name)

    def unbuilt(self, tmp_path, monkeypatch, **changes):
        name = saved(tmp_path, vit(), "ViT")
        path = tmp_path / "preprocessor_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

        def fail(*_, **__):
            raise ImportError("needs the torchvision library")

        monkeypatch.setattr(transformers.AutoImageProcessor, "from_pretrained", fail)
        return name

    def test_that_cannot_be_built_are_read(self, tmp_path, monkeypatch):
        encoder = silently(self.unbuilt(tmp_path, monkeypatch))
        assert encoder.transform == pyattrx.Normalize((0.5,) * 3, (0.5,) * 3)
        assert encoder.input_size == (32, 32)

    def test_that_cannot_be_built_or_read_are_refused(self, tmp_path, monkeypatch):
        name = self.unbuilt(tmp_path, monkeypatch, do_invert=True)
        message = "cannot be built .needs the torchvision library.*do_invert=True.*transform="
        with pytest.raises(EncoderError, match=message):
            pyattrx.load(name)

    def test_of_code_of_its_own_are_not_run(self, tmp_path):
        name = saved(tmp_path, vit())
        (tmp_path / "mine.py").write_text("raise SystemError('run')\n")
        config = {
            "image_processor_type": "MineImageProcessor",
            "auto_map": {"AutoImageProcessor": "mine.MineImageProcessor"},
        }
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
        (tmp_path / "config.json").write_text(
            json.dumps(json.loads((tmp_path / "config.json").read_text()) | {"model_type": "vit"})
        )
        with pytest.raises(EncoderError, match="MineImageProcessor"):
            pyattrx.load(name)


class TestMissingWeights:
    """transformers draws them at random, at each load."""

    def test_that_nothing_depends_on(self, tmp_path, capfd):
        """A classifier's checkpoint has no pooler, and the last hidden state does not need one."""
        name = saved(tmp_path, vit("ViTForImageClassification"))
        capfd.readouterr()
        made = [silently(name) for _ in range(2)]
        assert made[0].weights_hash() == made[1].weights_hash()
        assert torch.equal(output(made[0]), output(made[1]))
        assert capfd.readouterr() == ("", "")

    def test_of_the_other_tower(self, tmp_path):
        config = transformers.CLIPConfig(vision_config=VISION, text_config=TEXT)
        name = saved(tmp_path, transformers.CLIPModel(config), "CLIP", crop_size=SQUARE)
        edit(tmp_path, lambda w: {k: v for k, v in w.items() if "text_model" not in k})
        silently(name)

    def test_that_what_is_read_depends_on(self, tmp_path):
        name = saved(tmp_path, vit("ViTForImageClassification"))
        with pytest.warns(
            UntrainedWarning, match=r"lacks weights.*% of all .pooler.dense.bias, po"
        ):
            made = pyattrx.load(f"{name}?output=pooler")
        assert made.module.pooler.dense.weight.any()
        with pytest.warns(UntrainedWarning, match="pooler"):
            pyattrx.load(f"{name}?features=pooler")
        silently(f"{name}?output=layernorm")

    @pytest.mark.parametrize("key", ["layernorm.weight", "cls_token", "intermediate.dense.weight"])
    def test_in_the_midst(self, tmp_path, key):
        name = saved(tmp_path, vit())
        before = load_file(tmp_path / "model.safetensors")
        (lost,) = [k for k in before if k.endswith(key)]
        edit(tmp_path, lambda w: {k: v for k, v in w.items() if k != lost})
        with pytest.warns(UntrainedWarning, match="lacks weights that its output depends on"):
            pyattrx.load(name)

    def test_that_are_nearly_all(self, tmp_path):
        name = saved(tmp_path, vit())
        edit(tmp_path, lambda w: {f"other.{k}": v for k, v in w.items()})
        with pytest.raises(EncoderError, match=r"% of all .*checkpoint of another network"):
            pyattrx.load(name)

    def test_are_not_missed_where_others_are_loaded(self, tmp_path):
        name = saved(tmp_path, vit())
        weights = tmp_path / "all.safetensors"
        save_file(vit().state_dict(), weights)
        edit(tmp_path, lambda w: {f"other.{k}": v for k, v in w.items()})
        assert silently(f"{name}?weights={weights}").weights_hash()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pyattrx.load(name, weights=weights)


def test_the_loggers_are_left_as_they_were(tmp_path):
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        silently(saved(tmp_path, vit()))
        assert logging.get_verbosity() == logging.INFO
    finally:
        logging.set_verbosity(before)
