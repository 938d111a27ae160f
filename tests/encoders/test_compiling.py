"""Compiled networks: the same answers, one compilation, and no silent way back."""

import gc
import shutil
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pyattrx
from networks import ARCHITECTURES, build
from pyattrx import Encoder, Method
from pyattrx.encoders import compiling
from pyattrx.errors import EncoderError, InvalidTypeError
from pyattrx.methods import ELRP, AttributionMaps, Combined

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _traced_only(monkeypatch, request):
    """The tracing and the joint graph are real; only code is not generated, which takes minutes."""
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")
    monkeypatch.setattr(compiling, "_programs", type(compiling._programs)())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", pyattrx.errors.UntrainedWarning)
        # PyTorch's own, on the way through its compiler.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


@pytest.fixture
def compilations(monkeypatch):
    """How often anything was compiled."""
    made = []
    compile_one = compiling._Program._compile

    def counted(self, graph, inputs):
        made.append(graph)
        return compile_one(self, graph, inputs)

    monkeypatch.setattr(compiling._Program, "_compile", counted)
    return made


def maps_of(encoder, images, method, *, compiled, batch_size=None):
    descriptor = AttributionMaps(Method(method), images.shape[2:])
    with encoder.prepare(CPU, images) as prepared:
        if compiled:
            prepared.compile(batch_size or len(images))
        parts = [descriptor.rows(prepared, part) for part in images.split(batch_size or 6)]
    return torch.cat(parts)


@pytest.mark.parametrize("method", ["grad_x_input", "elrp"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_maps_are_those_of_the_network_as_it_is(images, name, method):
    encoder = Encoder(build(name), name=name)
    plain = maps_of(encoder, images, method, compiled=False)
    found = maps_of(encoder, images, method, compiled=True)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-7)


def test_the_stabiliser_of_elrp_counts(images, compilations):
    encoder = Encoder(build("plain"), name="net")
    for eps in (1e-4, 0.5):
        plain = maps_of(encoder, images, ELRP(eps), compiled=False)
        torch.testing.assert_close(maps_of(encoder, images, ELRP(eps), compiled=True), plain)
    assert len(compilations) == 2


def test_integrated_gradients_of_ones_own(images, compilations):
    class Steps(pyattrx.InputAttribution):
        combine = "grad_x_input"

        def gradient(self, forward, x, scalar):
            parent = super().gradient
            return sum(parent(forward, s * x, scalar) for s in (0.25, 0.75)) / 2

    encoder = Encoder(build("resnet"), name="net")
    plain = maps_of(encoder, images, Steps(), compiled=False)
    torch.testing.assert_close(maps_of(encoder, images, Steps(), compiled=True), plain)
    assert len(compilations) == 1


@pytest.mark.parametrize("batch_size", [1, 4, 5, 6, 9])
def test_a_shorter_batch_compiles_nothing_anew(images, compilations, batch_size):
    encoder = Encoder(build("resnet"), name="net")
    plain = maps_of(encoder, images, "saliency", compiled=False)
    found = maps_of(encoder, images, "saliency", compiled=True, batch_size=batch_size)
    torch.testing.assert_close(found, plain)
    assert len(compilations) == 1


def test_filling_up_neither_adds_gradient_nor_shows(images):
    encoder = Encoder(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), name="net")
    with encoder.prepare(CPU, images) as prepared:
        prepared.compile(6)
        x = prepared.preprocess(images[:2]).requires_grad_()
        z = prepared.forward(x)
        assert len(z) == 2
        (gradient,) = torch.autograd.grad(z.sum(), x)
        with prepared.as_it_is():
            assert not prepared.compiled
            (expected,) = torch.autograd.grad(prepared.forward(x).sum(), x)
        assert prepared.compiled
    torch.testing.assert_close(gradient, expected)


def plain_net(seed=0, hidden=4):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, hidden, 3), nn.ReLU(), nn.Conv2d(hidden, 5, 3), nn.ReLU(inplace=True)
    )


def test_networks_of_one_architecture_share_a_program(images, compilations):
    for seed in range(10):
        encoder = Encoder(plain_net(seed), name=f"net{seed}")
        plain = maps_of(encoder, images, "saliency", compiled=False)
        torch.testing.assert_close(maps_of(encoder, images, "saliency", compiled=True), plain)
    assert len(compilations) == 1
    encoder = Encoder(plain_net(hidden=7), name="wider")
    plain = maps_of(encoder, images, "saliency", compiled=False)
    torch.testing.assert_close(maps_of(encoder, images, "saliency", compiled=True), plain)
    assert len(compilations) == 2


class Scaled(nn.Module):
    """Looks the same whatever its factor; and a closure that no repr shows."""

    def __init__(self, factor):
        super().__init__()
        self.conv = plain_net()
        self.factor = factor
        self.add = lambda z: z + factor

    def forward(self, x):
        return self.add(self.conv(x)).tanh() * self.factor


def test_networks_that_only_look_alike_are_told_apart(images, compilations):
    # More of them than versions that torch.compile makes of one function.
    for factor in range(1, 10):
        encoder = Encoder(Scaled(float(factor)), name="net")
        plain = maps_of(encoder, images, "saliency", compiled=False)
        torch.testing.assert_close(maps_of(encoder, images, "saliency", compiled=True), plain)
    assert len(compilations) == 9


def limit():
    from torch._dynamo import config

    return getattr(config, "recompile_limit", None) or config.cache_size_limit


def test_more_versions_than_torch_makes_of_a_function_by_itself(probes, compilations):
    count, usual = 5, limit()
    method = Combined([(Method(ELRP(10.0**-k)), 1.0) for k in range(count)])
    # The second begins with the program of the first, which differs from it.
    encoders = [Encoder(Scaled(factor), name=f"net{factor}") for factor in (1.0, 2.0)]
    plain = pyattrx.affinity(encoders, probes, method, device="cpu")
    found = pyattrx.affinity(encoders, probes, method, device="cpu", compile=True)
    np.testing.assert_allclose(found.values, plain.values, atol=1e-5)
    assert len(compilations) == 2 * count > usual
    assert limit() == usual


def test_more_versions_for_one_network_and_in_several_threads(images, compilations):
    usual = limit()

    def run(number):
        encoder = Encoder(Scaled(float(number)), name="net")
        with encoder.prepare(CPU, images) as prepared:
            prepared.compile(len(images))
            return [
                AttributionMaps(Method(ELRP(10.0**-k)), images.shape[2:]).rows(prepared, images)
                for k in range(usual + 2)
            ]

    run(1)
    assert len(compilations) == usual + 2
    with ThreadPoolExecutor(2) as pool:
        assert all(len(maps) == usual + 2 for maps in pool.map(run, (2, 3)))
    assert limit() == usual


class Counting(nn.Module):
    """Another network in every pass."""

    def __init__(self):
        super().__init__()
        self.conv = plain_net()
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        return self.conv(x) * (1 + 0 * self.passes)


def test_what_is_different_in_every_pass_is_an_error_in_the_end(images, monkeypatch):
    monkeypatch.setattr(compiling, "_LIMIT", 10)
    with Encoder(Counting(), name="net").prepare(CPU, images) as prepared:
        prepared.compile(len(images))
        x = prepared.preprocess(images)
        for _ in range(10):
            prepared.forward(x)
        with pytest.raises(EncoderError, match=r"'net' .*10 versions .* different in every pass"):
            prepared.forward(x)


def test_hooks_of_ones_own_are_not_taken_for_anothers(images):
    for factor in (None, 2.0, 3.0):
        module = plain_net()
        if factor is not None:
            module[0].register_forward_hook(lambda part, given, answer, f=factor: answer.tanh() * f)
        encoder = Encoder(module, name="net")
        plain = maps_of(encoder, images, "saliency", compiled=False)
        torch.testing.assert_close(maps_of(encoder, images, "saliency", compiled=True), plain)


def test_parametrised_networks_are_compiled_one_by_one(images, compilations):
    for seed in range(2):
        module = plain_net(seed)
        nn.utils.parametrizations.weight_norm(module[0])
        encoder = Encoder(module, name="net")
        plain = maps_of(encoder, images, "saliency", compiled=False)
        torch.testing.assert_close(maps_of(encoder, images, "saliency", compiled=True), plain)
    assert len(compilations) == 2  # as the documentation says


@dataclass
class Answer:
    logits: Tensor
    hidden: Tensor


class Answering(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.conv = plain_net()
        self.kind = kind

    def forward(self, x):
        z = self.conv(x)
        if self.kind == "dict":
            return {"logits": z + 1, "features": z}
        if self.kind == "tuple":
            return (z, [z + 1])
        return Answer(z, z + 1)


@pytest.mark.parametrize("kind", ["dict", "tuple", "dataclass"])
def test_answers_of_other_kinds(images, kind):
    encoder = Encoder(Answering(kind), name="net")
    plain = maps_of(encoder, images, "saliency", compiled=False)
    torch.testing.assert_close(maps_of(encoder, images, "saliency", compiled=True), plain)


PLACES = {
    "a submodule": {"output": "2"},
    "before what writes into it": {"output": "0"},
    "both, features first": {"features": "0"},
    "both, output first": {"output": "0", "features": "2"},
    "the same": {"output": "1", "features": "1"},
    "a function": {"output": lambda module, x: module[:2](x)},
    "a function, and features beyond": {"output": lambda module, x: module[0](x), "features": "2"},
    "two functions": {
        "output": lambda module, x: module[:2](x),
        "features": lambda module, x: module[0](x),
    },
}


@pytest.mark.parametrize("where", PLACES)
def test_outputs_and_features(images, where):
    module = plain_net()
    module[1] = nn.ReLU(inplace=True)
    encoder = Encoder(module, name="net", **PLACES[where])
    with encoder.prepare(CPU, images) as prepared:
        x = prepared.preprocess(images)
        expected = prepared.outputs(x)
        prepared.compile(len(images))
        for count in (6, 4):
            found = prepared.outputs(x[:count])
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs[:count])
    plain = maps_of(encoder, images, "grad_x_input", compiled=False)
    torch.testing.assert_close(maps_of(encoder, images, "grad_x_input", compiled=True), plain)


def test_nothing_of_a_network_is_kept(images):
    module = plain_net()
    encoder = Encoder(module, name="net", features="0")
    with encoder.prepare(CPU, images) as prepared:
        prepared.compile(6)
        prepared.outputs(prepared.preprocess(images))
        assert "_pyattrx_seen" not in vars(prepared.module.get_submodule("0"))
        assert not prepared.module.get_submodule("0")._forward_hooks
        kept = weakref.ref(prepared.module)
    gc.collect()
    assert kept() is None


class Doubting(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = plain_net()

    def forward(self, x):
        z = self.conv(x)
        return z * 2 if z.mean().item() > 0 else z


def test_what_cannot_be_compiled_is_an_error(images, probes):
    with pytest.raises(EncoderError, match=r"'doubting' cannot be compiled.* leave out compile"):
        maps_of(Encoder(Doubting(), name="doubting"), images, "saliency", compiled=True)
    with pytest.raises(EncoderError, match=r"'doubting' cannot be compiled.* leave out compile"):
        pyattrx.affinity(
            [Encoder(Doubting(), name="doubting")],
            probes,
            device="cpu",
            compile=True,
            method="grad_x_input",
        )


def test_a_backend_that_fails_is_an_error(images, monkeypatch):
    monkeypatch.setattr(compiling, "_BACKEND", "no such backend")
    with pytest.raises(EncoderError, match=r"'net' cannot be compiled.* leave out compile"):
        maps_of(Encoder(plain_net(), name="net"), images, "saliency", compiled=True)


def test_torch_compile_switched_off_is_an_error(images):
    with (
        torch.compiler.set_stance("force_eager"),
        pytest.raises(EncoderError, match=r"compiled nothing"),
    ):
        maps_of(Encoder(plain_net(), name="net"), images, "saliency", compiled=True)


def test_affinities(probes, compilations):
    encoders = [Encoder(plain_net(seed), name=f"net{seed}") for seed in range(3)]
    for method, count in (("grad_x_input", 1), ("ridge", 1), ("depara", 2)):
        compilations.clear()
        compiling._programs.clear()
        plain = pyattrx.affinity(encoders, probes, method, batch_size=4, device="cpu")
        found = pyattrx.affinity(encoders, probes, method, batch_size=4, device="cpu", compile=True)
        np.testing.assert_allclose(found.values, plain.values, atol=1e-5)
        assert len(compilations) == count  # for all networks, and for the shorter last batch
        assert (plain.provenance["compile"], found.provenance["compile"]) == (False, True)
        assert all(network["compile"] is None for network in plain.provenance["networks"])
        for network in found.provenance["networks"]:
            if method == "ridge":
                assert network["compile"] is None
            else:
                assert network["compile"]["probes"] == 4
                assert network["compile"]["least_cosine"] > 1 - 1e-9
            assert network["precision"] is None


def test_both_effects_of_compiled_bfloat16(probes):
    found = pyattrx.affinity(
        [Encoder(build("resnet"), name="net")],
        probes,
        device="cpu",
        precision="bfloat16",
        compile=True,
        method="grad_x_input",
    )
    (network,) = found.provenance["networks"]
    # To float32 as it is, and to bfloat16 as it is.
    assert network["precision"]["mean_cosine"] < network["compile"]["mean_cosine"]
    assert network["compile"]["least_cosine"] > 0.999


@pytest.mark.parametrize("value", [1, "yes", None])
def test_compile_is_true_or_false(probes, value):
    with pytest.raises(InvalidTypeError, match="compile="):
        pyattrx.affinity(
            [Encoder(plain_net())], probes, device="cpu", compile=value, method="grad_x_input"
        )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_generated_code(images, monkeypatch):
    monkeypatch.setattr(compiling, "_BACKEND", "inductor")
    warnings.simplefilter("ignore")
    encoder = Encoder(plain_net(), name="net")
    plain = maps_of(encoder, images, "elrp", compiled=False)
    found = maps_of(encoder, images, "elrp", compiled=True, batch_size=4)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["grad_x_input", "elrp"])
def test_generated_code_on_a_gpu(images, method, monkeypatch):
    monkeypatch.setattr(compiling, "_BACKEND", "inductor")
    warnings.simplefilter("ignore")
    probes = pyattrx.Probes.from_tensor(images)
    encoders = [Encoder(plain_net(seed), name=f"net{seed}") for seed in range(2)]
    plain, found = (
        pyattrx.affinity(encoders, probes, method, batch_size=4, device="cuda", compile=compiled)
        for compiled in (False, True)
    )
    np.testing.assert_allclose(found.values, plain.values, atol=1e-3)
    for network in found.provenance["networks"]:
        assert network["compile"]["least_cosine"] > 0.999


def test_a_look_in_another_thread_does_not_disturb_the_compiler(images):
    """The look hooks the calls of all modules, which programs depend on."""
    begun, done = threading.Event(), threading.Event()

    def look():
        begun.set()
        while not done.is_set():
            with Encoder(plain_net(), name="other").prepare(CPU, images):
                pass

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(look)
        begun.wait()
        try:
            for seed in range(4):
                encoder = Encoder(Scaled(float(seed + 10)), name=f"net{seed}")
                with encoder.prepare(CPU, images) as prepared:
                    prepared.compile(len(images))
                    for k in range(6):
                        method = Method(ELRP(10.0 ** -(k + 2)))
                        AttributionMaps(method, images.shape[2:]).rows(prepared, images)
        finally:
            done.set()
            other.result()
