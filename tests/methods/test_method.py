"""Methods: checked, hashable, written down and read back; and the options of the map stage."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pyattrx
from networks import build
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import AttributionMaps, Method, choose_pixels, quantize
from pyattrx.methods import get as get_method
from pyattrx.running import map_cosines

EXPECTED_CHOICE = [9539, 10062, 25727, 30320, 34952]  # written down: zoos depend on it


def module_level_scalar(output):
    return output.flatten(1).amax(1)


METHODS = [
    pyattrx.Method(),
    pyattrx.Method("elrp", scalar="half_squared_norm", reduce="abs_mean"),
    pyattrx.Method(pyattrx.ELRP(eps=1e-3), grid=(7, 9), center=True),
    pyattrx.Method(pixels=10, pixel_seed=3, reduce="none"),
    pyattrx.Method(scalar=module_level_scalar),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_round_trip_through_json(method):
    again = pyattrx.Method.from_dict(json.loads(json.dumps(method.to_dict())))
    assert again == method
    assert hash(again) == hash(method)


def test_methods_differ_where_a_field_does():
    assert len({*METHODS, pyattrx.Method("elrp")}) == len(METHODS) + 1


def test_a_local_function_cannot_be_written_down():
    method = pyattrx.Method(scalar=lambda z: z.flatten(1).sum(1))
    with pytest.raises(InvalidValueError, match="scalar.*importable"):
        method.to_dict()


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"attribution": "gradcam"}, InvalidValueError, "attribution='gradcam'"),
        ({"scalar": "max"}, InvalidValueError, "scalar='max'"),
        ({"reduce": "max"}, InvalidValueError, "reduce='max'"),
        ({"grid": (0, 3)}, InvalidValueError, "grid"),
        ({"grid": (3,)}, InvalidTypeError, "grid"),
        ({"grid": 3.5}, InvalidTypeError, "grid=3.5"),
        ({"center": 1}, InvalidTypeError, "center=1"),
        ({"pixels": 0}, InvalidValueError, "pixels=0"),
        ({"pixels": True}, InvalidTypeError, "pixels=True"),
        ({"pixel_seed": -1}, InvalidValueError, "pixel_seed=-1"),
    ],
)
def test_wrong_fields(fields, kind, message):
    with pytest.raises(kind, match=message):
        pyattrx.Method(**fields)


def test_from_dict_refuses_what_it_does_not_know():
    with pytest.raises(InvalidValueError, match="colour"):
        pyattrx.Method.from_dict({"attribution": "elrp", "colour": "red"})
    with pytest.raises(InvalidValueError, match="no_such_module"):
        pyattrx.Method.from_dict({"scalar": "no_such_module:f"})


def test_resolve_method():
    assert get_method("saliency") == pyattrx.Method("saliency")
    with pytest.raises(InvalidValueError, match="method='best'"):
        get_method("best")


def maps_of(method, images, **options):
    descriptor = pyattrx.AttributionMaps(method, tuple(images.shape[-2:]))
    encoder = pyattrx.Encoder(build("plain").double(), name="plain", **options)
    with encoder.prepare(torch.device("cpu"), images[:1]) as prepared:
        return descriptor.rows(prepared, images)


def plain_attribution(images):
    x = images.double().requires_grad_()
    build("plain").double()(x).mean(1).sum().backward()
    return (x.grad * x).detach()


def test_channel_reductions(images):
    expected = plain_attribution(images)
    assert torch.allclose(maps_of(pyattrx.Method(), images), expected.mean(1).flatten(1))
    kept = maps_of(pyattrx.Method(reduce="none"), images)
    assert torch.allclose(kept, expected.flatten(1))
    magnitude = maps_of(pyattrx.Method(reduce="abs_mean"), images)
    assert torch.allclose(magnitude, expected.abs().mean(1).flatten(1))


def test_resampling_is_by_area(images):
    expected = plain_attribution(images).mean(1)
    halved = maps_of(pyattrx.Method(grid=(12, 12)), images)
    blocks = expected.view(6, 12, 2, 12, 2).mean((2, 4))
    assert torch.allclose(halved, blocks.flatten(1))
    odd = maps_of(pyattrx.Method(grid=(7, 9)), images)
    area = F.interpolate(expected[:, None], size=(7, 9), mode="area")
    assert torch.allclose(odd, area.flatten(1))


def test_resampling_keeps_channels_apart(images):
    kept = maps_of(pyattrx.Method(reduce="none", grid=(12, 12)), images)
    blocks = plain_attribution(images).view(6, 3, 12, 2, 12, 2).mean((3, 5))
    assert torch.allclose(kept, blocks.flatten(1))


def test_the_grid_is_the_probes_whatever_the_network_sees(images):
    assert maps_of(pyattrx.Method(), images, input_size=32).shape == (6, 24 * 24)


def test_centring(images):
    centred = maps_of(pyattrx.Method(center=True), images)
    plain = maps_of(pyattrx.Method(), images)
    assert torch.allclose(centred, plain - plain.mean(1, keepdim=True))


def test_pixels_are_a_fixed_choice(images):
    few = maps_of(pyattrx.Method(pixels=50, pixel_seed=4), images)
    chosen = choose_pixels(24 * 24, 50, 4)
    assert torch.equal(few, maps_of(pyattrx.Method(), images)[:, torch.from_numpy(chosen)])


def test_chosen_pixels_go_to_a_device_once():
    descriptor = AttributionMaps(pyattrx.Method(pixels=50, center=True), (24, 24))
    there = torch.device("meta")
    found = descriptor._pixels_on(there, 24 * 24)
    assert found.device == there
    assert descriptor._pixels_on(there, 24 * 24) is found
    assert len(descriptor._pixels_on(torch.device("cpu"), 24 * 24)) == 50
    assert int(descriptor._pixels_on(torch.device("cpu"), 60).max()) < 60


def test_choose_pixels_never_changes():
    assert choose_pixels(50176, 5, 0).tolist() == EXPECTED_CHOICE
    assert len(np.unique(choose_pixels(1000, 1000, 9))) == 1000
    assert not np.array_equal(choose_pixels(1000, 10, 0), choose_pixels(1000, 10, 1))


def test_choose_pixels_is_even():
    """Each of ten stretches gets its share of 5000 choices, within five standard deviations."""
    counts = np.histogram(choose_pixels(50_000, 5_000, 1), bins=10, range=(0, 50_000))[0]
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500 * 0.9)


def test_more_pixels_than_there_are(images):
    with pytest.raises(InvalidValueError, match="pixels=1000.*576"):
        maps_of(pyattrx.Method(pixels=1000), images)


def test_a_centred_constant_map_is_zero():
    """What rounding leaves of it would have cosine +-1 with any other."""
    images = torch.rand(3, 3, 64, 64)
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(pyattrx.Encoder(torch.nn.Conv2d(3, 5, 1), name=f"linear{seed}"))
    method = pyattrx.Method("saliency", center=True)
    result = pyattrx.affinity(networks, pyattrx.Probes.from_tensor(images), method)
    assert result.zero_maps == {"linear0": 3, "linear1": 3, "linear2": 3}
    assert not result.values.any()


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "int8"])
@pytest.mark.parametrize("scale", [1e-42, 1e-20, 1.0, 1e30])
def test_stored_rows_keep_their_direction_at_any_scale(storage, scale):
    maps = torch.randn(5, 97, generator=torch.Generator().manual_seed(0)).double()
    maps[3] = 0
    scaled = maps * scale
    stored = quantize(scaled.float() if scale > 1e-30 else scaled, storage)
    assert stored.dtype == getattr(torch, storage)
    cosines = map_cosines(stored, maps)
    limit = {"float16": 1e-6, "bfloat16": 2e-5, "int8": 1e-4}[storage]
    assert cosines.sub(1).abs().max() < limit
    assert (stored[3] == 0).all()


def test_affinity_with_stored_rows_is_that_of_the_rounded_maps():
    probes = pyattrx.Probes.from_tensor(torch.rand(5, 3, 12, 12))
    nets = [pyattrx.Encoder(nn.Conv2d(3, 4, 3), name=f"n{i}") for i in range(3)]
    method = Method("saliency", pixels=33, storage="int8")
    exact = pyattrx.affinity(nets, probes, Method("saliency", pixels=33))
    rounded = pyattrx.affinity(nets, probes, method)
    assert 0 < abs(exact.values - rounded.values).max() < 1e-2
    assert rounded.provenance["method"]["storage"] == "int8"


def test_unknown_storage_is_refused():
    with pytest.raises(InvalidValueError, match="storage='int4'.*'float16'"):
        Method(storage="int4")
