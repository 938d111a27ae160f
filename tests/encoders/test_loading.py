"""Loading by specification: factories, timm, transformers, exported programs, weights."""

import pickle
import re
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import pyattrx
from networks import build
from pyattrx.encoders import load_weights, loading, read_weights
from pyattrx.encoders.specifications import Parts
from pyattrx.errors import (
    EncoderError,
    InvalidTypeError,
    InvalidValueError,
    MissingDependencyError,
    UntrustedError,
)


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "import torch, pyattrx\n"
        "def module():\n    return torch.nn.Conv2d(3, 2, 3)\n"
        "def encoder():\n    return pyattrx.Encoder(module(), name='mine')\n"
        "def fails():\n    raise RuntimeError('no weights here')\n"
        "def number():\n    return 3\n"
        "constant = 3\n"
        "class Group:\n    @staticmethod\n    def inner():\n        return module()\n"
    )
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_networks", None)


def test_factories(factories):
    made = pyattrx.load("my_networks:module")
    assert made.name == made.specification == "my_networks:module"
    assert pyattrx.load("my_networks:encoder").name == "mine"
    assert pyattrx.load("my_networks:Group.inner").name == "my_networks:Group.inner"
    by_path = pyattrx.load(f"{factories / 'my_networks.py'}:encoder")
    assert by_path.name == "mine"
    assert by_path.specification.endswith("my_networks.py:encoder")


@pytest.mark.parametrize(
    ("specification", "kind", "message"),
    [
        ("my_networks:absent", EncoderError, "has no 'absent'"),
        ("my_networks:fails", EncoderError, "RuntimeError: no weights here"),
        ("my_networks:number", EncoderError, "returned a int"),
        ("my_networks:constant", EncoderError, "is a int"),
        ("absent_package:f", EncoderError, "importing absent_package failed"),
        ("broken.py:f", EncoderError, "no_such_module_at_all"),
        ("absent.py:f", InvalidValueError, "existing Python file"),
        ("resnet18", InvalidValueError, "timm:NAME"),
        (":f", InvalidValueError, "specification"),
        ("package:", InvalidValueError, "specification"),
        (3, InvalidTypeError, "specification=3"),
        ("absent.pt2", InvalidValueError, "existing .pt2"),
    ],
)
def test_specifications_that_do_not_work(factories, specification, kind, message):
    with pytest.raises(kind, match=message):
        pyattrx.load(specification)


def test_affinity_takes_specifications(factories, probes):
    result = pyattrx.affinity(
        ["my_networks:module", "my_networks:encoder"], probes, method="grad_x_input"
    )
    assert result.names == ["my_networks:module", "mine"]
    assert result.provenance["networks"][0]["specification"] == "my_networks:module"


def test_exported_programs_need_trust(tmp_path, images, probes):
    network = build("resnet")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    path = tmp_path / "program.pt2"
    torch.export.save(program, path)
    with pytest.raises(UntrustedError, match="trust=True"):
        pyattrx.load(str(path))
    # Where a call has no such argument, what the error offers goes in the path's place.
    with pytest.raises(UntrustedError) as refused:
        pyattrx.affinity([str(path)], probes)
    (offered,) = re.findall(r"pyattrx\.load\('(.*)', trust=True\)", str(refused.value))
    encoder = pyattrx.load(offered, trust=True)
    assert pyattrx.affinity([encoder], probes).names == ["program"]
    with encoder.prepare("cpu", images) as prepared:
        z = prepared.forward(prepared.preprocess(images))
    assert torch.allclose(z, network(images), atol=1e-4)
    plain = pyattrx.Encoder(build("resnet"), name="module")
    for method in ("grad_x_input", "elrp"):
        same = pyattrx.affinity([plain, encoder], probes, method)
        assert same.values[0, 1] == pytest.approx(1, abs=1e-6)


def test_a_file_that_is_no_program(tmp_path):
    path = tmp_path / "noise.pt2"
    path.write_bytes(b"nothing")
    with pytest.raises(EncoderError, match="not an exported program"):
        pyattrx.load(str(path), trust=True)


def fake_timm(monkeypatch):
    timm = types.ModuleType("timm")
    asked = {}

    def create_model(name, pretrained, num_classes):
        if name not in timm.list_models("*"):
            raise RuntimeError(f"Unknown model ({name})")
        asked.update(name=name, pretrained=pretrained, num_classes=num_classes)
        return build("plain")

    def list_models(pattern, pretrained=False):
        import fnmatch

        return fnmatch.filter(["resnet18", "resnet34", "vit_tiny"], pattern)

    config = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "input_size": (3, 32, 40), "crop_pct": 0.9}
    timm.create_model, timm.list_models = create_model, list_models
    timm.get_pretrained_cfg = lambda name: None
    timm.data = types.SimpleNamespace(resolve_model_data_config=lambda module: config)
    monkeypatch.setitem(sys.modules, "timm", timm)
    return asked


def test_timm_gives_its_own_preprocessing_and_pooled_features(monkeypatch):
    asked = fake_timm(monkeypatch)
    encoder = pyattrx.load("timm:resnet18")
    assert asked == {"name": "resnet18", "pretrained": True, "num_classes": 0}
    assert encoder.transform == pyattrx.Normalize((0.5,) * 3, (0.25,) * 3)
    assert encoder.input_size == (32, 40)
    pyattrx.load("timm:resnet18@random")
    assert asked["pretrained"] is False
    names = [e.name for e in pyattrx.load_many("timm:resnet*")]
    assert names == ["timm:resnet18", "timm:resnet34"]
    with pytest.raises(InvalidTypeError, match=r"features=3 .*expected the name of a submodule"):
        pyattrx.load_many("timm:resnet*", features=3)


def test_one_layer_of_many_networks(monkeypatch):
    fake_timm(monkeypatch)
    found = pyattrx.load_many("timm:resnet*", output="head", features="conv2")
    ends = "?output=head&features=conv2"
    assert [e.name for e in found] == [f"timm:resnet{n}{ends}" for n in (18, 34)]
    assert pyattrx.load("timm:resnet18", output="head").name == "timm:resnet18?output=head"


def test_timm_errors(monkeypatch):
    fake_timm(monkeypatch)
    with pytest.raises(EncoderError, match="Unknown model"):
        pyattrx.load("timm:resnet19")
    with pytest.raises(InvalidValueError, match="pattern"):
        list(pyattrx.load_many("timm:bert*"))
    with pytest.raises(InvalidValueError, match="not 2"):
        pyattrx.load("timm:resnet*")
    with pytest.raises(InvalidValueError, match="@random"):
        pyattrx.load("timm:resnet18@v2")


def test_missing_packages_are_named(monkeypatch):
    real = importlib_find_spec()
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: None if name == "timm" else real(name, *a)
    )
    with pytest.raises(MissingDependencyError, match="pip install timm"):
        pyattrx.load("timm:resnet18")


def importlib_find_spec():
    import importlib.util

    return importlib.util.find_spec


def test_a_package_that_does_not_import_is_reported_with_its_own_error(monkeypatch, tmp_path):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("raise RuntimeError('operator nms missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(EncoderError, match="installed but does not import.*nms missing"):
        pyattrx.load("timm:resnet18")


def test_the_real_timm():
    try:
        import timm  # noqa: F401
    except Exception as error:
        pytest.skip(f"timm does not import here: {error}")
    encoder = pyattrx.load("timm:resnet18@random")
    assert encoder.input_size == (224, 224)


def test_transformers_from_a_folder(tmp_path, images):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=24,
        patch_size=8,
    )
    torch.manual_seed(0)
    transformers.ViTModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "do_resize": true, "do_normalize": true,'
        ' "size": {"height": 24, "width": 24}, "image_mean": [0.5, 0.5, 0.5],'
        ' "image_std": [0.5, 0.5, 0.5]}'
    )
    encoder = pyattrx.load(f"transformers:{tmp_path}")
    assert encoder.input_size == (24, 24)
    assert encoder.transform == pyattrx.Normalize((0.5,) * 3, (0.5,) * 3)
    with encoder.prepare("cpu", images) as prepared:
        z = prepared.forward(prepared.preprocess(images))
    assert z.shape == (6, 10, 16)


def test_weights_of_both_kinds(tmp_path):
    network = build("plain", seed=3)
    state = network.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "parallel.pt")
    for name in ("weights.safetensors", "plain.pt", "checkpoint.pth", "parallel.pt"):
        other = build("plain", seed=4)
        load_weights(other, tmp_path / name)
        assert all(torch.equal(v, state[k]) for k, v in other.state_dict().items())


class Evil:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_weights_that_would_execute_code_are_refused(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(UntrustedError, match=r"evil\.pt.*would execute code"):
        read_weights(path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises((UntrustedError, EncoderError)):
        read_weights(tmp_path / "evil.pkl")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(UntrustedError):
        read_weights(tmp_path / "module.pt")
    assert "never be printed" not in capsys.readouterr().out


def test_weights_that_do_not_fit_or_are_damaged(tmp_path, factories):
    torch.save({"a": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(EncoderError, match=r"other\.pt does not fit Conv2d"):
        pyattrx.load("my_networks:module", weights=tmp_path / "other.pt")
    (tmp_path / "noise.safetensors").write_bytes(b"nothing at all")
    with pytest.raises(EncoderError, match="not a safetensors file"):
        read_weights(tmp_path / "noise.safetensors")
    (tmp_path / "noise.pt").write_bytes(b"nothing at all")
    with pytest.raises((EncoderError, UntrustedError), match="noise"):
        read_weights(tmp_path / "noise.pt")
    with pytest.raises(InvalidValueError, match="existing file"):
        read_weights(tmp_path / "absent.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(EncoderError, match="holds a list"):
        read_weights(tmp_path / "list.pt")


@pytest.fixture
def shared(tmp_path):
    """A file whose factories return one module and one encoder, every time; and two weights."""
    from safetensors.torch import save_file

    (tmp_path / "neighbour.py").write_text("WIDTH = 4\n")
    (tmp_path / "shared.py").write_text(
        "from dataclasses import dataclass\nimport pyattrx\nfrom torch import nn\n"
        "from neighbour import WIDTH\n"
        "@dataclass\nclass Options:\n    width: 'int' = WIDTH\n"
        "NET = nn.Conv2d(3, Options().width, 3)\nENCODER = pyattrx.Encoder(NET, name='mine')\n"
        "def net():\n    return NET\n"
        "def encoder():\n    return ENCODER\n"
    )
    for seed in (1, 2):
        torch.manual_seed(seed)
        save_file(nn.Conv2d(3, 4, 3).state_dict(), tmp_path / f"w{seed}.safetensors")
    return tmp_path


def test_weights_go_into_a_copy_of_what_the_factory_returns(shared):
    factory = f"{shared}/shared.py:net"
    first = pyattrx.load(factory, weights=shared / "w1.safetensors")
    second = pyattrx.load(factory, weights=shared / "w2.safetensors")
    assert first.module is not second.module
    assert not torch.equal(first.module.weight, second.module.weight)


def test_weights_in_the_specification(shared):
    factory = f"{shared}/shared.py:net"
    names = [f"{factory}?weights={shared}/w{seed}.safetensors" for seed in (1, 2)]
    made = [encoder for name in names for encoder in pyattrx.load_many(name)]
    assert [encoder.name for encoder in made] == names
    assert [encoder.specification for encoder in made] == names
    assert made[0].weights_hash() != made[1].weights_hash()
    with pytest.raises(InvalidValueError, match="weights=.*an existing file"):
        pyattrx.load(f"{factory}?weights={shared}/none.safetensors")


@pytest.mark.parametrize("inside", [False, True], ids=["argument", "specification"])
def test_weights_are_part_of_the_specification(shared, monkeypatch, inside):
    monkeypatch.chdir(shared)
    if inside:
        made = pyattrx.load("shared.py:net?weights=w1.safetensors")
    else:  # what is loaded last counts
        made = pyattrx.load("shared.py:net?weights=w2.safetensors", weights="w1.safetensors")
    assert made.name == "shared.py:net?weights=w1.safetensors"
    assert made.specification == f"{shared}/shared.py:net?weights={shared}/w1.safetensors"
    monkeypatch.chdir("/")
    assert pyattrx.load(made.specification).describe()["class"] == made.describe()["class"]
    assert pyattrx.load(made.specification).weights_hash() == made.weights_hash()


class TestLayersInTheSpecification:
    factory = "torch.nn:Identity"

    def test_are_read(self, shared, monkeypatch):
        (shared / "deep.py").write_text(
            "from torch import nn\n"
            "def net():\n"
            "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))\n"
        )
        monkeypatch.chdir(shared)
        name = "deep.py:net?output=0&features=1"
        made = pyattrx.load(name)
        assert (made.output, made.features, made.name) == ("0", "1", name)
        assert made.specification == f"{shared}/{name}"
        facts = made.describe()
        assert (facts["output"], facts["features"]) == ("0", "1")
        with made.prepare("cpu", torch.rand(1, 3, 8, 8)) as prepared:
            output, features = prepared.outputs(torch.rand(1, 3, 8, 8))
        assert output.shape == features.shape == (1, 4, 6, 6)
        only = pyattrx.load("deep.py:net?features=2")
        assert (only.output, only.features) == (None, "2")
        assert pyattrx.load("deep.py:net").features is None
        many = pyattrx.affinity(
            ["deep.py:net", "deep.py:net?output=0"],
            pyattrx.Probes.from_tensor(torch.rand(4, 3, 8, 8)),
            method="grad_x_input",
        )
        assert many.names == ["deep.py:net", "deep.py:net?output=0"]

    def test_of_a_network_read_elsewhere_nothing_is_said(self, shared):
        """What was said would load it as it was read before."""
        made = pyattrx.load(f"{shared}/shared.py:net")
        assert made.read_at(output=lambda net, x: net(x)).specification is None
        assert made.read_at().specification == made.specification is not None

    def test_a_path_may_hold_what_looks_like_an_option(self, shared):
        torch.save(nn.Conv2d(3, 4, 3).state_dict(), shared / "a?output=b.pt")
        name = f"{shared}/shared.py:net?output=0&weights={shared}/a?output=b.pt"
        # A convolution has no such layer.
        with pytest.raises(InvalidValueError, match="output='0'"):
            pyattrx.load(name)
        plain = name.replace("?output=0&", "?", 1)
        made = pyattrx.load(plain)
        assert made.output is None
        assert made.specification == plain

    @pytest.mark.parametrize(
        "written",
        [
            "?output=b&features=a&weights=w.pt",
            "?weights=w.pt&features=a&output=b",
            "?features=a?output=b?weights=w.pt",
        ],
    )
    def test_may_come_in_any_order(self, written):
        made = Parts.of("torch.nn:ReLU" + written)
        assert made == Parts("torch.nn:ReLU", {"output": "b", "features": "a"}, "w.pt")
        assert str(made) == "torch.nn:ReLU?output=b&features=a&weights=w.pt"

    def test_are_arguments_in_python(self, shared):
        layers = shared / "layers.py"
        layers.write_text(
            "from torch import nn\n"
            "def net():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())\n"
        )
        said = pyattrx.load(f"{layers}:net?output=1&features=0")
        made = pyattrx.load(f"{layers}:net", output="1", features="0")
        assert (made.name, made.output, made.features) == (said.name, "1", "0")
        assert made.specification == said.specification
        assert pyattrx.load(f"{layers}:net?output=0", output="1").output == "1"
        with pytest.raises(InvalidTypeError, match="output=''"):
            pyattrx.load(f"{layers}:net", output="")

    @pytest.mark.parametrize(
        "more",
        ["?output=", "?output=a&output=b", "?features=&output=a", "?weights=",
         "?weights=&output=a"],
    )  # fmt: skip
    def test_are_refused_by_halves(self, more):
        with pytest.raises(InvalidValueError, match="specification="):
            pyattrx.load(self.factory + more)

    def test_go_with_every_match_of_a_pattern(self, monkeypatch):
        found = types.SimpleNamespace(list_models=lambda *_, **__: ["a8", "b8"])
        monkeypatch.setattr(loading, "timm_package", lambda: found)
        assert loading.expand("timm:?8@random?features=x&weights=w") == [
            "timm:a8@random?features=x&weights=w", "timm:b8@random?features=x&weights=w",
        ]  # fmt: skip


def test_specifications_mean_the_same_in_every_folder(shared, monkeypatch):
    monkeypatch.chdir(shared)
    made = pyattrx.load("shared.py:net")
    assert made.name == "shared.py:net"
    assert made.specification == f"{shared}/shared.py:net"
    torch.export.save(torch.export.export(nn.ReLU(), (torch.rand(2, 3),)), "program.pt2")
    program = pyattrx.load("program.pt2", trust=True)
    assert (program.name, program.specification) == ("program", f"{shared}/program.pt2")
    assert pyattrx.load("torch.nn:Identity").specification == "torch.nn:Identity"


def test_weights_for_an_exported_program(shared):
    program = torch.export.export(nn.Conv2d(3, 4, 3), (torch.rand(1, 3, 8, 8),))
    torch.export.save(program, shared / "program.pt2")
    weights = shared / "w1.safetensors"
    made = pyattrx.load(f"{shared}/program.pt2", weights=weights, trust=True)
    again = pyattrx.load(made.specification, trust=True)
    assert again.weights_hash() == made.weights_hash()
    assert again.specification == f"{shared}/program.pt2?weights={weights}"


def test_an_encoder_of_the_users_is_not_renamed(shared):
    import sys

    before = list(sys.path)
    encoder = pyattrx.load(f"{shared}/shared.py:encoder")
    assert encoder.name == "mine"
    assert encoder.specification == f"{shared}/shared.py:encoder"
    (module,) = [m for n, m in sys.modules.items() if n.endswith(".shared")][-1:]
    assert module.ENCODER.specification is None
    assert sys.path == before


def test_a_torchscript_archive_is_not_weights(shared):
    torch.jit.script(nn.Conv2d(3, 4, 3)).save(str(shared / "script.pt"))
    with pytest.raises(UntrustedError, match="TorchScript"):
        pyattrx.load(f"{shared}/shared.py:net", weights=shared / "script.pt")
