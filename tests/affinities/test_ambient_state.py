"""What a caller has set for the whole of PyTorch changes nothing, and is left as it was."""

import contextlib

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

import pyattrx
from plainly import images, other


class Users(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


AROUND = {
    "default device": default_device,
    "device context": lambda: torch.device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "a mode of the user's": Users,
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
}


def state():
    return (
        *(torch.get_default_device(), torch.get_default_dtype(), torch.is_grad_enabled()),
        *(torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
        *(torch.get_autocast_dtype("cpu"), torch.are_deterministic_algorithms_enabled()),
        *(torch.is_anomaly_enabled(), torch.get_num_threads(), len_of_stack()),
    )


def len_of_stack():
    return torch._C._len_torch_function_stack()


def affinity_by(method):
    """Everything is made before the state is set; only the call is in it."""

    def prepare(_):
        encoders = [
            pyattrx.Encoder(torch.nn.Sequential(other(), torch.nn.Tanh()), name="one"),
            pyattrx.Encoder(other(), name="other"),
        ]
        x = images()
        return lambda: pyattrx.affinity(encoders, pyattrx.Probes.from_tensor(x), method).values

    return prepare


def in_a_zoo(folder):
    flat = torch.nn.Sequential(other(), torch.nn.Flatten())
    networks, asked, x = {"other": other(), "flat": flat}, other(), images()

    def run():
        with pyattrx.Zoo.create(folder, pyattrx.Probes.from_tensor(x), "saliency") as zoo:
            for name, network in networks.items():
                zoo.add(pyattrx.Encoder(network, name=name))
            return [match.affinity for match in zoo.query(pyattrx.Encoder(asked, name="asked"))]

    return run


def fitted(_):
    x = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def run():
        numbers = [float(i) for i in range(24)]
        return pyattrx.fit_target(x, numbers, steps=2, input_size=16)

    return lambda: [p.detach().numpy().sum(dtype=float) for p in run().module.parameters()]


JOBS = {
    "maps": affinity_by("grad_x_input"),
    "elrp": affinity_by("elrp"),
    "features": affinity_by("ridge"),
    "zoo": in_a_zoo,
    "fit": fitted,
}


@pytest.mark.filterwarnings("ignore::pyattrx.errors.FitWarning", "ignore:Anomaly")
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("job", JOBS)
def test_nothing_changes(job, around, tmp_path):
    right = JOBS[job](tmp_path / "right")()
    run = JOBS[job](tmp_path / "got")
    with AROUND[around]():
        before = state()
        got = run()
        after = state()
    assert np.array_equal(got, right)
    assert after == before


@pytest.mark.filterwarnings("ignore:Anomaly")
@pytest.mark.parametrize("around", AROUND)
def test_an_error_leaves_all_as_it_was(around):
    broken = pyattrx.Encoder(torch.nn.Sequential(other(), torch.nn.Conv2d(5, 5, 1)), name="one")
    x = images()
    with AROUND[around]():
        before = state()
        with pytest.raises(pyattrx.PyattrxError, match="'one' failed"):
            pyattrx.affinity([broken], pyattrx.Probes.from_tensor(x), method="grad_x_input")
        assert state() == before
