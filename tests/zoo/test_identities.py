"""Who a network is in a zoo: what it answers, whatever its class, file and tensors are called."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pyattrx
from pyattrx.encoders.identity import behaves_alike, behaviour_of
from pyattrx.errors import InvalidValueError

IMAGES = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(3))
IMAGES = IMAGES ** torch.linspace(0.4, 2.5, 6)[:, None, None, None]


class Net(nn.Module):
    """Two convolutions, put together by a function."""

    def __init__(self, function=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, 2, 1)
        self.last = nn.Conv2d(6, 4, 3, 1, 1)
        self.function = function or (lambda self, x: self.last(self.conv(x).tanh()))

    def forward(self, x):
        return self.function(self, x)


def with_attributes(function, **attributes):
    network = Net(function)
    for name, value in attributes.items():
        setattr(network, name, value)
    return network


def scaled(scale):
    return with_attributes(lambda m, x: m.last((m.scale * m.conv(x)).tanh()), scale=scale)


def padded(*pads):
    return with_attributes(lambda m, x: m.last(F.pad(m.conv(x).tanh(), m.pads)), pads=pads)


def last_layer(**options):
    network = Net()
    state = network.last.state_dict()
    network.last = nn.Conv2d(6, 4, 3, **options)
    network.last.load_state_dict(state)
    return network


def gains(seed):
    return 1 + torch.rand(6, 1, 1, generator=torch.Generator().manual_seed(seed))


@dataclasses.dataclass
class Held:
    w: torch.Tensor


def gained(read, **attributes):
    return with_attributes(lambda m, x: m.last((m.conv(x) * read(m)).tanh()), **attributes)


def buffered(seed):
    network = gained(lambda m: m.w)
    network.register_buffer("w", gains(seed), persistent=False)
    return network


def closed_over(seed):
    w = gains(seed)
    return gained(lambda m: w)


def activated(activation):
    return with_attributes(lambda m, x: m.last(m.act(2 * m.conv(x))), act=activation)


def interpolated(mode):
    return Net(lambda m, x: m.last(F.interpolate(m.conv(x).tanh(), size=9, mode=mode)))


class Scripted(nn.Module):
    __constants__ = ("scale",)

    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, 2)
        self.scale = scale

    def forward(self, x):
        return (self.conv(x) * self.scale).tanh()


def scripted(scale):
    return torch.jit.script(Scripted(scale).eval())


def frozen(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.Tanh(), nn.Conv2d(6, 4, 3)).eval()
    return torch.jit.freeze(torch.jit.script(network))


def trained_a_little():
    """As after a step of a fine-tuning: every weight changes by a thousandth or so."""
    network = Net()
    for parameter in network.parameters():
        step = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        parameter.data += 1e-3 * parameter.std() * step
    return network


def seen_through(transform):
    return pyattrx.Encoder(Net(), name="net", transform=transform)


def read_at(output):
    return pyattrx.Encoder(Net(), name="net", output=output)


CHANGED = {
    "a number": lambda: (scaled(1.0), scaled(1.5)),
    "a number, hardly": lambda: (scaled(1.0), scaled(1.001)),
    "a tuple": lambda: (padded(1, 0, 0, 1), padded(0, 1, 1, 0)),
    "padding mode": lambda: [last_layer(padding=1, padding_mode=m) for m in ("zeros", "circular")],
    "dilation": lambda: [last_layer(padding=d, dilation=d) for d in (1, 2)],
    "stride": lambda: [last_layer(padding=1, stride=s) for s in (1, 2)],
    "a buffer that is not saved": lambda: [buffered(seed) for seed in (0, 1)],
    "a tensor in a list": lambda: [gained(lambda m: m.w[0], w=[gains(s)]) for s in (0, 1)],
    "a tensor in a dictionary": lambda: [
        gained(lambda m: m.w["a"]["b"], w={"a": {"b": gains(s)}}) for s in (0, 1)
    ],
    "a tensor in a dataclass": lambda: [gained(lambda m: m.w.w, w=Held(gains(s))) for s in (0, 1)],
    "a tensor in a closure": lambda: [closed_over(seed) for seed in (0, 1)],
    "an array": lambda: [
        gained(lambda m: torch.from_numpy(m.w).to(m.conv.weight.dtype), w=gains(s).numpy())
        for s in (0, 1)
    ],
    "the activation": lambda: (activated(nn.ReLU()), activated(nn.LeakyReLU(0.1))),
    "the activation, hardly": lambda: (activated(nn.GELU()), activated(nn.GELU("tanh"))),
    "the interpolation": lambda: (interpolated("bilinear"), interpolated("bicubic")),
    "a constant of a script": lambda: (scripted(1.0), scripted(2.0)),
    "weights frozen into a script": lambda: (frozen(0), frozen(1)),
    "a step of training": lambda: (Net(), trained_a_little()),
    "channels in the other order": lambda: [
        seen_through(transform) for transform in (lambda x: x - 0.5, lambda x: x.flip(1) - 0.5)
    ],
    "the mean that is subtracted": lambda: [
        seen_through(transform) for transform in (lambda x: x - 0.485, lambda x: x - 0.458)
    ],
    "the mean, hardly": lambda: [
        seen_through(pyattrx.Normalize([mean] * 3, [0.229] * 3)) for mean in (0.485, 0.486)
    ],
    "the output": lambda: (read_at("conv"), read_at("last")),
    "the output of a function": lambda: [
        read_at(output) for output in (lambda m, x: m(x)[:, :2], lambda m, x: m(x)[:, 2:])
    ],
}


def renamed():
    class Another(Net):
        pass

    return Another()


def with_unused(seed):
    network = Net()
    torch.manual_seed(seed)
    network.auxiliary = nn.Linear(3, 3)
    return network


SAME = {
    "a renamed class": lambda: (Net(), renamed()),
    "unused parts at random": lambda: (with_unused(1), with_unused(2)),
    "in training mode": lambda: (Net(), Net().train()),
    "a module for a function": lambda: (activated(nn.ReLU()), activated(F.relu)),
    "a transform spelt otherwise": lambda: [
        seen_through(transform) for transform in (lambda x: 2 * x - 1, lambda x: (x - 0.5) / 0.5)
    ],
    "a script of it": lambda: (Scripted(1.5), scripted(1.5)),
    "frozen, twice": lambda: (frozen(0), frozen(0)),
    "folded by hand": lambda: (folded(False), folded(True)),
    "tiny outputs": lambda: [
        Net(lambda m, x: 1e-30 * m.last(m.conv(x).tanh())),
        Net(lambda m, x: m.last(m.conv(x).tanh()) * 1e-30),
    ],
}


def folded(by_hand):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 4, 3))
    network[1].running_mean.normal_()
    network[1].running_var.uniform_(0.3, 2)
    network.eval()
    if by_hand:
        network[0] = nn.utils.fuse_conv_bn_eval(network[0], network[1])
        network[1] = nn.Identity()
    return network


def encoder(made):
    return made if isinstance(made, pyattrx.Encoder) else pyattrx.Encoder(made, name="net")


@pytest.fixture
def begun(tmp_path):
    """Makes a zoo of four probes that holds one network."""
    zoos = []

    def begin(first):
        probes = pyattrx.Probes.from_tensor(IMAGES[:4])
        place = tmp_path / f"zoo{len(zoos)}"
        zoos.append(pyattrx.Zoo.create(place, probes, "grad_x_input"))
        zoos[-1].add(encoder(first))
        return zoos[-1]

    yield begin
    for zoo in zoos:
        zoo.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_network_is_another_one(name, begun):
    one, changed = CHANGED[name]()
    zoo = begun(one)
    report = zoo.add_many([encoder(changed)])
    assert (report.added, report.skipped) == ([], [])
    assert "another network of this name (it differs in" in report.failed["net"]
    grown = zoo.add_probes(pyattrx.Probes.from_tensor(IMAGES), encoders=[encoder(changed)])
    assert "'net' is not the network that was added" in grown.failed["net"]
    assert len(zoo.probes) == 4
    zoo.add(encoder(changed), replace=True)
    assert zoo.add_many([encoder(changed)]).skipped == ["net"]
    assert zoo.query(encoder(changed), k=1)[0].affinity == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SAME)
def test_the_same_network_is_there_already(name, begun):
    one, again = SAME[name]()
    zoo = begun(one)
    assert zoo.add_many([encoder(again)]).skipped == ["net"]
    grown = zoo.add_probes(pyattrx.Probes.from_tensor(IMAGES), encoders=[encoder(again)])
    assert (grown.added, grown.failed) == (["net"], {})
    assert len(zoo.probes) == 6
    # As if it had been added with all probes.
    assert zoo.query(encoder(one), k=1)[0].affinity == pytest.approx(1)


SOURCE = """
import torch
from torch import nn


class Model(nn.Conv2d):
    def forward(self, x):
        return super().forward({change})


def net():
    torch.manual_seed(0)
    return Model(3, 4, 3)
"""


def test_a_moved_folder_is_the_same_and_a_changed_file_is_not(begun, tmp_path):
    for folder, change in (("a", "x.sin()"), ("b", "x.sin()"), ("c", "x.cos()")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "nets.py").write_text(SOURCE.format(change=change))
    there, moved, changed = (
        pyattrx.Encoder(pyattrx.load(f"{tmp_path / folder}/nets.py:net").module, name="net")
        for folder in "abc"
    )
    zoo = begun(there)
    assert zoo.add_many([moved]).skipped == ["net"]
    # The same class name, the same file name, the same weights.
    assert changed.describe()["class"] == there.describe()["class"]
    assert changed.weights_hash() == there.weights_hash()
    with pytest.raises(
        InvalidValueError, match="another network of this name .it differs in behaviour"
    ):
        zoo.add(changed)


def quantised(seed, engine=torch.qint8):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(432, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    return torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=engine)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.ao
def test_quantised_weights_are_part_of_the_hash():
    made = [quantised(0), quantised(0), quantised(1), quantised(0, torch.float16)]
    one, again, another, half = (pyattrx.Encoder(network).weights_hash() for network in made)
    assert one == again
    assert len({one, another, half}) == 3


def test_rounding_is_no_difference_and_little_more_is_one():
    """Behaviour is compared as closely as a network's own rounding allows, and not more closely."""

    def behaviour(network):
        with pyattrx.Encoder(network, name="net").prepare("cpu", IMAGES[:2], plain=True) as run:
            return behaviour_of(run.looked.plain, [b"0", b"1"], run.looked.prepared)

    def steep(slope, scale=1.0):  # of which the last bits of an image change a thousandth
        return Net(lambda m, x: m.last((slope * m.conv(x)).sin() * scale))

    for slope, seen, hidden in ((1.0, 1.0005, 1.00001), (3e3, 1.1, 1.0005)):
        there = behaviour(steep(slope))
        assert behaves_alike(there, behaviour(steep(slope)))
        assert behaves_alike(there, behaviour(steep(slope, hidden)))
        assert not behaves_alike(there, behaviour(steep(slope, seen)))
