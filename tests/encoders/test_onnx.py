"""Networks in ONNX files: as their torch twins, or refused; and nothing of a file is executed."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.encoders import network_file
from pyattrx.errors import EncoderError, InvalidValueError, MissingDependencyError


def needed(name):
    try:
        return __import__(name)
    except Exception as error:
        pytest.skip(f"{name} does not import here: {error}", allow_module_level=False)


@pytest.fixture
def onnx():
    for name in ("onnx2torch", "onnxruntime"):
        needed(name)
    return needed("onnx")


class Small(nn.Module):
    """A residual network with batch norm, and two equal biases, which an exporter writes once."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
        for layer in (self.block[0], self.block[2]):
            nn.init.constant_(layer.bias, 0.1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


def export(path, module, *, batch=None, side=32, **options):
    example = torch.rand(batch or 2, 3, side, side)
    axes = {} if batch else {"dynamic_axes": {"images": {0: "batch"}}}
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=False,
        input_names=["images"],
        opset_version=17,
        **axes,
        **options,
    )
    return path


@pytest.fixture
def twin():
    torch.manual_seed(3)
    module = Small()
    module(torch.rand(16, 3, 32, 32))  # statistics of its own
    return module.eval()


@pytest.fixture
def file(onnx, twin, tmp_path):
    return export(tmp_path / "small.onnx", twin)


@pytest.mark.parametrize("method", ["saliency", "grad_x_input", "elrp", "recommended", "cka"])
def test_affinities_are_those_of_the_twin(file, twin, method):
    torch.manual_seed(0)
    probes = pyattrx.Probes.from_tensor(torch.rand(12, 3, 32, 32))
    other = pyattrx.Encoder(Small().eval(), name="other")
    first = pyattrx.affinity([other, pyattrx.Encoder(twin, name="twin")], probes, method)
    second = pyattrx.affinity([other, pyattrx.load(str(file))], probes, method)
    np.testing.assert_allclose(second.values, first.values, rtol=1e-4, atol=1e-6)


def test_what_is_read_of_a_file(file, monkeypatch):
    encoder = pyattrx.load(str(file))
    assert encoder.name == "small" and encoder.input_size == (32, 32)
    assert encoder.transform is None
    monkeypatch.chdir(file.parent)
    by_kind = pyattrx.load("onnx:small.onnx?output=stem_stem_2_Relu")
    assert by_kind.specification == f"onnx:{file}?output=stem_stem_2_Relu"
    assert by_kind.output == "stem_stem_2_Relu"
    assert not encoder.module.training


@pytest.mark.parametrize(("batch", "probes"), [(1, 5), (4, 6)])
def test_a_fixed_size_of_batches(onnx, twin, tmp_path, batch, probes):
    file = export(tmp_path / "fixed.onnx", twin, batch=batch)
    images = torch.rand(probes, 3, 32, 32)
    encoder = pyattrx.load(str(file))
    with torch.no_grad(), encoder.prepare("cpu", images, batch_size=batch) as prepared:
        x = prepared.preprocess(images)
        z = torch.cat([prepared.forward(part) for part in x.split(batch)])
    torch.testing.assert_close(z, twin(images), rtol=1e-4, atol=1e-5)


def make(
    onnx, path, nodes, *, inputs=None, weights=(), opset=17, domains=(), outputs=("y",), rank=4
):
    """Write a file of nodes."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    inputs = inputs or [("x", float32, ["n", 3, 8, 8])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(name, float32, [None] * rank) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_every_operator_that_is_not_known_is_named(onnx, tmp_path):
    node = onnx.helper.make_node
    path = make(
        onnx,
        tmp_path / "odd.onnx",
        [
            node("Relu", ["x"], ["a"]),
            node("Mystery", ["a"], ["b"], domain="somebody"),
            node("Hardmax", ["b"], ["c"]),
            node("Hardmax", ["c"], ["y"]),
        ],
        domains=["somebody"],
    )
    with pytest.raises(EncoderError) as raised:
        pyattrx.load(str(path))
    names = "Hardmax (opset 17), somebody.Mystery (opset 1)"
    assert str(raised.value) == (
        f"{path}: has operators that cannot be converted to PyTorch: {names}"
    )


def test_a_later_opset_is_read_as_an_earlier_one(onnx, tmp_path):
    node = onnx.helper.make_node
    nodes = [node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    weights = [("axes", np.array([2, 3]))]
    path = make(onnx, tmp_path / "later.onnx", nodes, opset=18, weights=weights, rank=2)
    module = pyattrx.load(str(path)).module
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(module(x), x.mean((2, 3)))


def test_several_outputs_are_the_first(onnx, tmp_path):
    node = onnx.helper.make_node
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])]
    path = make(onnx, tmp_path / "two.onnx", nodes, outputs=("z", "y"))
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(pyattrx.load(str(path)).module(x), -x)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([("x", 1, ["n", 8, 8, 3])], r"takes 'x' float \[\?, 8, 8, 3\]; expected one input of im"),
        ([("x", 1, ["n", 3])], r"takes 'x' float \[\?, 3\]"),
        ([("x", 2, ["n", 3, 8, 8])], r"takes 'x' uint8 \[\?, 3, 8, 8\]"),
        ([("x", 1, [1, 3, 8, 8]), ("s", 1, [1])], r"\[1, 3, 8, 8\], 's' float \[1\]; expected one"),
    ],
)
def test_other_inputs_than_images(onnx, tmp_path, inputs, said):
    nodes = [onnx.helper.make_node("Shape", ["x"], ["y"])]
    path = make(onnx, tmp_path / "other.onnx", nodes, inputs=inputs, rank=1)
    with pytest.raises(EncoderError, match=said):
        pyattrx.load(str(path))


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x08\x07", bytes(range(256))])
def test_damaged_files(onnx, tmp_path, content):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    with pytest.raises(EncoderError, match=r"damaged\.onnx: not an ONNX file, or damaged"):
        pyattrx.load(str(path))


def test_a_file_that_ends_early(file):
    content = file.read_bytes()
    for share in (0.3, 0.7, 0.99):
        file.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(EncoderError, match=r"small\.onnx: "):
            pyattrx.load(str(file))


HOSTILE = 'x", getattr(__import__("os"), "mkdir")("executed")) or getattr(self, "x'


def test_names_are_never_executed(onnx, tmp_path, monkeypatch):
    """The converter's text is compiled with names in it: those of the file must not get there."""
    import onnx2torch

    monkeypatch.chdir(tmp_path)
    node = onnx.helper.make_node
    nodes = [
        node("Relu", ["x"], [HOSTILE], name=HOSTILE),
        node("Mul", [HOSTILE, HOSTILE + "w"], ["b"], name="forward"),
        node("Add", ["b", HOSTILE + "w"], ["y"], name="7.forward"),
    ]
    weights = [(HOSTILE + "w", np.ones(1, np.float32))]
    path = make(onnx, tmp_path / "hostile.onnx", nodes, weights=weights)
    encoder = pyattrx.load(str(path))
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(encoder.module(x), x + 1)
    assert "executed" not in {one.name for one in tmp_path.iterdir()}
    assert all(name.isidentifier() for name, _ in encoder.module.named_children())
    # The converter alone would have.
    alone = make(onnx, tmp_path / "alone.onnx", [node("Relu", ["x"], ["y"], name=HOSTILE)])
    with pytest.raises(AttributeError):
        onnx2torch.convert(str(alone))(x)
    assert (tmp_path / "executed").is_dir()


def externally(onnx, file, location):
    """Put the weights of a file elsewhere."""
    model = onnx.load(str(file))
    onnx.save_model(
        model, str(file), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    model = onnx.load(str(file), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    file.write_bytes(model.SerializeToString())


def test_weights_in_a_file_beside_it(onnx, file, twin):
    externally(onnx, file, "weights.bin")
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(pyattrx.load(str(file)).module(x), twin(x), rtol=1e-4, atol=1e-5)
    (file.parent / "weights.bin").write_bytes(b"short")
    with pytest.raises(EncoderError, match="not a valid ONNX file, or damaged"):
        pyattrx.load(str(file))
    (file.parent / "weights.bin").unlink()
    with pytest.raises(EncoderError, match=r"weights are in 'weights\.bin', which is not in"):
        pyattrx.load(str(file))


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", "link"])
def test_weights_elsewhere_are_refused(onnx, twin, tmp_path, place):
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret.bin")
    file = export(folder / "small.onnx", twin)
    externally(onnx, file, place)
    with pytest.raises(EncoderError, match=f"refers to weights in '{place}', outside its own"):
        pyattrx.load(str(file))


def test_a_conversion_that_disagrees_is_refused(file, monkeypatch):
    import onnx2torch

    real = onnx2torch.convert

    def wrong(model):
        module = real(model)
        with torch.no_grad():
            next(module.parameters()).mul_(1.01)
        return module

    monkeypatch.setattr(onnx2torch, "convert", wrong)
    with pytest.raises(EncoderError, match=r"other numbers than ONNX Runtime: they differ by"):
        pyattrx.load(str(file))


@pytest.mark.parametrize("specification", ["absent.onnx", "onnx:absent"])
def test_a_file_that_is_not_there(specification):
    with pytest.raises(InvalidValueError, match="absent.*an existing .onnx file"):
        pyattrx.load(specification)


def test_the_packages_are_named(monkeypatch, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with pytest.raises(MissingDependencyError, match="pip install onnx onnx2torch onnxruntime"):
        pyattrx.load(str(tmp_path / "a.onnx"))


def test_files_of_specifications():
    assert network_file("onnx:net") == "net"
    assert network_file("a:b/net.onnx") == "a:b/net.onnx"
    assert network_file("timm:net.onnx") == ""
    assert Path(network_file("net.onnx")).suffix == ".onnx"
