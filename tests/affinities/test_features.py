"""affinity() by feature methods and combinations: real networks against explicit formulas."""

import json
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from scipy.spatial.distance import pdist
from torch import nn

import pyattrx
from networks import build
from pyattrx import Combined, methods
from pyattrx._scratch import Scratch
from pyattrx.errors import InvalidValueError, NonFiniteError
from pyattrx.methods import FEATURE_METHODS, perturbation_response, perturbations

DIRECTIONAL = ["ridge", "normalized_ridge", "perturbation_response"]
METHODS = [*FEATURE_METHODS, "depara", Combined([("saliency", 1), ("ridge", 1)])]


class Net(nn.Module):
    """A body, an activation whose output is the representation, and a linear latent."""

    def __init__(self, seed, channels=5, stride=2, outputs=3):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Conv2d(3, channels, 3, stride)
        self.last = nn.Tanh()
        self.head = nn.Conv2d(channels, outputs, 1)

    def forward(self, x):
        return self.head(self.last(self.body(x)))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(12, 3, 4, 4, generator=generator)
    return F.interpolate(coarse, size=14, mode="bilinear").clamp(0, 1)


@pytest.fixture
def probes(images):
    return pyattrx.Probes.from_tensor(images)


def nets(dtype=torch.float32):
    shapes = [(5, 2, 3), (4, 2, 2), (6, 3, 4)]
    return [Net(seed, *shape).to(dtype) for seed, shape in enumerate(shapes)]


def encoders(dtype=torch.float32, features="last"):
    return [
        pyattrx.Encoder(net, name=f"net{i}", features=features) for i, net in enumerate(nets(dtype))
    ]


def seen(net, x):
    """Latent and features, float64."""
    net = net.double()
    with torch.no_grad():
        c = net.last(net.body(x.double()))
        return net.head(c), c


def ridge(z, c, penalty):
    """Least squares on rows that stand for the penalty; no intercept."""
    rows = np.concatenate([c, np.sqrt(penalty) * np.eye(c.shape[1])])
    more = np.concatenate([z, np.zeros((c.shape[1], z.shape[1]))])
    return np.linalg.lstsq(rows, more, rcond=None)[0]


def samples(x):
    """[n, C, H, W] as [n * H * W, C]."""
    return np.moveaxis(np.asarray(x), 1, -1).reshape(-1, x.shape[1])


def test_normalized_ridge(images, probes):
    got = pyattrx.affinity(encoders(torch.float64), probes, "normalized_ridge")
    for i, target in enumerate(nets()):
        for j, source in enumerate(nets()):
            z, c = seen(target, images)[0], seen(source, images)[1]
            u = c / c.norm(dim=1, keepdim=True)
            size = np.minimum(z.shape[-2:], u.shape[-2:]).tolist()
            z, u = F.interpolate(z, size, mode="area"), F.interpolate(u, size, mode="area")
            r2 = []
            halves = slice(0, None, 2), slice(1, None, 2)
            for fit, test in (halves, halves[::-1]):
                x, y = samples(u[fit]), samples(z[fit])
                mx, my = x.mean(0), y.mean(0)
                penalty = 0.01 * ((x - mx) ** 2).sum() / min(x.shape)
                weights = ridge(y - my, x - mx, penalty)
                x2, y2 = samples(u[test]), samples(z[test])
                left = ((y2 - my - (x2 - mx) @ weights) ** 2).sum()
                r2.append(1 - left / ((y2 - y2.mean(0)) ** 2).sum())
            assert got.values[i, j] == pytest.approx(np.mean(r2), abs=1e-9)
    assert not got.symmetric


def test_noise_waits_for_no_gpu():
    sent = []

    class Noise:
        def pin_memory(self):
            sent.append("pinned")
            return self

        def to(self, device, dtype, non_blocking):
            sent.append((device, dtype, non_blocking))

    images = SimpleNamespace(is_cuda=True, device="cuda", dtype=torch.float32)
    perturbation_response._sent(Noise(), images)
    assert sent == ["pinned", ("cuda", torch.float32, True)]
    noise = torch.rand(1, 3, 4, 4)
    assert perturbation_response._sent(noise, torch.rand(1, 3, 4, 4)) is noise


def test_perturbation_response(images, probes):
    method = methods.PerturbationResponse(draws=3, strength=0.1, seed=4, penalty=0.1)
    got = pyattrx.affinity(encoders(torch.float64), probes, method, batch_size=5)

    def responses(net):
        plain_z, plain_c = seen(net, images)
        z, u = [], []
        for draw in range(3):
            noise = perturbations(np.arange(12), draw, (14, 14), 0.1, seed=4)
            moved_z, moved_c = seen(net, images + noise)
            z.append(moved_z - plain_z)
            u.append(F.normalize(moved_c, dim=1) - F.normalize(plain_c, dim=1))
        return torch.stack(z, 1), torch.stack(u, 1)

    answers = [responses(net) for net in nets()]
    for i, (z, _) in enumerate(answers):
        for j, (_, u) in enumerate(answers):
            size = np.minimum(z.shape[-2:], u.shape[-2:]).tolist()
            a, b = (F.interpolate(x.flatten(0, 1), size, mode="area") for x in (z, u))
            halves = torch.arange(12).repeat_interleave(3) % 2
            r2 = []
            for half in (0, 1):
                x, y = samples(b[halves != half]), samples(a[halves != half])
                weights = ridge(y, x, 0.1 * (x**2).sum() / min(x.shape))
                x2, y2 = samples(b[halves == half]), samples(a[halves == half])
                r2.append(1 - ((y2 - x2 @ weights) ** 2).sum() / (y2**2).sum())
            assert got.values[i, j] == pytest.approx(np.mean(r2), abs=1e-6)


def test_perturbations():
    probes = np.array([3, 0, 7])
    noise = perturbations(probes, 1, (20, 12), 0.3, seed=2)
    assert noise.shape == (3, 3, 20, 12)
    assert noise.square().mean((1, 2, 3)).sqrt().numpy() == pytest.approx(np.full(3, 0.3))
    # A probe's noise is its own: neither the others nor the batch matter.
    assert torch.equal(perturbations(probes[1:2], 1, (20, 12), 0.3, seed=2), noise[1:2])
    for other in (
        perturbations(probes, 0, (20, 12), 0.3, seed=2),
        perturbations(probes, 1, (20, 12), 0.3, seed=3),
        perturbations(probes + 1, 1, (20, 12), 0.3, seed=2),
    ):
        overlap = (other * noise).mean((1, 2, 3)) / 0.09
        assert overlap.abs().max() < 0.6


def test_ridge_reads_the_target_at_its_output_and_the_source_at_its_features(images, probes):
    got = pyattrx.affinity(encoders(torch.float64), probes, "ridge")
    answers = [[part.flatten(1).numpy() for part in seen(net, images)] for net in nets()]
    for i, (z, _) in enumerate(answers):
        for j, (_, c) in enumerate(answers):
            penalty = 0.01 * ((c - c.mean(0)) ** 2).sum() / 12
            left = 0.0
            for k in range(12):
                rest = np.arange(12) != k
                mz, mc = z[rest].mean(0), c[rest].mean(0)
                # With fewer probes than features the dual form is the cheap one.
                x = c[rest] - mc
                weights = np.linalg.solve(x @ x.T + penalty * np.eye(11), z[rest] - mz)
                left += ((z[k] - mz - (c[k] - mc) @ x.T @ weights) ** 2).sum()
            expected = 1 - left / ((z - z.mean(0)) ** 2).sum()
            assert got.values[i, j] == pytest.approx(expected, abs=1e-9)
    same = pyattrx.affinity(encoders(torch.float64, features=None), probes, "ridge")
    assert np.abs(same.values - got.values).max() > 1e-3


def test_rsa_of_outputs(images, probes):
    got = pyattrx.affinity(encoders(), probes, "rsa")
    distances = [pdist(seen(net, images)[0].flatten(1).numpy(), "correlation") for net in nets()]
    expected = stats.spearmanr(np.array(distances).T).statistic
    assert got.values == pytest.approx(expected, abs=2e-3)  # a few ranks swap in float32
    exact = pyattrx.affinity(encoders(torch.float64), probes, "rsa")
    assert exact.values == pytest.approx(expected, abs=1e-9)
    assert got.symmetric


def test_depara(probes):
    parts = [pyattrx.affinity(encoders(), probes, m) for m in ("saliency", "edges")]
    got = pyattrx.affinity(encoders(), probes, Combined.depara("saliency", weight=0.25))
    expected = (parts[0].values + 0.25 * parts[1].values) / 1.25
    assert got.values == pytest.approx(expected)
    assert got.symmetric
    assert got.bounds == (-1, 1)
    assert got.provenance["grid"] == [14, 14]


def test_a_sum_of_standardised_scores(probes):
    method = Combined([("saliency", 1), ("ridge", 0.5)])
    got = pyattrx.affinity((e for e in encoders()), probes, method)  # each is loaded once
    parts = [pyattrx.affinity(encoders(), probes, m).values for m in ("saliency", "ridge")]
    for i in range(3):
        others = [j for j in range(3) if j != i]
        z = [(p[i] - p[i, others].mean()) / p[i, others].std() for p in parts]
        assert got.values[i] == pytest.approx(z[0] + 0.5 * z[1], abs=1e-6)
    assert not got.symmetric
    assert got.bounds == (-np.inf, np.inf)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_and_order_change_nothing_beyond_rounding(method, dtype, probes):
    some = encoders(dtype)
    first = pyattrx.affinity(some, probes, method, batch_size=12)
    other = pyattrx.affinity(some[::-1], probes, method, batch_size=5)
    again = pyattrx.affinity(some, probes, method, batch_size=12)
    assert (first.values == again.values).all()
    assert (first.stderr == again.stderr).all()
    # Ranks are swapped by the last bit of a float32 feature.
    ranked = str(method) == "rsa" or "edges" in str(method)
    tolerance = 1e-9 if dtype == torch.float64 else 5e-3 if ranked else 2e-5
    assert other.values[::-1, ::-1] == pytest.approx(first.values, abs=tolerance)
    assert other.names == first.names[::-1]
    assert np.isfinite(first.stderr[~np.eye(3, dtype=bool)]).all()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_everything_that_is_asked_of_a_result(method, probes, tmp_path):
    result = pyattrx.affinity(encoders(), probes, method)
    assert result.symmetric == (str(method) in ("rsa", "cka", "dds", "edges", "svcca", "depara"))
    matches = result.nearest("net0", k=2)
    row = {result.names[j]: result.values[0, j] for j in (1, 2)}
    assert [m.name for m in matches] == sorted(row, key=row.get, reverse=True)
    for match in matches:
        assert match.affinity == row[match.name]
        assert match.low <= match.affinity <= match.high
        assert match.low < match.high or method == "svcca"  # 1 for all pairs of few probes
        assert result.bounds[0] <= match.low
        assert match.high <= result.bounds[1]
    with np.errstate(divide="ignore"):
        expected = np.where(result.values > 0, 1 / result.values, np.inf)
    assert (result.distance() == expected).all()
    both = (result.values + result.values.T) / 2
    linkage = pyattrx.tree.build_tree(both, result.names).linkage
    assert result.tree().linkage == pytest.approx(linkage)
    differ, pairs = result.differing_pairs()
    assert pairs == (3 if result.symmetric else 6)
    assert 0 <= differ <= pairs
    json.dumps(result.to_dict(), allow_nan=False)
    loaded = pyattrx.Affinity.load(result.save(tmp_path / "a.npz"))
    assert loaded.nearest("net0") == result.nearest("net0")
    assert (loaded.bounds, loaded.symmetric) == (result.bounds, result.symmetric)
    assert (result.to_frame().to_numpy() == result.values).all()
    observed = [network.get("observed") for network in result.provenance["networks"]]
    assert all(part is not None for part in observed)


def test_the_paired_test_is_that_of_the_jackknife(probes):
    """Two sources that are nearly one are tied, and their difference is hardly uncertain."""
    twin = Net(1, 4, 2, 2)
    with torch.no_grad():
        twin.head.weight += 1e-7
    some = [*encoders(), pyattrx.Encoder(twin, name="twin", features="last")]
    result = pyattrx.affinity(some, probes, "ridge")
    matches = {m.name: m for m in result.nearest("net0", k=3)}
    assert "twin" in matches["net1"].ties
    assert result.without.shape == (12, 4, 4)
    spread = np.abs(result.without[:, 0, 1] - result.without[:, 0, 3]).max()
    assert spread < 0.01 * result.stderr[0, 1]


def test_groups_make_errors_larger(images):
    generator = torch.Generator().manual_seed(1)
    repeated = images.repeat(2, 1, 1, 1) + 0.01 * torch.rand(24, 3, 14, 14, generator=generator)
    alone = pyattrx.Probes.from_tensor(repeated.clamp(0, 1))
    grouped = pyattrx.Probes.from_tensor(repeated.clamp(0, 1), groups=[*range(12)] * 2)
    for method in ("cka", "rsa"):
        a, b = (pyattrx.affinity(encoders(), p, method) for p in (alone, grouped))
        assert a.values == pytest.approx(b.values)
        assert b.blocks.max() + 1 == 12
        upper = np.triu_indices(3, 1)
        assert b.stderr[upper].mean() > a.stderr[upper].mean()
    # A copy of a probe that is left out would give the answer away.
    a, b = (pyattrx.affinity(encoders(), p, "ridge") for p in (alone, grouped))
    assert (b.values < a.values).all()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_too_few_probes(method, images):
    with pytest.raises(InvalidValueError, match="probes=1: expected at least"):
        pyattrx.affinity(encoders(), pyattrx.Probes.from_tensor(images[:1]), method)


@pytest.mark.parametrize("method", DIRECTIONAL)
def test_one_group_of_probes(method, images):
    grouped = pyattrx.Probes.from_tensor(images, groups=[0] * 12)
    with pytest.raises(InvalidValueError, match="probes.groups=1: expected at least 2 groups"):
        pyattrx.affinity(encoders(), grouped, method)
    result = pyattrx.affinity(encoders(), grouped, "cka")
    assert np.isnan(result.stderr).all()
    assert np.isnan(result.nearest("net0")[0].low)


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("method", FEATURE_METHODS)
def test_as_few_probes_as_there_can_be(method, count, images):
    result = pyattrx.affinity(encoders(), pyattrx.Probes.from_tensor(images[:count]), method)
    assert np.isfinite(result.values).all()
    if count == 3:  # without one of them there are too few to compare
        assert np.isnan(result.stderr).all() or method == "ridge"


def test_one_network(probes):
    for method in METHODS:
        result = pyattrx.affinity(encoders()[:1], probes, method)
        assert result.values.shape == (1, 1)
        assert result.nearest("net0") == []


def test_a_network_that_says_nothing(probes):
    class Silent(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 3, 2, 2), 2.0)

    some = [*encoders(), pyattrx.Encoder(Silent(), name="silent")]
    for method in METHODS:
        result = pyattrx.affinity(some, probes, method)
        assert np.isfinite(result.values).all()
        assert result.zero_maps == {"silent": 12}
        if not isinstance(method, Combined):
            assert (result.values[3] == 0).all()
        if method in ("rsa", "cka", "dds", "edges", "svcca"):
            assert (result.values[:, 3] == 0).all()


@pytest.mark.parametrize("method", FEATURE_METHODS)
def test_not_a_number(method, probes):
    class Broken(nn.Module):
        def forward(self, x):
            y = x.mean((2, 3))
            return torch.where(y == y.amax(1, keepdim=True), float("nan"), y)

    with pytest.raises(NonFiniteError, match="network 'broken', probe .*: its features hold NaN"):
        pyattrx.affinity([pyattrx.Encoder(Broken(), name="broken")], probes, method)


@pytest.mark.parametrize("name", ["plain", "resnet", "depthwise", "vit"])
def test_outputs_of_any_shape(name, probes):
    """Vectors, maps and tokens; a network of one kind predicts one of another."""
    some = [pyattrx.Encoder(build(name), name=name), *encoders()[:1]]
    for method in METHODS:
        values = pyattrx.affinity(some, probes, method).values
        assert np.isfinite(values).all()


def test_half_precision(probes):
    half = pyattrx.Encoder(nets()[0], name="half", dtype=torch.bfloat16)
    for method in ("cka", "normalized_ridge"):
        result = pyattrx.affinity([half, *encoders()[1:]], probes, method)
        assert np.isfinite(result.values).all()


def test_summaries_that_do_not_fit_in_memory(probes, monkeypatch, tmp_path):
    folders = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **to: folders.append(to["dir"]) or make(**to)
    )
    for method in ("ridge", "normalized_ridge"):
        kept = pyattrx.affinity(encoders(), probes, method, scratch=tmp_path)
        assert folders == []
        filed = pyattrx.affinity(encoders(), probes, method, scratch=Scratch(tmp_path, 3000))
        assert set(folders) == {tmp_path}
        folders.clear()
        assert (filed.values == kept.values).all()
        assert list(tmp_path.iterdir()) == []


def test_large_maps_are_made_smaller(images):
    big = pyattrx.Probes.from_tensor(F.interpolate(images, size=42, mode="bilinear"))
    net = nn.Conv2d(3, 4, 1)
    result = pyattrx.affinity([pyattrx.Encoder(net, name="a")], big, "normalized_ridge")
    assert result.provenance["networks"][0]["observed"]["normalized_ridge"] == {
        "output": [4, 16, 16],
        "features": [4, 16, 16],
    }


@pytest.mark.parametrize("method", FEATURE_METHODS)
@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (2.0**-110, torch.float32),
        (2.0**100, torch.float32),
        (2.0**-600, torch.float64),
        (2.0**600, torch.float64),
    ],
)
def test_networks_of_any_scale(method, scale, dtype, probes):
    """Powers of two, which change no rounding: not one score depends on them."""
    plain = pyattrx.affinity(encoders(dtype, features=None), probes, method)
    scaled = encoders(dtype, features=None)[1]
    with torch.no_grad():
        scaled.module.head.weight *= scale
        scaled.module.head.bias *= scale
    some = encoders(dtype, features=None)
    some[1] = scaled
    result = pyattrx.affinity(some, probes, method)
    assert result.values == pytest.approx(plain.values, abs=1e-9)
    assert result.stderr == pytest.approx(plain.stderr, abs=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_devices_agree(method, probes):
    host = pyattrx.affinity(encoders(torch.float64), probes, method, device="cpu")
    device = pyattrx.affinity(encoders(torch.float64), probes, method, device="cuda")
    assert device.values == pytest.approx(host.values, abs=1e-8)
