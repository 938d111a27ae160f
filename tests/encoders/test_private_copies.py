"""Networks that deepcopy does not make private: the right number or a refusal, never a change."""

import collections
import copy
import dataclasses
import functools
import types
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

import pyattrx
from pyattrx.errors import AssumptionError

WIDTH = 4
IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(2))
IMAGES = IMAGES ** torch.linspace(0.4, 2.5, 4)[:, None, None, None]


class Net(nn.Module):
    """A convolution, a batch norm in training mode, and what `body` makes of them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, WIDTH, 3, 2)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.3, 2)
        self.last = nn.Conv2d(WIDTH, 3, 3)
        self.register_buffer("ema", torch.zeros(WIDTH))
        self.calls = 0
        self.log = []

    def forward(self, x):
        return self.last(self.norm(self.conv(x)).tanh())


def net(forward=None, **attributes):
    made = Net()
    if forward is not None or attributes:
        methods = {"forward": forward or Net.forward, **attributes}
        made.__class__ = type("Net", (Net,), methods)
    return made


def steps(network):
    """The same network as functions that close over it."""
    return lambda x: 2 * network.conv(x), lambda x: network.last(network.norm(x).tanh())


def run_all(self, x):
    for step in self.steps:
        x = step(x)
    return x


def bound_methods_in_a_list():
    network = net(run_all)
    network.steps = [network.conv.forward, network.norm.forward, torch.tanh, network.last.forward]
    return network


def functions_in_a_tuple():
    network = net(run_all)
    network.steps = steps(network)
    return network


def functions_in_a_named_tuple():
    network = net(lambda self, x: self.steps.second(self.steps.first(x)))
    network.steps = collections.namedtuple("Steps", "first second")(*steps(network))
    return network


def functions_in_a_deque():
    network = net(run_all)
    network.steps = collections.deque(steps(network))
    return network


def functions_in_a_closure():
    network = net()
    both = steps(network)
    network.forward = lambda x: both[1](both[0](x))
    return network


def functions_that_share_a_variable():
    network, seen = net(lambda self, x: self.use(self.conv(x))), None

    def keep(module, given, answer):
        nonlocal seen
        seen = network.norm(answer)

    network.conv.register_forward_hook(keep)
    network.use = lambda x: network.last(seen.tanh())
    return network


def partial_over_the_module():
    def run(network, x, *, scale):
        return network.last(network.norm(network.conv(x)).tanh()) * scale

    network = net(lambda self, x: self.run(x))
    network.run = functools.partial(run, network, scale=network.norm.running_var.mean())
    return network


def method_around_the_old_one():
    network = net()
    old = network.norm.forward
    network.norm.forward = types.MethodType(lambda self, x: 2 * old(x), network.norm)
    return network


def forward_decorated_twice():
    def timed(function):
        @functools.wraps(function)
        def run(*given):
            return function(*given)

        return run

    network = net()
    network.forward = timed(timed(network.forward))
    return network


class Child(nn.Module):
    """Knows its parent, which is no part of it."""

    def __init__(self, parent):
        super().__init__()
        self.parent = weakref.ref(parent)

    def forward(self, x):
        x = F.dropout(x, 0.5, training=self.parent().training)
        return self.parent().last(x)


def weak_reference_to_the_parent():
    network = net(lambda self, x: self.child(self.norm(self.conv(x)).tanh()))
    network.child = Child(network)
    return network


def weights_tied_by_a_closure():
    network = net(lambda self, x: self.decode(self.norm(self.conv(x)).tanh()))
    network.decode = lambda z: F.conv_transpose2d(z, network.conv.weight)
    return network


class Scaled(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, weight):
        return weight * self.by()


def parametrized_by_a_closure():
    network = net()
    scaled = Scaled(lambda: 2 * network.norm.running_var.mean())
    parametrize.register_parametrization(network.last, "weight", scaled)
    return network


def trainer_that_holds_the_model():
    network = net()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network.eval()(IMAGES).mean().backward()
    optimizer.step()
    network.trainer = types.SimpleNamespace(model=network, optimizer=optimizer, history=[1.0])
    network.configure = lambda: network.trainer
    return network


def average_kept_by_a_hook():
    network = net()

    def hook(module, given, answer):
        network.ema.mul_(0.9).add_(0.1 * answer.detach().mean((0, 2, 3)))
        network.calls += 1
        network.log.append(len(answer))

    network.conv.register_forward_hook(hook)
    return network


def view_of_a_buffer_in_a_hook():
    network = net()
    view = network.ema.data[1:]
    network.conv.register_forward_hook(lambda module, given, answer: (view.add_(1), None)[1])
    return network


def array_of_a_buffer_in_a_hook():
    network = net()
    view = network.ema.numpy()
    network.conv.register_forward_hook(lambda module, given, answer: view.fill(7))
    return network


@dataclasses.dataclass
class Kept:
    z: object = None


def keeps(place):
    def forward(self, x):
        self.kept.z = self.conv(x)
        return self.last(self.norm(self.kept.z).tanh())

    network = net(forward)
    network.kept = place()
    network.eval()(IMAGES)
    assert network.kept.z.grad_fn is not None
    return network


def activations_in_a_queue():
    def forward(self, x):
        self.queue.append(self.conv(x))
        return self.last(self.norm(self.queue[-1]).tanh())

    network = net(forward)
    network.queue = collections.deque(maxlen=2)
    network.eval()(IMAGES)
    return network


def scripted_part():
    network = net(lambda self, x: self.run(self.norm(self.conv(x)).tanh()))
    with pytest.warns(DeprecationWarning, match="jit.script"):
        network.last = torch.jit.script(network.last)
    network.run = lambda x: 2 * network.last(x)
    return network


RIGHT = {
    "bound methods in a list": bound_methods_in_a_list,
    "functions in a tuple": functions_in_a_tuple,
    "functions in a named tuple": functions_in_a_named_tuple,
    "functions in a deque": functions_in_a_deque,
    "functions in a closure": functions_in_a_closure,
    "functions that share a variable": functions_that_share_a_variable,
    "a partial over the module": partial_over_the_module,
    "a method around the old one": method_around_the_old_one,
    "forward decorated twice": forward_decorated_twice,
    "a weak reference to the parent": weak_reference_to_the_parent,
    "weights tied by a closure": weights_tied_by_a_closure,
    "parametrized by a closure": parametrized_by_a_closure,
    "a trainer that holds the model": trainer_that_holds_the_model,
    "an average kept by a hook": average_kept_by_a_hook,
    "a view of a buffer in a hook": view_of_a_buffer_in_a_hook,
    "an array of a buffer in a hook": array_of_a_buffer_in_a_hook,
    "activations in a dataclass": lambda: keeps(Kept),
    "activations in a namespace": lambda: keeps(types.SimpleNamespace),
    "activations in a queue": activations_in_a_queue,
    "a scripted part": scripted_part,
}

WORLD = {}


def writes_into_the_world(module, given, answer):
    WORLD["net"].calls += 1
    WORLD["net"].seen = answer
    WORLD["net"].log.append(len(answer))


def hook_that_knows_it_by_a_global():
    network = WORLD["net"] = net()
    network.conv.register_forward_hook(writes_into_the_world)
    return network


def part_in_a_registry():
    network = net(lambda self, x: WORLD["last"](self.norm(self.conv(x)).tanh()))
    WORLD["last"] = network.last
    return network


def view_in_a_registry():
    network = net(lambda self, x: WORLD["view"].add_(1) and Net.forward(self, x))
    WORLD["view"] = network.ema.detach()[:2]
    return network


def class_that_counts_on_one_instance():
    def forward(self, x):
        box[0].calls += 1
        return Net.forward(self, x)

    network = net(forward)
    box = [network]
    return network


def copies_to_itself():
    return net(__deepcopy__=lambda self, memo: self)


def part_that_copies_to_itself():
    network = net()
    network.last.__class__ = type("Shared", (nn.Conv2d,), {"__deepcopy__": lambda self, memo: self})
    return network


def copies_over_the_same_storage():
    def over(self, memo):
        made = copy.copy(self)
        made._parameters = {
            key: nn.Parameter(value.detach()) for key, value in self._parameters.items()
        }
        return made

    network = net()
    network.last.__class__ = type("Shared", (nn.Conv2d,), {"__deepcopy__": over})
    return network


class Singleton:
    """One for the whole process."""

    def __deepcopy__(self, memo):
        return self


def singleton_that_refers_to_it():
    network = net(lambda self, x: self.helper.run(self.norm(self.conv(x)).tanh()))
    network.helper = Singleton()
    network.helper.run = lambda x: 2 * network.last(x)
    return network


REFUSED = {
    "a hook that knows it by a global": (hook_that_knows_it_by_a_global, "writes to"),
    "a part in a registry": (part_in_a_registry, "calls 'last' of the original"),
    "a view in a registry": (view_in_a_registry, "uses ema of the original"),
    "a class that counts on one instance": (class_that_counts_on_one_instance, "writes to"),
    "it copies to itself": (copies_to_itself, "shares its part"),
    "a part that copies to itself": (part_that_copies_to_itself, "shares its part 'last'"),
    "copies over the same storage": (copies_over_the_same_storage, "shares last.weight"),
    "a singleton that refers to it": (singleton_that_refers_to_it, "calls 'last' of the original"),
}


def marked(network):
    """What a network was: in training mode, partly frozen, with gradients."""
    network.train()
    network.conv.weight.requires_grad_(False)
    network.norm.weight.grad = torch.ones(WIDTH)
    return network


def state_of(network):
    """Everything that must not change: values, and which object is where."""
    found = {}
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        grad = None if tensor.grad is None else tensor.grad.tolist()
        found[name] = (id(tensor), tensor.tolist(), tensor.requires_grad, tensor._version, grad)
    for name, part in network.named_modules():
        held = {key: v for key, v in vars(part).items() if key not in ("_buffers", "_parameters")}
        found[name, "attributes"] = {
            key: value if isinstance(value, (int, float, str)) else id(value)
            for key, value in held.items()
        }
        found[name, "contents"] = {
            key: [*map(id, value.values())] if isinstance(value, dict) else [*map(id, value)]
            for key, value in held.items()
            if isinstance(value, (dict, list, tuple, collections.deque))
        }
        helper = getattr(part, "helper", None)
        found[name, "helper"] = (
            None if helper is None else {k: id(v) for k, v in vars(helper).items()}
        )
    return found


def other():
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, WIDTH, 3, 2), nn.Tanh(), nn.Conv2d(WIDTH, 2, 3))


def value_of(network, **options):
    encoders = [
        pyattrx.Encoder(network, name="one", **options),
        pyattrx.Encoder(other(), name="other"),
    ]
    probes = pyattrx.Probes.from_tensor(IMAGES)
    return pyattrx.affinity(encoders, probes, "grad_x_input").values[0, 1]


def maps_of(network):
    """Maps of the network as it is, one image at a time, in float64."""
    network = network.double().eval()
    rows = []
    for image in IMAGES.double():
        x = image[None].requires_grad_()
        (g,) = torch.autograd.grad(network(x).flatten(1).mean(1).sum(), x)
        rows.append((g * x).mean(1).flatten().detach())
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("name", RIGHT)
def test_the_copy_is_right_and_the_original_untouched(name):
    network = marked(RIGHT[name]())
    before = state_of(network)
    value = value_of(network)
    assert state_of(network) == before
    # A network of its own: views and arrays do not follow to float64.
    a, b = maps_of(RIGHT[name]()), maps_of(other())
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert value == pytest.approx(cosines.mean(), abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_made_private_is_refused_and_untouched(name):
    make, message = REFUSED[name]
    network = marked(make())
    before = state_of(network)
    with pytest.raises(AssumptionError, match=f"network 'one': the copy {message}") as caught:
        value_of(network)
    assert caught.value.assumption == "private copy"
    assert state_of(network) == before


def calls_it(network):
    return lambda x: x - network.norm(network.conv(x)).mean()


def counts_on_it(network):
    def transform(x):
        network.calls += 1
        network.eval()
        return 2 * x

    return transform


@pytest.mark.parametrize(
    ("make", "message"),
    [(calls_it, "writes to norm.running_mean"), (counts_on_it, "writes to attributes")],
)
def test_a_transform_leaves_the_network_alone(make, message):
    network = marked(net())
    before, values = state_of(network), copy.deepcopy(network.state_dict())
    with pytest.raises(AssumptionError, match=f"network 'one': its transform {message}"):
        value_of(network, transform=make(network))
    for name, held in state_of(network).items():
        assert name in values or held == before[name]
    # Statistics that were written are put back.
    assert all(torch.equal(value, values[key]) for key, value in network.state_dict().items())


class Mean(nn.Module):
    def forward(self, x):
        return x - self.mean


def test_a_transform_may_be_a_part_of_the_network():
    network = marked(net())
    expected = value_of(network, transform=lambda x: x - 0.25)
    network.start = Mean()
    network.start.register_buffer("mean", torch.tensor(0.25))
    before = state_of(network)
    assert value_of(network, transform=network.start.forward) == expected
    assert value_of(network, transform=lambda x: x - network.start.mean) == expected
    assert state_of(network) == before


def test_a_function_for_the_output_leaves_the_network_alone():
    network = marked(net())

    def output(module, x):
        network.calls += 1
        return module(x)

    before = state_of(network)
    with pytest.raises(AssumptionError, match="the copy writes to attributes of the original"):
        value_of(network, output=output)
    assert state_of(network) == before
