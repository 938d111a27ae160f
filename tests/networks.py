"""Small networks of the usual kinds, whose activations can be swapped for an oracle's."""

import torch
import torch.nn.functional as F
from torch import nn


class PlainCNN(nn.Module):
    """Convolutions, max pooling and functional ReLU."""

    def __init__(self, relu=F.relu):
        super().__init__()
        self.relu = relu
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = F.max_pool2d(self.relu(self.conv1(x)), 2)
        x = self.relu(self.conv2(x))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, cin, cout, stride, relu):
        super().__init__()
        self.relu = relu
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = nn.Sequential(
            nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
        )

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Residual blocks with batch norm and in-place ReLU modules."""

    def __init__(self, relu=None):
        super().__init__()
        relu = relu or nn.ReLU(inplace=True)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.relu = relu
        self.block1 = Block(8, 8, 1, relu)
        self.block2 = Block(8, 16, 2, relu)

    def forward(self, x):
        return self.block2(self.block1(self.relu(self.stem(x))))


class Depthwise(nn.Module):
    """An inverted bottleneck with SiLU and squeeze-and-excitation."""

    def __init__(self, silu=None, sigmoid=torch.sigmoid):
        super().__init__()
        self.silu = silu or nn.SiLU()
        self.sigmoid = sigmoid
        self.expand = nn.Conv2d(3, 12, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.depth = nn.Conv2d(12, 12, 3, 2, 1, groups=12, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.squeeze = nn.Conv2d(12, 4, 1)
        self.excite = nn.Conv2d(4, 12, 1)
        self.project = nn.Conv2d(12, 6, 1)

    def forward(self, x):
        x = self.silu(self.bn1(self.expand(x)))
        x = self.silu(self.bn2(self.depth(x)))
        gate = self.excite(self.silu(self.squeeze(x.mean((2, 3), keepdim=True))))
        return self.project(x * self.sigmoid(gate))


class TinyViT(nn.Module):
    """Patches, attention with softmax, layer norm and GELU; tokens out."""

    def __init__(self, gelu=F.gelu, patch=4, dim=12):
        super().__init__()
        self.gelu = gelu
        self.embed = nn.Conv2d(3, dim, patch, patch)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        attention = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.out(attention @ v)
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class _RatioOfOracle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, f):
        ctx.save_for_backward(u)
        ctx.f = f
        return f(u)

    @staticmethod
    def backward(ctx, g):
        (u,) = ctx.saved_tensors
        sign = torch.ones_like(u)
        sign[u < 0] = -1
        return g * (ctx.f(u) / (u + 1e-4 * sign)), None


def epsilon(f):
    """The activation f with the published rule for its derivative, put in by hand."""
    return lambda u: _RatioOfOracle.apply(u, f)


# name -> (the network, the same network with the epsilon rule built in)
ARCHITECTURES = {
    "plain": (PlainCNN, lambda: PlainCNN(epsilon(torch.relu))),
    "resnet": (ResNet, lambda: ResNet(epsilon(torch.relu))),
    "depthwise": (Depthwise, lambda: Depthwise(epsilon(F.silu), epsilon(torch.sigmoid))),
    "vit": (TinyViT, lambda: TinyViT(epsilon(F.gelu))),
}


def build(name, seed=0, *, epsilon_rule=False):
    """Make a network in eval mode with random weights and lived-in batch norm statistics."""
    torch.manual_seed(seed)
    network = ARCHITECTURES[name][epsilon_rule]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()
