"""Small networks assembled at random from well-behaved layers and from the ways to misbehave.

Every part says by its name what it does. `assemble` makes the same network each time it is called
with the same names and seed, so that one copy can be run by pyattrx and another by an oracle.
"""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import pyattrx

WIDTH = 6


class Part(nn.Module):
    """Layers, put together by a function of them and the input."""

    def __init__(self, function, *layers, **buffers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, x):
        return self.function(self, x)


def lived_in(norm):
    """A batch norm with statistics that matter."""
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 2)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    return norm


def conv(stride=1, kernel=3, bias=True):
    return nn.Conv2d(WIDTH, WIDTH, kernel, stride, kernel // 2, bias=bias)


def bn():
    return lived_in(nn.BatchNorm2d(WIDTH))


# From images [N, 3, H, W] to maps [N, WIDTH, h, w].
STEMS = {
    "conv": lambda: nn.Conv2d(3, WIDTH, 3, 1, 1),
    "strided conv": lambda: nn.Conv2d(3, WIDTH, 5, 2, 2),
    "patches": lambda: nn.Conv2d(3, WIDTH, 4, 4),
    "conv and norm": lambda: nn.Sequential(nn.Conv2d(3, WIDTH, 3, 2, bias=False), bn()),
}


class Act(torch.autograd.Function):
    """A backward pass that needs the plain memory layout."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g.view(len(g), -1) * (x.reshape(len(g), -1) > 0)).view(g.shape)


def route(m, x):
    """Batch norm for bright images only: one image at a time is asked."""
    h = m.layers[0](x)
    bright = x.mean((1, 2, 3)) > x.new_tensor(m.threshold)
    return torch.stack([m.layers[1](h[i : i + 1])[0] if b else h[i] for i, b in enumerate(bright)])


def routed(threshold):
    made = Part(route, conv(), bn())
    made.threshold = threshold
    return made


def norm_on_the_way(m, x):
    """One route for a batch, chosen by its first image: batches of one only."""
    h = m.layers[0](x)
    return m.layers[1](h) if float(x.mean()) > 0.03 else h


def attention(m, x):
    t = x.flatten(2).transpose(1, 2)
    a = (m.layers[0](t) @ m.layers[1](t).transpose(1, 2)).softmax(-1)
    return (t + a @ t).transpose(1, 2).reshape(x.shape)


def workspace():
    """What is kept is written over for each image."""

    def forward(m, x):
        if m.space is None or m.space.shape != x.shape:
            m.space = torch.empty_like(x)
        return m.space.detach().copy_(x) + x.tanh()

    made = Part(forward)
    made.space = None
    return made


def positions():
    """What is kept is made of no image, but at the first one."""

    def forward(m, x):
        if m.kept is None:
            m.kept = torch.arange(x.shape[-1], dtype=x.dtype).cos()
        m.last = x
        return x + m.kept.to(x.dtype)

    made = Part(forward)
    made.kept = None
    return made


# From maps to maps, functions of one image.
GOOD = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "conv": conv,
    "conv, norm": lambda: nn.Sequential(conv(bias=False), bn()),
    "norm": bn,
    "residual": lambda: Part(lambda m, x: x + m.layers[1](m.layers[0](x)), conv(), bn()),
    "used twice": lambda: Part(lambda m, x: m.layers[1](y := m.layers[0](x)) + y, conv(), bn()),
    "group norm": lambda: nn.GroupNorm(2, WIDTH),
    "dropout module": lambda: nn.Dropout(0.5),
    "attention": lambda: Part(attention, nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)),
    "checkpoint": lambda: Part(
        lambda m, x: checkpoint(m.layers[0], x, use_reentrant=False),
        nn.Sequential(conv(), nn.Tanh()),
    ),
    # Not at 0: behind a group norm the mean is 0, and rounding would choose the way.
    "route by image": lambda: routed(0.03),
    "backward by view": lambda: Part(lambda m, x: Act.apply(x)),
    "buffer that is not saved": lambda: Part(lambda m, x: x * m.w, w=torch.rand(WIDTH, 1, 1) + 0.5),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(conv()),
    "writes into its input": lambda: Part(lambda m, x: x.mul_(0.5).add_(0.1)),
    "max pooling": lambda: nn.MaxPool2d(2, 1),
    "workspace": workspace,
    "positions that are kept": positions,
    "checkpoint of a norm": lambda: Part(
        lambda m, x: checkpoint(m.layers[0], x, use_reentrant=False),
        nn.Sequential(conv(bias=False), bn(), nn.ReLU()),
    ),
}


def own_randomness():
    made = Part(lambda m, x: x + 0.3 * torch.randn(x.shape, generator=m.source).to(x.dtype))
    made.source = torch.Generator().manual_seed(3)
    return made


def counting():
    def forward(m, x):
        m.count += 1
        return x * (1 + 0.1 * m.count)

    made = Part(forward)
    made.count = 0
    return made


def averaging():
    def forward(m, x):
        m.mean = 0.5 * m.mean + 0.5 * x.detach().mean((0, 2, 3))[:, None, None].to(m.mean.dtype)
        return x - m.mean

    return Part(forward, mean=torch.zeros(WIDTH, 1, 1))


def mask_of_the_first():
    """A mask that is made of the first image, and kept for all."""

    def forward(m, x):
        if m.mask is None:
            m.mask = (x.detach()[:1] > 0.1).to(x.dtype)
        return x * m.mask

    made = Part(forward)
    made.mask = None
    return made


def size_of_the_first():
    """The same of a number."""

    def forward(m, x):
        if m.size is None:
            m.size = float(x.detach()[0].abs().mean())
        return (x / m.size).tanh()

    made = Part(forward)
    made.size = None
    return made


def centred_by_the_first():
    """Statistics that the first batch sets, as in ActNorm."""

    def forward(m, x):
        if not m.done:
            m.mean.copy_(x.detach()[0].mean((1, 2), keepdim=True))
            m.done.fill_(True)
        return (3 * (x - m.mean)).tanh()

    return Part(forward, mean=torch.zeros(WIDTH, 1, 1), done=torch.tensor(False))


def kept_beside():
    """What is kept is none of the module's."""
    kept = {}

    def forward(m, x):
        mean = kept.setdefault("mean", x.detach()[:1].mean((2, 3), keepdim=True))
        return (3 * (x - mean.to(x.dtype))).tanh()

    return Part(forward)


def number_kept_beside():
    kept = {}

    def forward(m, x):
        if not kept:
            kept["size"] = float(x.detach()[0].abs().mean())
        return (3 * x / kept["size"]).tanh()

    return Part(forward)


def drops_a_block(m, x):
    return x if torch.rand(()) < 0.3 else x + m.layers[0](x)


def numpy_noise(m, x):
    return x + 0.2 * float(np.random.rand())  # noqa: NPY002


# From maps to maps, each with a mistake of its own.
BAD = {
    "dropout that stays on": lambda: Part(lambda m, x: F.dropout(x, 0.4)),
    "numpy's randomness": lambda: Part(numpy_noise),
    "python's randomness": lambda: Part(lambda m, x: x * (0.5 + random.random())),
    "randomness of its own": own_randomness,
    "a block dropped at random": lambda: Part(drops_a_block, conv()),
    "counts its passes": counting,
    "statistics that go on": averaging,
    "batch statistics": lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False),
    "less the mean of the batch": lambda: Part(lambda m, x: x - x.mean(0, keepdim=True)),
    "sums over the batch": lambda: Part(lambda m, x: x.cumsum(0)),
    "attention over the batch": lambda: Part(
        lambda m, x: (
            x + (x.flatten(1) @ x.flatten(1).T / 20).softmax(1).mean(1)[:, None, None, None]
        )
    ),
    "the first image for all": lambda: Part(lambda m, x: x + x[:1].tanh()),
    "the last image for all": lambda: Part(lambda m, x: x + x[-1:].tanh()),
    "the image before": lambda: Part(lambda m, x: x + 0.5 * x.roll(1, 0)),
    "over the largest of the batch": lambda: Part(lambda m, x: x / x.abs().amax()),
    "a mask of the first image": mask_of_the_first,
    "the size of the first image": size_of_the_first,
    "centred by the first image": centred_by_the_first,
    "kept beside the network": kept_beside,
    "a number kept beside the network": number_kept_beside,
    # Of more than four: fewer go the way of one.
    "less the mean of a large batch": lambda: Part(
        lambda m, x: x - x.mean(0, keepdim=True) if len(x) > 4 else x
    ),
    "one route for a batch": lambda: Part(norm_on_the_way, conv(), bn()),
    "rounding": lambda: Part(lambda m, x: (4 * x).round() / 4),
    "no gradient": lambda: Part(lambda m, x: x.detach()),
}

# From maps to what stands for the network.
HEADS = {
    "pooled": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "maps": nn.Identity,
    "linear": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * WIDTH, 5)),
    "squeezed": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), Part(lambda m, x: x.squeeze())),
    "unit length": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), Part(lambda m, x: F.normalize(x, dim=1))
    ),
    "probabilities": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1)),
    "layer norm": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(WIDTH, elementwise_affine=False)
    ),
    "sum of probabilities": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), Part(lambda m, x: x.softmax(1).sum(1, keepdim=True))
    ),
    "four at a time": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), Part(lambda m, x: x.reshape(4, WIDTH))
    ),
    "as many as there are bright pixels": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(4),
        Part(lambda m, x: x.flatten(1)[:, : 1 + int(30 * x.sigmoid().mean())]),
    ),
}


# Ways in which a network is patched after it was made.
def _leave(network):
    return network


def _replace_forward(network):
    network.forward = lambda x, n=network: nn.Sequential.forward(n, x)
    return network


def _bind_forward(network):
    run = nn.Sequential.forward
    network.forward = lambda x: run(network, x)
    return network


def _hook(network):
    store = {}
    network.register_forward_hook(lambda m, i, o: store.update(z=o))
    network[0].register_forward_hook(lambda m, i, o: network.seen.append(len(o)))
    network.seen = []
    return network


def _half(network):
    return network.half()


def _train(network):
    return network.train()


PATCHES = {
    "left as it is": _leave,
    "forward by default argument": _replace_forward,
    "forward by closure": _bind_forward,
    "hooks that close over it": _hook,
    "in half precision": _half,
    "in training mode": _train,
}


def assemble(stem, parts, head, patch="left as it is", seed=0):
    """Make a network: the same one for the same names and seed."""
    torch.manual_seed(seed)
    layers = [STEMS[stem]()]
    layers += [(GOOD | BAD)[part]() for part in parts]
    network = nn.Sequential(*layers, HEADS[head]()).eval()
    return PATCHES[patch](network)


# What their affinities are, by a plain loop in float64.
METHODS = {
    "saliency": pyattrx.Method("saliency"),
    "grad_x_input": pyattrx.Method("grad_x_input"),
    "norm": pyattrx.Method("grad_x_input", scalar="half_squared_norm"),
    "cka": pyattrx.methods.CKA(),
}
PROBES = 6


def images():
    generator = torch.Generator().manual_seed(11)
    bright = torch.linspace(0.4, 2.5, PROBES)[:, None, None, None]
    return torch.rand(PROBES, 3, 12, 12, generator=generator) ** bright


def transform(x):
    return 2 * x - 1


def scalar_of(name, z):
    z = z.flatten(1)
    return z.square().sum(1) / 2 if name == "norm" else z.mean(1)


def oracle_rows(network, name, copies=1):
    """Maps (or outputs) of every image by itself, in float64; maps that are nothing are zero."""
    network = network.double().eval()
    rows, constants = [], []
    for image in transform(images().double()):
        x = image[None].requires_grad_()
        z = network(x.expand(copies, -1, -1, -1))[:1]
        if name == "cka":
            rows.append(z.detach().flatten())
            continue
        s = scalar_of(name, z).sum()
        g = j = None
        if s.requires_grad:
            (g,) = torch.autograd.grad(s, x, retain_graph=True, allow_unused=True)
        signs = torch.randint(0, 2, z.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1
        if g is not None:
            (j,) = torch.autograd.grad((z * signs).sum(), x, allow_unused=True)
        if g is None or j is None:  # of an output that is the same for every image, or no map
            constants.append(float(s.detach()))
            assert np.ptp(constants) == 0
            rows.append(torch.zeros(x[0, 0].numel(), dtype=torch.float64))
            continue
        leaf = z.detach().requires_grad_()
        (v,) = torch.autograd.grad(scalar_of(name, leaf).sum(), leaf)
        # Noise: less than 1e-12 of what the units' gradients, or the scalar's terms, explain. How
        # little the scalar itself varies does not show it: behind two group norms that is 1e-12 of
        # its terms, and it is what the gradient says (test_a_small_gradient_is_not_noise).
        least = 1e-12 * j.norm() / signs.norm() * v.norm()
        terms = (v * leaf).detach().abs().sum()
        real = g.norm() > least and g.norm() * x.detach().norm() > 1e-12 * terms
        map_ = g.abs() if name == "saliency" else g * x
        rows.append(map_.detach().mean(1).flatten() * float(real))
    return torch.stack(rows).numpy()


def oracle(one, other, name, copies):
    a, b = oracle_rows(one, name, copies), oracle_rows(other, name)
    if name == "cka":
        a, b = a - a.mean(0), b - b.mean(0)
        if min(np.abs(a).max(), np.abs(b).max()) < 1e-12:
            return 0.0
        k, m = a @ a.T, b @ b.T
        return float((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.where(norms == 0, 1.0, norms)))


def copies_of(head):
    """How often an image is given at once: some networks do not run on one alone."""
    return 4 if head in ("squeezed", "four at a time") else 1
