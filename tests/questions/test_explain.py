"""Shares of channels, against masking them one by one, networks worked out on paper, and fits."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pyattrx
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, NonFiniteError
from pyattrx.methods import AttributionMaps

SIZE = 12
LINEAR = [
    "grad_x_input",
    "elrp",
    pyattrx.Method("grad_x_input", scalar="half_squared_norm", reduce="none"),
    pyattrx.Method("grad_x_input", grid=(5, 7), center=True),
]


class Plain(nn.Module):
    """All paths cross `first`, `norm` and `second`."""

    def __init__(self, width=4, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        self.relu = nn.ReLU(inplace=True)  # writes into what the layers before it answer
        self.second = nn.Conv2d(width, 5, 3)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.relu(self.norm(self.first(x)))
        return self.head(F.gelu(self.second(x)).mean((2, 3)))


class Skipping(Plain):
    """Half of the paths go around `body`."""

    def __init__(self, seed=0):
        super().__init__(seed=seed)
        self.body = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        x = self.norm(self.first(x))
        x = self.relu(x + self.body(self.relu(x.clone())))
        return self.head(self.second(x).mean((2, 3)))


class Tokens(nn.Module):
    """Patches, a class token, attention."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.start = nn.Parameter(torch.randn(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.block = nn.Identity()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = self.block(x + F.scaled_dot_product_attention(q, k, v))
        return self.head(x[:, 0])


@pytest.fixture
def probes():
    images = torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return pyattrx.Probes.from_tensor(images, groups=[0, 0, 1, 1, 2, 2])


def encoder(module, name="net", **more):
    return pyattrx.Encoder(module.double(), name=name, **more)


def masked_maps(one, method, layer, probes, axis):
    """Maps by one backward pass a channel: what flows back through the layer is zero elsewhere."""
    chosen = pyattrx.Method(method) if isinstance(method, str) else method
    maps = AttributionMaps(chosen, probes.size)
    rows = []
    with one.prepare("cpu", probes.images(), plain=True) as prepared:
        part = prepared.module.get_submodule(layer)
        seen = []
        hook = part.register_forward_hook(lambda _, __, answer: seen.append(answer))
        prepared.forward(prepared.preprocess(probes.images()))
        hook.remove()
        for channel in range(seen[0].shape[axis]):

            def keep_one(gradient, channel=channel):
                kept = torch.zeros_like(gradient)
                kept.select(axis, channel).copy_(gradient.select(axis, channel))
                return kept

            def tapped(_, __, answer, keep_one=keep_one):
                answer = answer.clone()
                answer.register_hook(keep_one)
                return answer.clone()

            hook = part.register_forward_hook(tapped)
            rows.append(maps.rows(prepared, probes.images()))
            hook.remove()
        whole = maps.rows(prepared, probes.images())
    return torch.stack(rows), whole


def expected_shares(one, other, method, layer, probes, axis=1):
    parts, a = masked_maps(one, method, layer, probes, axis)
    _, b = masked_maps(other, method, "head", probes, 1)
    scale = a.norm(dim=1) * b.norm(dim=1)
    return ((parts * b).sum(2) / scale).T.numpy(), ((a * b).sum(1) / scale).numpy()


@pytest.mark.parametrize("method", LINEAR, ids=str)
@pytest.mark.parametrize("layer", ["first", "norm", "second"])
def test_shares_are_those_of_masking(method, layer, probes):
    target = encoder(Plain(seed=3), "target", input_size=16)
    source = encoder(Plain(width=6, seed=4), "source")
    found = pyattrx.explain(target, source, probes, method, layer)
    shares, cosines = expected_shares(source, target, method, layer, probes)
    assert found.by_probe == pytest.approx(shares, abs=1e-10)
    assert found.shares == pytest.approx(shares.mean(0), abs=1e-10)
    assert found.affinity == pytest.approx(cosines.mean(), abs=1e-10)
    assert found.remainder == pytest.approx(0, abs=1e-10)
    known = pyattrx.affinity([target, source], probes, method)
    assert found.affinity == pytest.approx(known.values[0, 1], abs=1e-9)
    assert found.affinity_stderr == pytest.approx(known.stderr[0, 1], abs=1e-9)


def test_folding_does_not_move_the_layer(probes):
    """In float32 batch norm is folded into layers before it, but not into one that is asked."""
    source = pyattrx.Encoder(Plain(seed=4), name="source")
    target = pyattrx.Encoder(Plain(seed=3), name="target")
    exact = [encoder(Plain(seed=seed), str(seed)) for seed in (4, 3)]
    for layer in ("first", "norm", "second"):
        found = pyattrx.explain(target, source, probes, layer=layer)
        shares, _ = expected_shares(*exact, "grad_x_input", layer, probes)
        assert found.shares == pytest.approx(shares.mean(0), abs=1e-5)


@pytest.mark.parametrize("method", LINEAR[:2])
def test_skip_connections_are_the_remainder(method, probes):
    target, source = encoder(Plain(seed=3), "target"), encoder(Skipping(seed=4), "source")
    found = pyattrx.explain(target, source, probes, method, "body")
    shares, cosines = expected_shares(source, target, method, "body", probes)
    assert found.by_probe is not None
    assert abs(found.remainder) > 0.01
    assert found.provenance["around"] == pytest.approx(found.remainder, abs=1e-10)
    assert found.covered + found.remainder == pytest.approx(found.affinity, abs=1e-12)
    assert found.covered == pytest.approx(found.shares.sum(), abs=1e-12)
    # Masking keeps what goes around in every channel's map: it is there C times too often.
    around = (shares.sum(1) - cosines) / (shares.shape[1] - 1)
    assert found.remainder == pytest.approx(around.mean(), abs=1e-9)
    assert found.by_probe == pytest.approx(shares - around[:, None], abs=1e-9)


@pytest.mark.parametrize("method", LINEAR[:2])
def test_tokens_have_their_channels_last(method, probes):
    target, source = encoder(Plain(seed=3), "target"), encoder(Tokens(seed=4), "source")
    found = pyattrx.explain(target, source, probes, method, "block")
    shares, cosines = expected_shares(source, target, method, "block", probes, axis=2)
    assert found.by_probe == pytest.approx(shares, abs=1e-10)
    assert found.affinity == pytest.approx(cosines.mean(), abs=1e-10)
    by_token = pyattrx.explain(target, source, probes, method, "block", axis=1)
    assert len(by_token) == 10
    assert by_token.shares[1:] == pytest.approx(0, abs=1e-12)  # the head reads the class token
    assert by_token.shares[0] == pytest.approx(found.affinity, abs=1e-10)


def test_two_by_two_on_paper():
    """y = sum of channels; channel 0 sees the left pixel, channel 1 twice the right one."""
    source = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    target = nn.Sequential(nn.Flatten(), nn.Linear(12, 1, bias=False))
    weights = torch.zeros(2, 3, 2, 2)
    weights[0, :, 0, 0], weights[1, :, 0, 1] = 3.0, 6.0  # the mean over channels is 1/3 of the sum
    with torch.no_grad():
        source[1].weight.copy_(weights.view(2, 12))
        target[1].weight.copy_(weights[1].view(1, 12) / 6)
    images = torch.ones(1, 3, 2, 2)
    images[0, :, 0, 0] = 0.5
    probes = pyattrx.Probes.from_tensor(images)
    found = pyattrx.explain(encoder(target, "t"), encoder(source, "s"), probes, layer="1")
    # Maps: 3 * .5 / 2 = .75 at the left pixel and 3 at the right one; the target's is the right.
    # Of the cosine 3 / |(.75, 3)| channel 1 has all, channel 0 nothing.
    assert found.shares == pytest.approx([0, 3 / math.hypot(0.75, 3)], abs=1e-12)
    assert math.isnan(found.stderr[0])
    assert found.relevance["sum"][0] == pytest.approx([3 * 3 * 0.5 / 2, 3 * 6 / 2])
    assert found.to_dict()["stderr"] == [None, None]


def test_epsilon_rule_is_linear_relevance():
    """Bach et al.'s rule, written out: relevance of a unit is divided by what it was made of.

    For linear layers without bias and eps towards 0 it is what the gradient form says (Ancona et
    al. 2018): relevance of the middle channels, and of the pixels that come by each.
    """
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)
    ).double()
    images = torch.rand(3, 3, 2, 2)
    probes = pyattrx.Probes.from_tensor(images)
    method = pyattrx.Method(pyattrx.ELRP(eps=1e-10), reduce="none")
    other = encoder(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), "other")
    found = pyattrx.explain(other, encoder(net, "net"), probes, method, "1")
    x = images.double().flatten(1)
    first, second = net[1].weight.detach(), net[3].weight.detach()
    z = x @ first.T
    h = z.relu()
    relevance_h = h * second.mean(0)  # of the mean output, by h_j w_jk / z_k * R_k
    relevance_x = x[:, :, None] * first.T / z[:, None, :] * relevance_h[:, None, :]
    with other.prepare("cpu", images) as prepared:
        rows = AttributionMaps(method, (2, 2)).rows(prepared, images)
    a = relevance_x.sum(2)
    shares = (
        torch.einsum("nxc,nx->nc", relevance_x, rows) / (a.norm(dim=1) * rows.norm(dim=1))[:, None]
    )
    assert found.by_probe == pytest.approx(shares.numpy(), abs=1e-8)
    assert found.relevance["sum"] == pytest.approx(relevance_h.abs().numpy(), abs=1e-8)


def test_the_target_can_be_asked(probes):
    target, source = encoder(Plain(seed=3), "target"), encoder(Tokens(seed=4), "source")
    found = pyattrx.explain(target, source, probes, layer="second")
    assert (found.of, found.layer, len(found)) == ("target", "second", 5)
    shares, _ = expected_shares(target, source, "grad_x_input", "second", probes)
    assert found.by_probe == pytest.approx(shares, abs=1e-10)
    both = pyattrx.explain(target, encoder(Plain(seed=5), "s"), probes, layer="second", of="target")
    assert both.of == "target"


def test_without_a_layer_it_is_the_last_with_locations(probes):
    target, source = encoder(Plain(seed=3), "target"), encoder(Plain(seed=4), "source")
    assert pyattrx.explain(target, source, probes).layer == "second"
    read = source.read_at(output="norm")
    assert pyattrx.explain(target, read, probes).layer == "output"
    read = source.read_at(features="first")
    assert pyattrx.explain(target, read, probes).layer == "first"


def test_standard_errors_are_over_groups(probes):
    target, source = encoder(Plain(seed=3), "target"), encoder(Plain(seed=4), "source")
    found = pyattrx.explain(target, source, probes, layer="second")
    means = found.by_probe.reshape(3, 2, -1).mean(1)
    assert found.stderr == pytest.approx(means.std(0, ddof=1) / math.sqrt(3), abs=1e-12)
    top = found.top(2)
    assert [one.channel for one in top] == np.argsort(-found.shares)[:2].tolist()
    assert top[0].low < top[0].share < top[0].high


def test_references_and_conditional_maps(probes):
    target, source = encoder(Plain(seed=3), "target"), encoder(Plain(seed=4), "source")
    found = pyattrx.explain(target, source, probes, layer="second", channels=2, references=3)
    parts, _ = masked_maps(source, "grad_x_input", "second", probes, 1)
    others = pyattrx.attribute(target, probes)
    assert [one.channel for one in found.examples] == [one.channel for one in found.top(2)]
    for one in found.examples:
        assert len({probe // 2 for probe in one.probes.tolist()}) == 3  # one of a group
        assert one.probes.tolist() == found.references(one.channel, 3).tolist()
        expected = parts[one.channel][one.probes].view(3, SIZE, SIZE).numpy()
        assert one.maps == pytest.approx(expected, abs=1e-7)
        assert one.others == pytest.approx(others[one.probes].numpy(), abs=1e-7)
    for by, values in (*found.relevance.items(), ("share", found.by_probe)):
        first = found.references(1, 1, by=by)[0]
        assert values[first, 1] == values[:, 1].max()


def test_a_pass_is_one_forward_and_one_backward(probes):
    """Besides what it takes to look at networks, which does not depend on the probes."""

    class Counting(Plain):
        images = 0

        def forward(self, x):
            Counting.images += len(x)
            return super().forward(x)

    counts = []
    for n in (4, 6):
        Counting.images = 0
        networks = [encoder(Counting(seed=seed), str(seed)) for seed in (3, 4)]
        pyattrx.explain(*networks, probes.head(n), layer="first", channels=0)
        counts.append(Counting.images)
    assert counts[1] - counts[0] == 2 * 2  # each network sees each probe once


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_size_of_gradients_does_not_count(scale, probes):
    target, source = Plain(seed=3), Plain(seed=4)
    usual = pyattrx.explain(encoder(target, "t"), encoder(source, "s"), probes, layer="first")
    with torch.no_grad():
        source.head.weight.mul_(scale)
        target.head.weight.mul_(1 / scale)
    found = pyattrx.explain(encoder(target, "t"), encoder(source, "s"), probes, layer="first")
    assert found.shares == pytest.approx(usual.shares, abs=1e-10)


def test_zero_maps_have_no_shares(probes):
    images = probes.images()
    images[2:4] = 0  # x = 0: gradient x input is zero
    some = pyattrx.Probes.from_tensor(images)
    found = pyattrx.explain(
        encoder(Plain(seed=3), "t"), encoder(Plain(seed=4), "s"), some, layer="second"
    )
    assert found.zero_maps == 2
    assert not found.by_probe[2:4].any()
    assert np.isfinite(found.shares).all()


@pytest.mark.parametrize("method", ["recommended", "ridge", "perturbation_response"])
@pytest.mark.parametrize("of", ["source", "target"])
def test_regressions(method, of):
    images = torch.rand(14, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    probes = pyattrx.Probes.from_tensor(images)
    target, source = encoder(Plain(seed=3), "target"), encoder(Tokens(seed=4), "source")
    found = pyattrx.explain(target, source, probes, method, of=of)
    known = pyattrx.affinity([target, source], probes, method)
    assert found.affinity == pytest.approx(known.values[0, 1], abs=1e-10)
    assert found.affinity_stderr == pytest.approx(known.stderr[0, 1], abs=1e-9)
    assert found.covered + found.remainder == pytest.approx(found.affinity, abs=1e-12)
    assert found.remainder_is_around == (of == "target")
    if of == "target":
        assert found.remainder == pytest.approx(0, abs=1e-12)
    assert found.stderr.shape == found.shares.shape == (3,)
    assert [len(one.maps) for one in found.examples] == [4, 4, 4]
    with pytest.raises(InvalidValueError, match="'sum' or 'max'"):
        found.references(0, by="share")


def test_a_layer_of_a_regression_is_read_there():
    images = torch.rand(14, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    probes = pyattrx.Probes.from_tensor(images)
    target, source = encoder(Plain(seed=3), "target"), encoder(Tokens(seed=4), "source")
    for layer, of, width in (("block", "source", 8), ("second", "target", 5)):
        found = pyattrx.explain(target, source, probes, "recommended", layer)
        assert (found.of, found.layer, len(found)) == (of, layer, width)
        read = source.read_at(features="block") if of == "source" else source
        asked = target.read_at(output="second") if of == "target" else target
        known = pyattrx.affinity([asked, read], probes, "recommended")
        assert found.affinity == pytest.approx(known.values[0, 1], abs=1e-10)
        assert all(one.maps.any() for one in found.examples)


def test_the_result_as_json_and_as_a_picture(probes, tmp_path):
    pytest.importorskip("matplotlib")
    found = pyattrx.explain(
        encoder(Plain(seed=3), "t"), encoder(Plain(seed=4), "s"), probes, layer="second"
    )
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["shares"] == found.shares.tolist()
    assert document["top"][0]["references"]
    assert "'second' carry" in repr(found)
    found.plot(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    bare = pyattrx.explain(
        encoder(Plain(seed=3), "t"), encoder(Plain(seed=4), "s"), probes, layer="second", channels=0
    )
    with pytest.raises(InvalidValueError, match="channels=6"):
        bare.plot()


@dataclass
class Answer:
    first: torch.Tensor
    name: str


class Wrapped(Plain):
    """The layer answers with something that holds a tensor."""

    def __init__(self, kind, seed=0):
        super().__init__(seed=seed)
        self.layer = self._Layer(kind)

    class _Layer(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.kind = kind

        def forward(self, x):
            return {"tuple": (x, 1), "dict": {"out": x}, "dataclass": Answer(x, "a"),
                    "text": "no tensor"}[self.kind]  # fmt: skip

    def forward(self, x):
        x = self.second(self.relu(self.norm(self.first(x))))
        answer = self.layer(x)
        kind = self.layer.kind
        x = {"tuple": lambda: answer[0], "dict": lambda: answer["out"],
             "dataclass": lambda: answer.first, "text": lambda: x}[kind]()  # fmt: skip
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("kind", ["tuple", "dict", "dataclass"])
def test_a_tensor_inside_an_answer(kind, probes):
    target = encoder(Plain(seed=3), "t")
    found = pyattrx.explain(target, encoder(Wrapped(kind, 4), "s"), probes, layer="layer")
    plain = pyattrx.explain(target, encoder(Wrapped(kind, 4), "s"), probes, layer="second")
    assert found.shares == pytest.approx(plain.shares, abs=1e-12)
    assert found.remainder == pytest.approx(0, abs=1e-12)


class Shared(Plain):
    def forward(self, x):
        x = self.relu(self.norm(self.first(x)))
        return self.head(self.second(self.relu(x)).mean((2, 3)))


class Folded(Plain):
    """A layer that answers with rows of another number than there are images."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Identity()

    def forward(self, x):
        x = self.second(self.relu(self.norm(self.first(x))))
        return self.head(self.rows(x.flatten(0, 1)).view(x.shape).mean((2, 3)))


@pytest.mark.parametrize(
    ("module", "arguments", "error", "said"),
    [
        (Plain, {"layer": "secnd"}, InvalidValueError, "did you mean 'second'"),
        (Plain, {"layer": "blok", "of": "target"}, InvalidValueError, "'block'"),
        (Plain, {"layer": "block", "of": "source"}, InvalidValueError, "of='target'"),
        (Plain, {"layer": 3}, InvalidTypeError, "dotted name"),
        (Plain, {"of": "other"}, InvalidValueError, "'target' or 'source'"),
        (Plain, {"method": "saliency"}, InvalidValueError, "magnitude of a sum"),
        (Plain, {"method": pyattrx.Method(reduce="abs_mean")}, InvalidValueError, "magnitude"),
        (Plain, {"method": pyattrx.Method(pixels=9)}, InvalidValueError, "without pixels"),
        (Plain, {"method": pyattrx.Method(storage="int8")}, InvalidValueError, "without storage"),
        (Plain, {"method": "cka"}, InvalidValueError, "sum over channels"),
        (Plain, {"method": "depara"}, InvalidValueError, "sum over channels"),
        (Plain, {"axis": 0}, InvalidValueError, "at least 1"),
        (Plain, {"axis": "1"}, InvalidTypeError, "integer"),
        (Plain, {"axis": 4, "layer": "first"}, EncoderError, "from 1 to 3"),
        (Plain, {"channels": -1}, InvalidValueError, "at least 0"),
        (Plain, {"references": 0}, InvalidValueError, "at least 1"),
        (Plain, {"batch_size": 0}, InvalidValueError, "at least 1"),
        (Plain, {"layer": "norm", "of": "source", "output": "first"}, EncoderError, "norm"),
        (Shared, {"layer": "relu"}, EncoderError, "the layer 'relu' is called 2 times"),
        (Folded, {"layer": "rows"}, EncoderError, "another layer"),
        (lambda: Wrapped("text"), {"layer": "layer"}, EncoderError, "another layer than 'layer'"),
    ],
)  # fmt: skip
def test_wrong_arguments(module, arguments, error, said, probes):
    more = {"output": arguments.pop("output")} if "output" in arguments else {}
    source = encoder(module(), "source", **more)
    with pytest.raises(error, match=said):
        pyattrx.explain(encoder(Tokens(), "target"), source, probes, **arguments)


def test_other_wrong_arguments(probes):
    one = encoder(Plain(), "one")
    with pytest.raises(InvalidTypeError, match="Probes"):
        pyattrx.explain(one, one, probes.images())
    with pytest.raises(InvalidTypeError, match="target"):
        pyattrx.explain(3, one, probes)
    broken = Plain()
    with torch.no_grad():
        broken.head.weight[0, 0] = float("nan")
    with pytest.raises((NonFiniteError, EncoderError), match="broken"):
        pyattrx.explain(one, encoder(broken, "broken"), probes, layer="first")
    with pytest.raises(InvalidValueError, match="from 0 to 4"):
        pyattrx.explain(one, encoder(Plain(seed=4), "s"), probes, layer="second").references(9)


def test_an_attribution_of_ones_own_by_several_passes_is_refused(probes):
    class Twice(pyattrx.InputAttribution):
        name, combine = "twice", "grad_x_input"

        def gradient(self, forward, x, scalar):
            return super().gradient(forward, 2 * x, scalar)

    one = encoder(Plain(), "one")
    with pytest.raises(InvalidValueError, match="one backward pass"):
        pyattrx.explain(one, one, probes, pyattrx.Method(Twice()))


@pytest.mark.parametrize("method", LINEAR, ids=str)
def test_the_adjoint(method):
    chosen = pyattrx.Method(method) if isinstance(method, str) else method
    maps = AttributionMaps(chosen, (SIZE, SIZE))
    g = torch.Generator().manual_seed(0)
    x, gradient = torch.randn(2, 2, 3, 9, 11, generator=g, dtype=torch.float64)
    made = maps.of_gradient(gradient, x)
    rows = torch.randn(made.shape, generator=g, dtype=torch.float64)
    there, back = (made * rows).sum(), (gradient * maps.adjoint(rows, x)).sum()
    assert float(there) == pytest.approx(float(back), abs=1e-10)
