"""Batch norm folding: what is folded, what is left alone, and that outputs do not change."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pyattrx
from networks import ARCHITECTURES, build


def live_in(module, seed=0):
    """Give batch norms statistics that matter."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean.copy_(torch.randn(part.num_features, generator=generator))
            part.running_var.copy_(0.5 + torch.rand(part.num_features, generator=generator))
            if part.affine:
                part.weight.data.copy_(torch.randn(part.num_features, generator=generator))
                part.bias.data.copy_(torch.randn(part.num_features, generator=generator))
    return module.eval()


def prepared(module, images, **options):
    return pyattrx.Encoder(module, name="net", **options).prepare("cpu", images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "folded"), [("plain", 0), ("resnet", 7), ("depthwise", 2)])
def test_outputs_and_gradients_are_those_of_the_network(name, folded, dtype, images):
    network = build(name).to(dtype)
    run = prepared(network, images)
    assert run.folded == folded
    x = run.preprocess(images).requires_grad_()
    plain = images.to(dtype).requires_grad_()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    ours, theirs = run.forward(x), network(plain)
    assert torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    ours.sum().backward()
    theirs.sum().backward()
    scale = plain.grad.abs().max()
    assert (x.grad - plain.grad).abs().max() <= tolerance * scale


class Chain(nn.Module):
    """Layers one after another, by a forward method of its own."""

    def __init__(self, layers, forward=None):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.custom = forward

    def forward(self, x):
        if self.custom is not None:
            return self.custom(self.layers, x)
        for layer in self.layers:
            x = layer(x)
        return x


FOLDABLE = {
    "conv": [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)],
    "conv with bias and stride": [nn.Conv2d(3, 8, 3, 2, 1, bias=True), nn.BatchNorm2d(8)],
    "conv without affine": [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False)],
    "grouped": [nn.Conv2d(3, 9, 3, groups=3), nn.BatchNorm2d(9)],
    "dilated, reflected": [
        nn.Conv2d(3, 8, 3, padding=2, dilation=2, padding_mode="reflect"),
        nn.BatchNorm2d(8),
    ],
    "transposed": [nn.ConvTranspose2d(3, 5, 3, 2), nn.BatchNorm2d(5)],
    "grouped transposed": [nn.ConvTranspose2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)],
    "synchronised": [nn.Conv2d(3, 8, 3), nn.SyncBatchNorm(8)],
    "linear": [nn.Flatten(), nn.Linear(3 * 24 * 24, 7), nn.BatchNorm1d(7)],
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_what_is_folded(name, images):
    network = live_in(Chain(FOLDABLE[name]))
    run = prepared(network, images)
    assert run.folded == 1
    assert torch.allclose(run.forward(run.preprocess(images)), network(images), atol=1e-4)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
    norms = [m for m in run.module.modules() if isinstance(m, kinds)]
    assert all("forward" in vars(norm) for norm in norms)  # it stands there, and does nothing


def hooked():
    network = Chain([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)])
    network.layers[0].register_forward_hook(lambda module, inputs, output: output * 2)
    return network


def parametrized():
    network = Chain([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)])
    nn.utils.parametrizations.weight_norm(network.layers[0])
    return network


def shared_layer():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    return Chain([conv, nn.BatchNorm2d(3), conv, nn.BatchNorm2d(3)])


def shared_norm():
    norm = nn.BatchNorm2d(3)
    return Chain([nn.Conv2d(3, 3, 3), norm, nn.Conv2d(3, 3, 3), norm])


def tied_weights():
    network = Chain([nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)])
    network.layers[2].weight = network.layers[0].weight
    return network


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias)


NOT_FOLDABLE = {
    "norm before the layer": lambda: Chain([nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)]),
    "something between": lambda: Chain([nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)]),
    "output used twice": lambda: Chain(
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], lambda m, x: m[1](y := m[0](x)) + F.relu(y)
    ),
    "output used in place": lambda: Chain(
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], lambda m, x: m[1](F.relu_(m[0](x)))
    ),
    "called twice": lambda: Chain(
        [nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)], lambda m, x: m[1](m[0](m[1](m[0](x))))
    ),
    "hooked": hooked,
    "parametrized": parametrized,
    "shared layer": shared_layer,
    "shared norm": shared_norm,
    "tied weights": tied_weights,
    "a subclass of a layer": lambda: Chain([Standardised(3, 4, 3), nn.BatchNorm2d(4)]),
    "rows of a matrix": lambda: Chain(
        [nn.Flatten(2), nn.Linear(24 * 24, 7), nn.BatchNorm1d(3)],
    ),
    "rows of a square matrix": lambda: Chain(
        [nn.Flatten(2), nn.Linear(24 * 24, 3), nn.BatchNorm1d(3)],
    ),
    "reads the layer's weight": lambda: Chain(
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], lambda m, x: m[1](m[0](x)) * m[0].weight.sum()
    ),
}


@pytest.mark.parametrize("name", NOT_FOLDABLE)
def test_what_is_left_alone(name, images):
    network = live_in(NOT_FOLDABLE[name]())
    run = prepared(network, images)
    assert run.folded == 0
    assert torch.allclose(run.forward(run.preprocess(images)), network(images), atol=1e-5)


def test_descriptions_of_a_tensor_are_not_uses(images):
    def forward(layers, x):
        y = layers[0](x)
        assert y.shape[1] == y.size(1) == 4
        assert y.dim() == y.ndim == 4
        assert y.is_floating_point()
        return layers[1](y).view(len(y), -1)

    network = live_in(Chain([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], forward))
    assert prepared(network, images).folded == 1


@pytest.mark.parametrize(
    ("output", "folded"), [("block1.conv1", 1), ("block1.bn1", 1), ("block2", 7)]
)
def test_layers_chosen_as_output_are_left_alone(output, folded, images):
    network = build("resnet")
    run = prepared(network, images, output=output)
    assert run.folded == folded
    answers = []
    network.get_submodule(output).register_forward_hook(lambda m, i, o: answers.append(o.clone()))
    network(images)
    assert torch.allclose(run.forward(run.preprocess(images)), answers[0], atol=1e-4)


def test_a_callable_output_that_reads_before_the_norm(images):
    """The callable's answer is the layer's own output: folding would change it."""
    network = live_in(Chain([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)]))

    def before_norm(module, x):
        seen = []
        hook = module.layers[0].register_forward_hook(lambda m, i, o: seen.append(o))
        module(x)
        hook.remove()
        return seen[0]

    run = prepared(network, images, output=before_norm)
    expected = network.layers[0](images)
    assert torch.allclose(run.forward(run.preprocess(images)), expected, atol=1e-5)


def test_networks_without_batch_norm_are_simply_run(images):
    for name in ARCHITECTURES:
        run = prepared(build(name), images)
        assert torch.allclose(run.forward(run.preprocess(images)), build(name)(images), atol=1e-4)


def test_one_odd_pair_does_not_stop_the_others(images):
    network = live_in(
        Chain(
            [
                Standardised(3, 4, 3),
                nn.BatchNorm2d(4),
                nn.Conv2d(4, 4, 3),
                nn.BatchNorm2d(4),
                nn.ReLU(),
            ]
        )
    )
    assert prepared(network, images).folded == 1


def test_the_same_pairs_are_found_every_time(images):
    """Between the passes memory, and with it the identity of tensors, is used again."""
    network = live_in(
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
            *(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
        )
    )
    runs = [prepared(network, images) for _ in range(20)]
    assert [run.folded for run in runs] == [2] * 20
    first = runs[0].forward(images)
    assert all(torch.equal(run.forward(images), first) for run in runs)
