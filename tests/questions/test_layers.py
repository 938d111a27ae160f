"""Layers of a source: one pass, found by themselves, scored as if each were a network."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pyattrx
from pyattrx._scratch import Scratch
from pyattrx.encoders import Taps
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.questions.candidates import find_layers
from pyattrx.questions.tapping import Rooms
from pyattrx.statistics import jackknife_blocks

PROBES = 12


def probes(count=PROBES, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return pyattrx.Probes.from_tensor(torch.rand(count, 3, size, size, generator=generator))


class Block(nn.Module):
    """A residual block: nothing inside of it is an end."""

    def __init__(self, before, after, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.past = nn.Sequential(nn.Conv2d(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(y + self.past(x))


class Residual(nn.Module):
    """As published ones are built: a stem, stages of blocks, a classifier."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(4, 6), Block(6, 6))
        self.layer2 = nn.Sequential(Block(6, 8, 2), Block(8, 8))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.pool(self.layer2(self.layer1(x))).flatten(1))


def trained(network, seed=0):
    """Weights and statistics as if it had been trained: nothing is as initialised."""
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for value in (part.weight, part.bias, part.running_mean, part.running_var):
                noise = torch.rand(value.shape, generator=generator)
                value.data.copy_(noise + 0.5 if value is part.running_var else noise)
        elif isinstance(part, (nn.Conv2d, nn.Linear)):
            noise = torch.randn(part.weight.shape, generator=generator)
            part.weight.data.copy_(noise / part.weight[0].numel() ** 0.5)
            if part.bias is not None:
                part.bias.data.copy_(torch.rand(part.bias.shape, generator=generator))
    return network.eval()


def source(**options):
    return pyattrx.Encoder(trained(Residual()), name="source", **options)


def target(seed=1):
    network = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.Tanh(), nn.Conv2d(6, 4, 3))
    return pyattrx.Encoder(trained(network, seed), name="target")


ENDS = ["relu", "layer1.0", "layer1", "layer2.0", "layer2", "pool", "fc"]
METHODS = [
    "recommended", "cka", "rsa", "dds", "edges", "svcca", "ridge", "perturbation_response",
    "adversarial_response", "saliency", "depara",
]  # fmt: skip


def by_hooks(module, images, names):
    """What layers of the user's own network say, in float64, one hook each."""
    wide = trained(Residual()).double() if module is None else module.double()
    seen = {}
    hooks = [
        wide.get_submodule(name).register_forward_hook(
            lambda _, __, answer, at=name: seen.__setitem__(at, answer.detach().clone())
        )
        for name in names
    ]
    with torch.no_grad():
        output = wide(images.double())
    for hook in hooks:
        hook.remove()
    return seen, output


@pytest.mark.parametrize("name", ["cka", "ridge", "edges", "rsa", "svcca"])
def test_scores_are_those_of_what_hooks_see(name):
    some = probes()
    images = some.images(0, PROBES)
    encoder = pyattrx.Encoder(trained(Residual()).double(), name="source")
    aim = pyattrx.Encoder(target().module.double(), name="target")
    found = pyattrx.layers(encoder, aim, some, name)
    seen, _ = by_hooks(None, images, found.names)
    with torch.no_grad():
        wanted = aim.module(images.double())
    method = pyattrx.methods.get(name)
    groups = np.asarray(some.groups)
    query = method.summarize({"output": wanted})
    for layer, score in zip(found.names, found.scores, strict=True):
        key = method.summarize({"output": seen[layer]})
        values, _ = method.compare([query], [key], groups, jackknife_blocks(groups))
        assert score == pytest.approx(values[0, 0], abs=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_each_layer_scores_as_a_network_that_is_read_there(name):
    some, ours, aim = probes(), source(), target()
    found = pyattrx.layers(ours, aim, some, name)
    networks = [aim, *(ours.read_at(output=n, features=n, name=n) for n in found.names)]
    whole = pyattrx.affinity(networks, some, name)
    assert list(found.names) == ENDS
    assert found.scores == pytest.approx(whole.values[0, 1:], abs=2e-4)
    assert found.stderr == pytest.approx(whole.stderr[0, 1:], abs=2e-4)


def test_standardized_sums_are_over_the_layers():
    both = pyattrx.Combined([("cka", 1), ("ridge", 2)])
    some, ours, aim = probes(), source(), target()
    parts = [pyattrx.layers(ours, aim, some, name).scores for name in ("cka", "ridge")]
    unit = [(one - one.mean()) / one.std() for one in parts]
    found = pyattrx.layers(ours, aim, some, both)
    assert found.scores == pytest.approx(unit[0] + 2 * unit[1], abs=1e-6)


def test_one_pass_reads_all_layers():
    ours, aim, some = source(), target(), probes(40)
    counted = []

    class Counting(Residual):
        def forward(self, x):
            counted.append(len(x))
            return super().forward(x)

    network = Counting()
    network.load_state_dict(ours.module.state_dict())
    encoder = pyattrx.Encoder(network.eval(), name="counting")
    pyattrx.layers(encoder, aim, some, "cka", batch_size=8)
    assert counted.count(8) == 5
    many = len(counted)
    counted.clear()
    pyattrx.layers(encoder, aim, some, "cka", ["fc"], batch_size=8)
    assert counted.count(8) == 5 and len(counted) == many


def test_taps_are_not_folded_and_the_rest_is():
    some = probes()
    images = some.images(0, PROBES)
    names = ["conv1", "layer1.0.norm1", "layer2.1.conv2", "layer2"]
    encoder = source().read_at(output=Taps(names))
    with encoder.prepare("cpu", images) as prepared:
        found = prepared.each(prepared.preprocess(images))
        together, _ = prepared.outputs(prepared.preprocess(images))
        assert 0 < prepared.folded < 13
        parts = [encoder.output.part(together, index) for index in range(len(names))]
    seen, _ = by_hooks(None, images, names)
    for name, one, again in zip(names, found, parts, strict=True):
        assert one.double().numpy() == pytest.approx(seen[name].numpy(), abs=1e-5)
        assert torch.equal(one, again.to(one.dtype))


def test_what_follows_writes_into_no_tap():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    encoder = pyattrx.Encoder(trained(network), name="n").read_at(output=Taps(["0", "1"]))
    with encoder.prepare("cpu", probes().images(0, 2)) as prepared:
        before, after = prepared.each(prepared.preprocess(probes().images(0, 2)))
    assert bool((before < 0).any())
    assert torch.equal(before.relu(), after)


def test_layers_of_very_different_size_are_checked_on_their_own():
    class Mixing(nn.Module):
        """A small layer that mixes the images of a batch, beside a large one."""

        def __init__(self):
            super().__init__()
            self.conv, self.small, self.large = nn.Conv2d(3, 2, 3), nn.Identity(), nn.Identity()

        def forward(self, x):
            y = self.conv(x)
            self.small((y - y.mean(0, keepdim=True)) * 1e-6)
            return self.large(y * 1e6)

    encoder = pyattrx.Encoder(Mixing(), name="mixing")
    assert pyattrx.layers(encoder, target(), probes(), "cka", ["large"]).names == ("large",)
    with pytest.raises(PyattrxError, match="mixing"):
        pyattrx.layers(encoder, target(), probes(), "cka", ["small", "large"])


def test_the_result():
    found = pyattrx.layers(source(), target(), probes(), "cka")
    assert found.best == found.names[int(found.scores.argmax())]
    assert set(found.ties) == set(found[found.best].ties) and found.best not in found.ties
    assert [one.depth for one in found] == list(range(1, len(ENDS) + 1))
    assert found["layer2"].shape == (8, 4, 4) and found[0].name == "relu"
    for one in found:
        assert one.low <= one.score <= one.high
        for other in one.ties:
            assert one.name in found[other].ties
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["best"] == found.best
    assert [one["name"] for one in written["layers"]] == ENDS
    assert list(found.to_frame().index) == ENDS
    assert "layer2.0" in str(found) and "layer2.0" in found._repr_html_()
    with pytest.raises(InvalidValueError, match="layer1"):
        found["layer9"]


def test_a_hostile_name_is_no_html():
    encoder = pyattrx.Encoder(trained(Residual()), name="<script>")
    assert "<script>" not in pyattrx.layers(encoder, target(), probes(), "cka")._repr_html_()


def test_one_probe_has_no_error():
    found = pyattrx.layers(source(), target(), probes(1), "saliency")
    assert np.isnan(found.stderr).all() and np.isfinite(found.scores).all()
    assert found.to_dict()["layers"][0]["stderr"] is None
    assert len(found.ties) == len(found) - 1
    with pytest.raises(InvalidValueError, match="probes"):
        pyattrx.layers(source(), target(), probes(1), "cka")


def test_one_layer():
    found = pyattrx.layers(source(), target(), probes(), at=["layer2"])
    assert found.names == ("layer2",) and found.best == "layer2" and found.ties == ()


def test_layers_come_in_the_order_of_the_pass():
    found = pyattrx.layers(source(), target(), probes(), "cka", ["fc", "layer1", "conv1"])
    assert found.names == ("conv1", "layer1", "fc")


def test_a_target_may_be_the_source():
    ours = source()
    found = pyattrx.layers(ours, ours, probes(), "cka")
    assert found.best == "fc" and found["fc"].score == pytest.approx(1, abs=1e-6)


class Odd(nn.Module):
    """Layers that answer tuples, mappings, nothing, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, 2)
        self.pair, self.keyed, self.none, self.words = Pair(), Keyed(), Nothing(), Words()
        self.twice = nn.Conv2d(4, 4, 1)
        self.never = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x):
        x, _ = self.pair(self.first(x))
        x = self.keyed(x)["features"]
        self.none(x)
        self.words(x)
        return self.last(self.twice(self.twice(x)))


class Pair(nn.Module):
    def forward(self, x):
        return x * 2, "of no use"


class Keyed(nn.Module):
    def forward(self, x):
        return {"features": x.tanh(), "other": x}


class Nothing(nn.Module):
    def forward(self, x):
        return None


class Words(nn.Module):
    def forward(self, x):
        return (x > 0).long()


def test_layers_whose_answer_is_no_tensor():
    odd = pyattrx.Encoder(trained(Odd()), name="odd")
    found = pyattrx.layers(odd, target(), probes(), "cka", ["pair", "keyed", "last"])
    assert found.names == ("pair", "keyed", "last")
    assert set(pyattrx.layers(odd, target(), probes(), "cka").names) <= {
        "first", "pair", "keyed", "last",
    }  # fmt: skip
    for layer in ("none", "words"):
        with pytest.raises(EncoderError, match=f"'{layer}' answers no floating tensor"):
            pyattrx.layers(odd, target(), probes(), "cka", [layer])
    with pytest.raises(EncoderError, match="'twice' is called 2 times"):
        pyattrx.layers(odd, target(), probes(), "cka", ["last", "twice"])
    with pytest.raises(EncoderError, match="'never' is called never"):
        pyattrx.layers(odd, target(), probes(), "cka", ["never"])


def test_a_layer_that_hardly_differs_is_left_out_or_refused():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.flat, self.last = nn.Conv2d(3, 4, 3), nn.Identity(), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            x = self.first(x)
            self.flat(x * 0 + 1)
            return self.last(x)

    encoder = pyattrx.Encoder(trained(Constant()), name="constant")
    found = pyattrx.layers(encoder, target(), probes(), "cka")
    assert "flat" not in found.names
    with pytest.raises(PyattrxError, match="flat"):
        pyattrx.layers(encoder, target(), probes(), "cka", ["flat", "last"])


class Attending(nn.Module):
    """Tokens, as transformers have them: layers in a list, each answers a tuple."""

    def __init__(self, width=8, depth=3):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.ModuleList(TokenBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            (x,) = block(x)
        return {"last_hidden_state": self.norm(x)}


class TokenBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x):
        return (x + self.mlp(self.norm(x)),)


@pytest.mark.parametrize("name", ["recommended", "cka"])
def test_tokens(name):
    encoder = pyattrx.Encoder(trained(Attending()), name="attending")
    found = pyattrx.layers(encoder, target(), probes(), name)
    assert found.names == ("patches", "blocks.0", "blocks.1", "blocks.2", "norm")
    assert found["blocks.1"].shape == (16, 8)


@pytest.mark.parametrize(
    ("network", "ends"),
    [
        (
            nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3),
                nn.Flatten(), nn.Linear(144, 9), nn.ReLU(), nn.Linear(9, 2),
            ),
            ["1", "2", "3", "4", "6", "7"],
        ),
        (nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(3, 4, 3)), ["1"]),
        (nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Identity()), ["0"]),
        (nn.Sequential(Residual()), [f"0.{name}" for name in ENDS]),
        (nn.Conv2d(3, 4, 3), None),
    ],
)  # fmt: skip
def test_the_ends_of_stages_and_blocks(network, ends):
    encoder = pyattrx.Encoder(trained(network), name="network")
    if ends is None:
        with pytest.raises(EncoderError, match="at="):
            pyattrx.layers(encoder, target(), probes(), "cka")
        return
    assert list(pyattrx.layers(encoder, target(), probes(), "cka").names) == ends


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_no_more_than_24_are_found(depths):
    stages = [nn.Sequential(*(Block(3, 3) for _ in range(depth))) for depth in depths]
    encoder = pyattrx.Encoder(trained(nn.Sequential(*stages)), name="deep")
    found = find_layers(encoder, probes(2, 8), torch.device("cpu"), None)
    names = [spot.name for spot in found]
    assert len(names) == min(24, sum(depths))
    assert {str(stage) for stage in range(len(depths))} <= set(names)
    assert len(set(names)) == len(names)


@settings(max_examples=4, deadline=None)
@given(
    st.sets(st.sampled_from(ENDS), min_size=1),
    st.integers(4, 9),
    st.integers(1, 5),
)
def test_neither_batches_nor_other_layers_change_a_score(chosen, count, batch):
    some, ours = probes(count), source(dtype=torch.float64)
    aim = pyattrx.Encoder(target().module, name="target", dtype=torch.float64)
    found = pyattrx.layers(ours, aim, some, "cka", sorted(chosen), batch_size=batch)
    whole = pyattrx.layers(ours, aim, some, "cka")
    for name in chosen:
        assert found[name].score == pytest.approx(whole[name].score, abs=1e-9)


def test_labels_score_layers():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(48, 3, 16, 16, generator=generator)
    labels = np.arange(48) % 2
    images[labels == 1, 0] *= 0.6
    with_task = pyattrx.layers(source(), labels=(images, labels), cache=False)
    assert set(with_task.names) == set(ENDS) and "linear probe" in with_task.score
    assert np.isfinite(with_task.scores).all() and np.isfinite(with_task.stderr).all()
    beside = pyattrx.layers(
        source(), probes=pyattrx.Probes.from_tensor(images), labels=labels, cache=False
    )
    assert beside.scores == pytest.approx(with_task.scores)
    one = pyattrx.layers(source(), labels=(images, labels), method="knn", at=["fc"], cache=False)
    assert one.names == ("fc",) and one.score != with_task.score


def test_labels_are_those_of_recommend(tmp_path):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(24, 3, 16, 16, generator=generator)
    labels = np.arange(24) % 2
    found = pyattrx.layers(source(), labels=(images, labels), at=["relu", "fc"], cache=tmp_path)
    ranked = pyattrx.recommend(
        source().read_at_each(["relu", "fc"]), (images, labels), cache=tmp_path
    )
    for one in found:
        same = ranked[f"source?features={one.name}"]
        assert (one.score, one.stderr) == (same.value, same.stderr)


def test_a_module_and_a_function_stand_for_networks():
    given = source()
    expected = pyattrx.layers(given, target(), probes(6), "cka", ["layer1", "fc"])
    for other in (given.module, lambda: given):
        found = pyattrx.layers(other, target(), probes(6), "cka", ["layer1", "fc"])
        assert found.scores.tolist() == expected.scores.tolist()


WRONG = [
    ({"at": "layer1"}, InvalidTypeError, "at"),
    ({"at": []}, InvalidValueError, "at"),
    ({"at": ["layer1", "layer1"]}, InvalidValueError, r"at\[1\]"),
    ({"at": ["layer11"]}, InvalidValueError, "layer1"),
    ({"at": [3]}, InvalidTypeError, r"at\[0\]"),
    ({"at": 3}, InvalidTypeError, "at"),
    ({"target": None}, InvalidValueError, "target, labels"),
    ({"labels": [0, 1]}, InvalidValueError, "target, labels"),
    ({"probes": None}, InvalidTypeError, "probes"),
    ({"probes": torch.rand(2, 3, 8, 8)}, InvalidTypeError, "probes"),
    ({"method": "nothing"}, InvalidValueError, "method"),
    ({"batch_size": 0}, InvalidValueError, "batch_size"),
    ({"level": 1.5}, InvalidValueError, "level"),
    ({"source": nn.Conv2d}, InvalidTypeError, "source"),
    ({"source": 7}, InvalidTypeError, "source"),
    ({"source": lambda: 7}, InvalidTypeError, "source"),
    ({"target": nn.Conv2d}, InvalidTypeError, "target"),
    ({"source": "nowhere.py:network"}, PyattrxError, "nowhere"),
]


@pytest.mark.parametrize(("change", "error", "named"), WRONG)
def test_wrong_arguments_are_named(change, error, named):
    arguments = {"source": source(), "target": target(), "probes": probes(4), "method": "cka"}
    with pytest.raises(error, match=named):
        pyattrx.layers(**{**arguments, **change})


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"labels": torch.rand(4, 3, 8, 8)}, InvalidValueError, "labels"),
        ({"method": "cka"}, InvalidValueError, "scores"),
        ({"method": pyattrx.methods.CKA()}, InvalidTypeError, "method"),
        ({"probes": 3}, InvalidTypeError, "probes"),
    ],
)
def test_wrong_labels_are_named(change, error, named):
    arguments = {"source": source(), "labels": (torch.rand(8, 3, 16, 16), [0, 1] * 4)}
    with pytest.raises(error, match=named):
        pyattrx.layers(**{**arguments, **change, "cache": False})


def test_a_network_that_fails_is_named():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return F.linear(self.first(x), torch.ones(2, 99))

    with pytest.raises(EncoderError, match="failing"):
        pyattrx.layers(pyattrx.Encoder(Failing(), name="failing"), target(), probes(), "cka")


def test_what_does_not_fit_goes_to_files(tmp_path):
    rooms = Rooms(Scratch(tmp_path, in_memory=64))
    small, large = rooms((2, 4), torch.float32), rooms((40, 4), torch.float64)
    large[:] = 1
    assert small.shape == (2, 4) and float(large.sum()) == 160
    assert list(tmp_path.iterdir()) == []  # nameless


def test_the_source_is_left_as_it_is():
    ours = source()
    before = {name: value.clone() for name, value in ours.module.state_dict().items()}
    pyattrx.layers(ours, target(), probes())
    assert all(torch.equal(before[k], v) for k, v in ours.module.state_dict().items())
    assert not any(part._forward_hooks for part in ours.module.modules())


def test_an_output_that_is_a_function_runs_the_network():
    class Two(Residual):
        def forward(self, x, words):
            raise AssertionError

        def encode(self, x):
            return super().forward(x)

    network = trained(Two())
    encoder = pyattrx.Encoder(network, name="two", output=lambda module, x: module.encode(x))
    found = pyattrx.layers(encoder, target(), probes(), "cka")
    same = pyattrx.layers(source(), target(), probes(), "cka")
    assert found.scores == pytest.approx(same.scores, abs=1e-6)
