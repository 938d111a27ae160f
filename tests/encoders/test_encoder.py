"""Encoder and its prepared copy: outputs, sizes, dtypes, errors; the user's module untouched."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import pyattrx
from networks import build
from pyattrx.encoders import pick_tensor
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError


def run(module, images, **options):
    prepared = pyattrx.Encoder(module, name="net", **options).prepare("cpu", images)
    return prepared.forward(prepared.preprocess(images))


class Returns(nn.Module):
    """Returns what a function makes of its features."""

    def __init__(self, make):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.make = make

    def forward(self, x):
        return self.make(self.conv(x))


@dataclass
class Answer:
    count: int
    features: Tensor
    extra: Tensor


@pytest.mark.parametrize(
    "make",
    [
        lambda z: z,
        lambda z: (z, z * 2),
        lambda z: [torch.arange(len(z)), z],
        lambda z: {"loss": None, "anything": z},
        lambda z: {"hidden": z * 2, "last_hidden_state": z},
        lambda z: {"out": z, "aux": z * 2},
        lambda z: Answer(3, z, z * 2),
    ],
)
def test_outputs_of_every_kind(make, images):
    network = Returns(make)
    assert torch.allclose(run(network, images), network.conv(images), atol=1e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": torch.ones(2), "b": torch.ones(2)}, r"keys \['a', 'b'\].*output="),
        ((torch.arange(3),), "tuple without a floating tensor"),
        ("text", "str without a floating tensor"),
        (None, "NoneType"),
    ],
)
def test_outputs_that_no_rule_covers(value, message):
    with pytest.raises(EncoderError, match=message):
        pick_tensor(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda z: z.sum(), "'net'.*shape.*expected"),
        (lambda z: z[:1], "'net'.*expected a real floating tensor"),
        (lambda z: z.argmax(1), "'net'.*floating"),
        (lambda z: torch.complex(z, z), "'net'.*floating"),
        (lambda z: z @ torch.ones(7, 7), "'net' failed on an input of shape.*RuntimeError"),
    ],
)
def test_outputs_that_cannot_be_used(make, message, images):
    with pytest.raises(EncoderError, match=message):
        run(Returns(make), images)


def test_a_submodules_output_and_nothing_after_it(images):
    class Guarded(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
            self.steps = 0

        def forward(self, x):
            x = self.stem(x)
            self.steps += 1
            return x.mean()

    network = Guarded()
    encoder = pyattrx.Encoder(network, output="stem.0")
    prepared = encoder.prepare("cpu", images)
    steps = prepared.module.steps
    z = prepared.forward(prepared.preprocess(images))
    assert torch.allclose(z, network.stem[0](images), atol=1e-6)
    assert prepared.module.steps == steps


def test_a_submodule_called_twice_or_never(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.spare = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(self.conv(x))

    with pytest.raises(EncoderError, match="output='conv' is called 2 times"):
        run(Twice(), images, output="conv")
    with pytest.raises(EncoderError, match="output='spare' is called never"):
        run(Twice(), images, output="spare")


def test_a_callable_output(images):
    network = build("plain")
    z = run(network, images, output=lambda module, x: module.conv1(x).square())
    assert torch.allclose(z, network.conv1(images).square(), atol=1e-6)


def test_input_size_and_transform(images):
    seen = []

    def transform(x):
        seen.append(tuple(x.shape))
        return 2 * x - 1

    encoder = pyattrx.Encoder(build("plain"), transform=transform, input_size=(32, 40))
    prepared = encoder.prepare("cpu", images)
    x = prepared.preprocess(images)
    resized = nn.functional.interpolate(images, size=(32, 40), mode="bilinear", antialias=True)
    assert torch.allclose(x, 2 * resized - 1)
    assert seen[-1] == (6, 3, 32, 40)
    assert not x.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtypes(dtype, images):
    network = build("plain")
    z = run(network, images, dtype=dtype)
    assert z.dtype == dtype
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    assert torch.allclose(z.float(), network(images), atol=tolerance)
    assert next(network.parameters()).dtype == torch.float32
    assert pyattrx.Encoder(build("plain").double()).dtype == torch.float64
    assert pyattrx.Encoder(nn.Identity()).dtype == torch.float32


def test_the_users_module_is_untouched(images):
    network = build("resnet").train()
    network.stem[0].weight.grad = torch.ones_like(network.stem[0].weight)
    network.stem[0].bias = None
    calls = []
    network.block1.register_forward_hook(lambda *_: calls.append(1))
    before = copy.deepcopy(network.state_dict())
    modules = [type(m) for m in network.modules()]
    with pyattrx.Encoder(network).prepare("cpu", images) as prepared:
        prepared.forward(prepared.preprocess(images).requires_grad_()).sum().backward()
        # Nothing is shared: training the original does not change the copy.
        assert not {p.data_ptr() for p in network.parameters()} & {
            p.data_ptr() for p in prepared.module.parameters()
        }
        assert all(p.grad is None and not p.requires_grad for p in prepared.module.parameters())
    assert network.training
    assert all(m.training for m in network.modules())
    assert [type(m) for m in network.modules()] == modules
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())
    assert torch.equal(network.stem[0].weight.grad, torch.ones_like(network.stem[0].weight))
    assert not network.stem[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_wrappers_are_looked_through(images):
    network = build("plain")
    for wrapped in (nn.DataParallel(network), torch.compile(network, backend="eager")):
        encoder = pyattrx.Encoder(wrapped)
        assert encoder.name == "plaincnn"
        assert encoder.module is network


def test_what_cannot_be_copied_is_explained(images):
    network = build("plain")
    network.images = (image for image in images)  # a generator
    with pytest.raises(EncoderError, match="'net' cannot be copied"):
        run(network, images)


def test_batch_layout_is_one_the_network_is_fast_in(images):
    prepared = pyattrx.Encoder(build("plain")).prepare("cpu", images)
    assert prepared.preprocess(images).is_contiguous(memory_format=torch.channels_last)
    double = pyattrx.Encoder(build("plain").double()).prepare("cpu", images)
    assert double.preprocess(images).is_contiguous()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"module": torch.relu}, InvalidTypeError, "module"),
        ({"name": 3}, InvalidTypeError, "name=3"),
        ({"name": " "}, InvalidValueError, "name=' '"),
        ({"output": 3}, InvalidTypeError, "output=3"),
        ({"output": "conv3"}, InvalidValueError, "output='conv3'.*conv1"),
        ({"transform": 3}, InvalidTypeError, "transform=3"),
        ({"input_size": 0}, InvalidValueError, "input_size=0"),
        ({"input_size": (3,)}, InvalidTypeError, "input_size"),
        ({"input_size": 2.5}, InvalidTypeError, "input_size=2.5"),
        ({"dtype": torch.int64}, InvalidValueError, "dtype"),
    ],
)
def test_wrong_arguments(arguments, kind, message):
    with pytest.raises(kind, match=message):
        pyattrx.Encoder(**{"module": build("plain"), **arguments})


def test_describe_is_json_and_knows_the_weights():
    import json

    first, second = pyattrx.Encoder(build("vit")), pyattrx.Encoder(build("vit", seed=1))
    described = json.loads(json.dumps(first.describe()))
    assert described["name"] == "tinyvit"
    assert described["parameters"] == sum(p.numel() for p in build("vit").parameters())
    assert described["weights_hash"] == pyattrx.Encoder(build("vit")).weights_hash()
    assert described["weights_hash"] != second.weights_hash()
    shuffled = pyattrx.Encoder(build("vit").to(torch.bfloat16))
    assert shuffled.weights_hash() != first.weights_hash()


def test_no_gradient_is_explained(images):
    class Rounds(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)).round(decimals=2).detach()

    prepared = pyattrx.Encoder(Rounds(), name="rounds").prepare("cpu", images)
    with pytest.raises(EncoderError, match="'rounds'.*not differentiably"):
        prepared.explain_no_gradient(images)

    class Constant(nn.Module):
        def forward(self, x):
            return x.new_ones(len(x), 2)

    prepared = pyattrx.Encoder(Constant()).prepare("cpu", images)
    prepared.explain_no_gradient(images)
