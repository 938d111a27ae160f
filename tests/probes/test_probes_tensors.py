"""Probes from tensors and batches: what is taken, what is refused, and the hash of it."""

import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError
from pyattrx.probes import Probes

EVERY_BYTE = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8).expand(4, 3, 8, 8)

shapes = st.tuples(st.integers(1, 5), st.just(3), st.integers(1, 6), st.integers(1, 6))
bytes_images = shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape))
float_images = shapes.flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)


@given(float_images)
def test_floats_are_kept_exactly(array):
    images = torch.from_numpy(array)
    probes = Probes.from_tensor(images)
    assert probes.shape == tuple(images.shape)
    assert probes.size == tuple(images.shape[2:])
    assert len(probes) == len(images)
    assert torch.equal(probes.images(), images)


@given(bytes_images)
def test_bytes_are_divided_by_255(array):
    images = torch.from_numpy(array)
    assert torch.equal(Probes.from_tensor(images).images(), images.float() / 255)


@given(bytes_images)
def test_the_hash_depends_on_content_not_on_storage(array):
    images = torch.from_numpy(array)
    assert Probes.from_tensor(images).hash == Probes.from_tensor(images.float() / 255).hash


def test_all_bytes_are_divided_alike_and_rounded_correctly():
    found = Probes.from_tensor(EVERY_BYTE).images()
    exact = np.arange(256) / 255  # float64, rounded once more to float32
    assert np.array_equal(found[:, 0].flatten().numpy(), exact.astype(np.float32))
    assert torch.equal(found, EVERY_BYTE / 255)


def test_the_hash_is_that_of_a_published_rule():
    images = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    digests = b"".join(hashlib.sha256(x.numpy().astype("<f4").tobytes()).digest() for x in images)
    text = b"pyattrx probes 1\0" + struct.pack("<4q", 3, 3, 4, 5) + digests
    expected = hashlib.sha256(text + struct.pack("<3q", 0, 1, 0)).hexdigest()
    assert Probes.from_tensor(images, groups=["a", "b", "a"]).hash == expected


def test_the_hash_tells_contents_apart(images):
    base = Probes.from_tensor(images).hash
    changed = images.clone()
    changed[3, 1, 5, 5] += torch.finfo(torch.float32).eps
    others = [
        changed,
        images.flip(0),
        images.flip(3),
        images[:5],
        images.reshape(6, 3, 12, 48),
    ]
    hashes = {base, *(Probes.from_tensor(other).hash for other in others)}
    hashes.add(Probes.from_tensor(images, groups=[0, 0, 1, 2, 3, 4]).hash)
    assert len(hashes) == 7


def test_names_and_numbers_of_groups_are_not_in_the_hash(images):
    named = Probes.from_tensor(images, names=list("abcdef"), groups=[7, 7, 1, 1, 5, 5])
    assert named.hash == Probes.from_tensor(images, groups=list("aabbcc")).hash


def test_zero_has_one_hash():
    zeros = torch.zeros(1, 3, 2, 2)
    assert Probes.from_tensor(-zeros).hash == Probes.from_tensor(zeros).hash


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_become_float32(images, dtype):
    given_images = images.to(dtype)
    found = Probes.from_tensor(given_images).images()
    assert found.dtype == torch.float32
    assert torch.equal(found, given_images.float())


def test_any_memory_layout(images):
    expected = Probes.from_tensor(images).hash
    padded = torch.zeros(12, 3, 24, 30)
    padded[::2, :, :, 3:27] = images
    for same in (
        images.to(memory_format=torch.channels_last),
        images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        padded[::2, :, :, 3:27],
        images.clone().requires_grad_(),
    ):
        assert Probes.from_tensor(same).hash == expected
    with torch.inference_mode():
        assert Probes.from_tensor(images * 1).hash == expected


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_later_changes_have_no_effect(dtype):
    images = EVERY_BYTE.contiguous() if dtype == torch.uint8 else EVERY_BYTE / 255
    groups = np.array([0, 0, 1, 1])
    probes = Probes.from_tensor(images, groups=groups)
    before = probes.images()
    images.zero_()
    groups[:] = 0
    probes.images().zero_()
    probes[0].zero_()
    assert torch.equal(probes.images(), before)
    assert probes.groups.tolist() == [0, 0, 1, 1]


@given(st.lists(st.one_of(st.integers(-3, 3), st.sampled_from("abc")), min_size=1, max_size=12))
def test_groups_are_numbered_in_order_of_appearance(groups):
    images = torch.arange(3 * len(groups), dtype=torch.uint8).reshape(-1, 3, 1, 1)
    probes = Probes.from_tensor(images, groups=groups)
    seen = list(dict.fromkeys(groups))
    assert probes.groups.dtype == np.int64
    assert probes.groups.tolist() == [seen.index(group) for group in groups]
    assert probes.n_groups == len(seen)
    for n in range(1, len(groups) + 1):
        assert probes.head(n).groups.tolist() == probes.groups[:n].tolist()


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_kinds_of_groups(images, kind):
    probes = Probes.from_tensor(images, kind([5, 5, 3, 3, 5, 9]))
    assert probes.groups.tolist() == [0, 0, 1, 1, 0, 2]
    assert Probes.from_tensor(images).groups.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1.01, -0.01, 255.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_out_of_range_are_named(value, dtype):
    images = torch.zeros(40, 3, 4, 5, dtype=dtype)
    images[37, 2, 1, 3] = value
    with pytest.raises(
        InvalidValueError, match=r"images\[37, 2, 1, 3\]=.*finite values in \[0, 1\]"
    ):
        Probes.from_tensor(images)
    with pytest.raises(InvalidValueError, match=r"batch 2\[37, 2, 1, 3\]="):
        Probes.from_batches([torch.zeros_like(images), torch.zeros_like(images), images])


def test_rounding_beyond_the_range_is_clipped():
    images = torch.tensor([-1e-4, 0.5, 1 + 1e-4]).reshape(1, 3, 1, 1)
    assert Probes.from_tensor(images).images().flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (np.zeros((1, 3, 4, 4), np.float32), InvalidTypeError, "torch.from_numpy"),
        ([[1, 2]], InvalidTypeError, r"images=\[\[1, 2\]\]"),
        (torch.zeros(3, 4, 4), InvalidValueError, r"images\.shape=\(3, 4, 4\).*images\[None\]"),
        (torch.zeros(4, 4), InvalidValueError, r"images\.shape=\(4, 4\)"),
        (torch.zeros(2, 4, 4, 3), InvalidValueError, "permute"),
        (torch.zeros(2, 1, 4, 4), InvalidValueError, "expand"),
        (torch.zeros(2, 4, 4, 4), InvalidValueError, r"\(2, 4, 4, 4\)"),
        (torch.zeros(0, 3, 4, 4), InvalidValueError, "at least one image"),
        (torch.zeros(2, 3, 0, 4), InvalidValueError, r"\(2, 3, 0, 4\)"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), InvalidTypeError, r"dtype=torch\.int64"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.bool), InvalidTypeError, r"dtype=torch\.bool"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.complex64), InvalidTypeError, "complex64"),
        (torch.zeros(2, 3, 4, 4).to_sparse(), InvalidTypeError, "dense"),
        (torch.zeros(2, 3, 4, 4, device="meta"), InvalidTypeError, "with data"),
    ],
)
def test_wrong_tensors(wrong, kind, message):
    with pytest.raises(kind, match=message):
        Probes.from_tensor(wrong)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"groups": [0, 1]}, InvalidValueError, "groups=.*6 groups.*got 2"),
        ({"groups": [0] * 7}, InvalidValueError, "groups=.*got 7"),
        ({"groups": "abcdef"}, InvalidTypeError, "groups='abcdef'"),
        ({"groups": 3}, InvalidTypeError, "groups=3"),
        ({"groups": [0, 1, 2, 3, 4, 0.5]}, InvalidTypeError, r"groups\[5\]=0\.5"),
        ({"groups": np.zeros((6, 1))}, InvalidValueError, r"groups\.shape=\(6, 1\)"),
        ({"groups": torch.zeros(6)}, InvalidTypeError, r"groups\[0\]=0\.0"),
        ({"names": "abcdef"}, InvalidTypeError, "names='abcdef'"),
        ({"names": ["a"]}, InvalidValueError, "names=.*got 1"),
        ({"names": ["a", 1, "c", "d", "e", "f"]}, InvalidTypeError, r"names\[1\]=1"),
        ({"scratch": "/no/such/folder"}, InvalidValueError, "scratch='/no/such/folder'"),
    ],
)
def test_wrong_arguments(images, change, kind, message):
    with pytest.raises(kind, match=message):
        Probes.from_tensor(images, **change)


def test_the_class_is_not_called_with_images(images):
    with pytest.raises(InvalidTypeError, match=r"Probes\.from_folder"):
        Probes(images)


def test_names(images):
    assert Probes.from_tensor(images).names == tuple(f"image{i}" for i in range(6))
    assert Probes.from_tensor(images, names=list("abcdef")).names == tuple("abcdef")


# Batches


@given(float_images, st.integers(1, 6), st.integers(1, 6))
def test_however_images_are_batched(array, size, limit):
    images = torch.from_numpy(array)
    whole = Probes.from_batches(images.split(size))
    assert whole.hash == Probes.from_tensor(images).hash
    part = Probes.from_batches(iter(images.split(size)), limit=limit)
    assert part.hash == Probes.from_tensor(images[:limit]).hash


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, torch.zeros(len(x))),
        lambda x: ["id", x],
        lambda x: {"label": torch.zeros(len(x)), "pixel_values": x},
        lambda x: {"image": x, "images": "paths"},
        lambda x: {"id": 3, "view": x},
    ],
)
def test_kinds_of_batches(images, wrap):
    probes = Probes.from_batches(wrap(batch) for batch in images.split(4))
    assert probes.hash == Probes.from_tensor(images).hash


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_data_loader(dtype):
    images = EVERY_BYTE if dtype == torch.uint8 else EVERY_BYTE / 255
    loader = DataLoader(TensorDataset(images, torch.arange(4)), batch_size=3)
    assert Probes.from_batches(loader).hash == Probes.from_tensor(EVERY_BYTE).hash


def test_a_loader_of_unknown_length(images):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(images)

        def __len__(self):
            raise NotImplementedError

    probes = Probes.from_batches(DataLoader(Stream(), batch_size=4))
    assert probes.hash == Probes.from_tensor(images).hash


def test_no_more_is_asked_for_than_the_limit(images):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield images

    probes = Probes.from_batches(
        endless(), limit=12, groups=range(100), names=[str(i) for i in range(50)]
    )
    assert len(probes) == 12
    assert len(asked) == 2
    assert probes.names[-1] == "11"


def test_empty_batches_are_passed_over(images):
    batches = [images[:0], images[:3], images[:0], images[3:]]
    assert Probes.from_batches(batches).hash == Probes.from_tensor(images).hash


def test_groups_of_batches_must_fit_where_nothing_is_left_out(images):
    with pytest.raises(InvalidValueError, match="groups=.*got 7"):
        Probes.from_batches([images], groups=[0] * 7)
    with pytest.raises(InvalidValueError, match="names=.*got 7"):
        Probes.from_batches([images], names=list("abcdefg"))


@pytest.mark.parametrize(
    ("batches", "kind", "message"),
    [
        (torch.zeros(2, 3, 4, 4), InvalidTypeError, "from_tensor takes a tensor"),
        ({"image": torch.zeros(2, 3, 4, 4)}, InvalidTypeError, "(?s)iterable=.*a DataLoader"),
        ("photos", InvalidTypeError, "iterable='photos'"),
        (3, InvalidTypeError, "iterable=3"),
        ([], ProbeError, "no images"),
        ([torch.zeros(0, 3, 4, 4)], ProbeError, "no images"),
        ([["a", 3]], InvalidTypeError, r"batch 0=\['a', 3\]"),
        ([torch.zeros(3, 4, 4)], InvalidValueError, r"batch 0\.shape=\(3, 4, 4\)"),
        (
            [torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5)],
            InvalidValueError,
            r"batch 1\.shape=.*\(3",
        ),
        (
            [torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)],
            InvalidTypeError,
            r"batch 1\.dtype=torch\.uint8.*floating images, as before",
        ),
    ],
)
def test_wrong_batches(batches, kind, message):
    with pytest.raises(kind, match=message):
        Probes.from_batches(batches)


def test_errors_of_the_iterable_come_through(images):
    def broken():
        yield images
        raise RuntimeError("the drive is gone")

    with pytest.raises(RuntimeError, match="the drive is gone"):
        Probes.from_batches(broken())


@pytest.mark.gpu
def test_tensors_of_a_gpu(images):
    probes = Probes.from_tensor(images.cuda(), groups=torch.arange(6).cuda())
    assert probes.images().device.type == "cpu"
    assert probes.hash == Probes.from_tensor(images).hash
