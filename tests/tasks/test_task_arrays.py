"""Images and labels in memory: every layout and kind, and every refusal."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tasks.photos import photo

from pyattrx import Probes, Task
from pyattrx.errors import InvalidTypeError, InvalidValueError, TaskWarning

RNG = np.random.default_rng(0)
UINT8 = RNG.integers(0, 256, (5, 3, 7, 6), np.uint8)
PIXELS = torch.from_numpy(UINT8) / 255
LABELS = [*"abcab"]


RGBA = np.concatenate([UINT8, np.full((5, 1, 7, 6), 255, np.uint8)], 1).transpose(0, 2, 3, 1)

pytestmark = pytest.mark.filterwarnings("ignore:.* with one image:pyattrx.errors.TaskWarning")


@pytest.mark.parametrize(
    "images",
    [
        UINT8,
        UINT8.transpose(0, 2, 3, 1),
        np.asfortranarray(UINT8),
        UINT8[::-1][::-1],
        torch.from_numpy(UINT8),
        torch.from_numpy(UINT8).permute(0, 2, 3, 1),
        PIXELS,
        PIXELS.double().numpy(),
        PIXELS.permute(0, 2, 3, 1).numpy(),
        [Image.fromarray(image) for image in UINT8.transpose(0, 2, 3, 1)],
        list(UINT8.transpose(0, 2, 3, 1)),
        list(torch.from_numpy(UINT8)),
        Probes.from_tensor(PIXELS),
        list(
            np.concatenate([UINT8, np.full((5, 1, 7, 6), 255, np.uint8)], 1).transpose(0, 2, 3, 1)
        ),
    ],
    ids=range(14),
)
def test_the_same_images_are_the_same_task(images):
    size = (7, 6) if isinstance(images, list) and not isinstance(images[0], torch.Tensor) else None
    task = Task.from_arrays(images, LABELS, size=size)
    assert torch.equal(task.probes.images(), PIXELS)
    assert task.hash == Task.from_arrays(UINT8, LABELS).hash


@pytest.mark.parametrize(
    "grey",
    [UINT8[:, 0], UINT8[:, :1], UINT8[:, :1].transpose(0, 2, 3, 1), PIXELS[:, 0], PIXELS[:, :1]],
    ids=range(5),
)
def test_grey_images_are_made_rgb(grey):
    probes = Task.from_arrays(grey).probes
    assert torch.equal(probes.images(), PIXELS[:, :1].expand(-1, 3, -1, -1))


def test_transparent_parts_are_white():
    images = np.zeros((2, 5, 6, 4), np.uint8)
    images[1, ..., 3] = 255
    probes = Task.from_arrays(list(images)).probes
    assert probes.images()[0].min() == 1
    assert probes.images()[1].max() == 0


def test_photos_of_any_size_are_cut_as_probes_cut_them():
    photos = [photo(0, (30, 20)), photo(1, (12, 40)).convert("L"), photo(2).convert("CMYK")]
    task = Task.from_arrays(photos)
    assert task.probes.hash == Probes.from_images(photos).hash
    assert (task.report.smallest, task.report.largest) == ((10, 12), (20, 30))
    assert Task.from_arrays(photos, size=(8, 9)).probes.size == (8, 9)
    arrays = np.stack([np.asarray(photo(seed)) for seed in range(3)])
    resized = Task.from_arrays(arrays, size=8)
    assert resized.probes.hash == Probes.from_images(list(arrays), size=8).hash
    assert resized.report.smallest == (10, 12)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ("photos", "images='photos' .*a list of photos"),
        (3, "images=3 .*a list of photos"),
        (photo(0), "images=.*a list of photos"),
        ([], r"images=\[\]: expected at least one image"),
        (["a.png"], r"images\[0\]='a.png'.*Task.from_manifest reads a list of paths"),
        ([None], r"images\[0\]=None"),
        (np.zeros((0, 3, 4, 4), np.uint8), r"images.shape=\(0, 3, 4, 4\): expected at least one"),
        (np.zeros((2, 5, 6, 6), np.uint8), r"images.shape=\(2, 5, 6, 6\): expected \[N, 3, H, W\]"),
        (np.zeros((2, 3, 4, 3), np.uint8), r"images.shape=\(2, 3, 4, 3\).*in two ways"),
        (np.zeros((2, 1, 4, 1), np.uint8), r"images.shape=\(2, 1, 4, 1\).*in two ways"),
        (np.zeros((3, 8, 8), np.uint8), r"images.shape=\(3, 8, 8\).*images\[None\]"),
        (np.zeros((8, 8, 3), np.uint8), r"images.shape=\(8, 8, 3\).*images\[None\]"),
        (np.zeros((8, 8), np.uint8), r"images.shape=\(8, 8\)"),
        (np.zeros((2, 3, 0, 4), np.uint8), r"images.shape=\(2, 3, 0, 4\)"),
        (np.zeros((2, 3, 4, 4), np.int64), "images.dtype=torch.int64"),
        (np.zeros((2, 3, 4, 4), bool), "images.dtype=dtype.'bool'.*uint8, or floating"),
        (np.zeros((2, 3, 4, 4), complex), "images.dtype=.*uint8, or floating"),
        (np.zeros((2, 4, 5, 5)), r"images.shape=.2, 4, 5, 5.*leaves out a fourth channel"),
        (PIXELS * 255, r"images\[.*images / 255"),
        (PIXELS * 4 - 2, r"images\[.*normalised images.*mean=, std="),
        (torch.full((1, 3, 4, 4), float("nan")), r"images\[0, 0, 0, 0\]=nan"),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 4, 5)], "images='tensors of shapes.*one shape"),
        ([np.zeros((4, 4, 3))], r"images\[0\].dtype=dtype.'float64'"),
    ],
    ids=range(23),
)
def test_other_images_are_refused(images, expected):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        Task.from_arrays(images)


def test_as_many_grey_images_as_colours_are_told_by_the_labels():
    assert len(Task.from_arrays(UINT8[:3, 0], [*"aba"])) == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 9}, r"size=\(9, 9\): expected None, or \(7, 6\) as they are"),
        ({"names": ["a"]}, r"names=\['a'\]: expected 5 names"),
        ({"groups": [0]}, r"groups=\[0\]: expected 5 groups"),
        ({"name": None}, "name=None"),
        ({"kind": "detection"}, "kind='detection': expected one of classification, multilabel"),
        ({"kind": "regression"}, "labels=None: expected labels, for kind='regression'"),
        ({"labels": LABELS, "kind": "unlabelled"}, "kind='unlabelled'.*as there are labels"),
        ({"labels": LABELS, "classes": "abc"}, "classes='abc'"),
        ({"labels": LABELS, "classes": ["a", 1]}, r"classes\[1\]=1"),
        ({"labels": LABELS, "classes": ["a", "a"]}, r"classes\[1\]='a': expected another name"),
    ],
)
def test_wrong_arguments(options, expected):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        Task.from_arrays(PIXELS, **options)


def test_probes_keep_what_they_are():
    probes = Probes.from_tensor(PIXELS, groups=[0, 0, 1, 1, 2])
    assert Task.from_arrays(probes, LABELS).probes is probes
    for options in ({"size": 8}, {"names": [*"abcde"]}, {"groups": range(5)}):
        with pytest.raises(
            InvalidValueError, match=f"^{next(iter(options))}=.*the images are Probes"
        ):
            Task.from_arrays(probes, **options)


CLASSES = [
    ([*"babca"], ("a", "b", "c"), [1, 0, 1, 2, 0]),
    (np.array([*"babca"]), ("a", "b", "c"), [1, 0, 1, 2, 0]),
    (np.array([*"babca"], object), ("a", "b", "c"), [1, 0, 1, 2, 0]),
    ([10, 9, 10, 2, 9], ("2", "9", "10"), [2, 1, 2, 0, 1]),
    (torch.tensor([10, 9, 10, 2, 9]), ("2", "9", "10"), [2, 1, 2, 0, 1]),
    (np.array([1, 0, 1, 0, 0], np.uint8), ("0", "1"), [1, 0, 1, 0, 0]),
    ([-1, 1, 1, -1, 1], ("-1", "1"), [0, 1, 1, 0, 1]),
    ([True, False, True, False, False], ("False", "True"), [1, 0, 1, 0, 0]),
    ([torch.tensor(4), 5, np.int32(4), None, 5], ("4", "5"), [0, 1, 0, -1, 1]),
    ([None, "y", None, "x", "x"], ("x", "y"), [-1, 1, -1, 0, 0]),
    (np.ma.array([7, 8, 9, 8, 7], mask=[0, 0, 1, 0, 0]), ("7", "8"), [0, 1, -1, 1, 0]),
]


@pytest.mark.parametrize(("labels", "classes", "expected"), CLASSES, ids=range(len(CLASSES)))
def test_classes(labels, classes, expected):
    task = Task.from_arrays(PIXELS, labels)
    assert (task.kind, task.classes, task.targets) == ("classification", classes, None)
    assert (task.labels.tolist(), task.labels.dtype) == (expected, np.int64)
    assert task.labelled.tolist() == [value >= 0 for value in expected]
    assert sum(task.counts.values()) == task.n_labelled == 5 - expected.count(-1)


def test_names_of_classes_are_what_integers_point_to():
    task = Task.from_arrays(PIXELS, [2, 0, 2, None, 0], classes=["fox", "ant", "bee"])
    assert task.classes == ("bee", "fox")  # those that have an image
    assert [task.classes[k] for k in task.labels[task.labelled]] == ["bee", "fox", "bee", "fox"]
    same = Task.from_arrays(PIXELS, ["bee", "fox", "bee", None, "fox"])
    assert task.hash == same.hash
    other = Task.from_arrays(PIXELS, ["bee", "fax", "bee", None, "fax"])
    assert other.hash != same.hash
    with pytest.raises(InvalidValueError, match=r"^labels\[2\]=3: expected an index.* 0 to 2"):
        Task.from_arrays(PIXELS, [2, 0, 3, None, 0], classes=["fox", "ant", "bee"])
    with pytest.raises(InvalidValueError, match="^labels='cow': expected one of the classes fox"):
        Task.from_arrays(PIXELS, ["fox", "cow", "fox", None, "fox"], classes=["fox", "ant"])


@pytest.mark.parametrize(
    ("labels", "expected", "classes"),
    [
        (np.eye(5, 2) > 0, [[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]], ("0", "1")),
        (
            [["x"], ["y", "x"], [], None, {"y"}],
            [[1, 0], [1, 1], [0, 0], [0, 0], [0, 1]],
            ("x", "y"),
        ),
    ],
)
def test_several_classes_an_image(labels, expected, classes):
    task = Task.from_arrays(PIXELS, labels)
    assert (task.kind, task.classes) == ("multilabel", classes)
    assert task.labels.dtype == bool
    assert task.labels.astype(int).tolist() == expected
    assert task.counts == dict(zip(classes, np.sum(expected, 0).tolist(), strict=True))


def test_columns_of_several_classes_are_sorted_by_their_names():
    ones = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]])
    task = Task.from_arrays(PIXELS, ones, kind="multilabel", classes=["z", "a"])
    assert task.classes == ("a", "z")
    assert task.labels.astype(int).tolist() == ones[:, ::-1].tolist()
    with pytest.raises(InvalidValueError, match="^classes=.*2 names, one for every column"):
        Task.from_arrays(PIXELS, ones, kind="multilabel", classes=["z"])


@pytest.mark.parametrize("labels", [[0.5, 1, None, 2, 4], np.arange(10).reshape(5, 2) / 4])
def test_numbers(labels):
    task = Task.from_arrays(PIXELS, labels)
    assert (task.kind, task.classes, task.counts) == ("regression", None, {})
    columns = 1 if isinstance(labels, list) else 2
    assert task.targets == ("target",) if columns == 1 else ("target0", "target1")
    assert (task.labels.dtype, task.labels.shape) == (np.float32, (5, columns))
    if columns == 1:
        assert task.labelled.tolist() == [True, True, False, True, True]
        assert np.isnan(task.labels[2]).all()
        assert task.labels[task.labelled, 0].tolist() == [0.5, 1, 2, 4]
    named = Task.from_arrays(PIXELS, labels, targets=[*"xyz"[:columns]])
    assert named.targets == tuple("xyz"[:columns])
    assert named.hash != task.hash
    with pytest.raises(InvalidValueError, match="^targets=.*names, one for every number"):
        Task.from_arrays(PIXELS, labels, targets=[*"xyz"])


def test_maps():
    classes = np.arange(20).reshape(5, 2, 2) % 3 + 4
    task = Task.from_arrays(PIXELS, [*classes[:4], None])
    assert (task.kind, task.classes) == ("dense_classification", ("4", "5", "6"))
    assert task.labels[:4].tolist() == (classes[:4] - 4).tolist()
    assert (task.labels[4] == -1).all()
    assert task.labelled.tolist() == [True] * 4 + [False]
    masks = [Image.fromarray(one.astype(np.uint8)) for one in classes]
    assert Task.from_arrays(PIXELS, masks).hash == Task.from_arrays(PIXELS, classes).hash
    numbers = RNG.random((5, 2, 3, 3))
    task = Task.from_arrays(PIXELS, torch.from_numpy(numbers))
    assert (task.kind, task.labels.dtype) == ("dense_regression", np.float32)
    assert np.array_equal(task.labels, numbers.astype(np.float32))


@pytest.mark.parametrize(("mark", "warned"), [(255, True), (-1, True), (3, False)])
def test_a_value_that_often_marks_missing_labels_is_warned_of(mark, warned):
    maps = np.arange(20).reshape(5, 2, 2) % 3
    maps[0, 0, 0] = mark
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Task.from_arrays(PIXELS, maps)
    assert [f"value {mark} counts as a class" in str(w.message) for w in caught] == [True] * warned
    assert {w.filename for w in caught} <= {__file__}


MANY = torch.rand(60, 3, 2, 2, generator=torch.Generator().manual_seed(0))
AGES = np.random.default_rng(0).integers(1, 90, 60)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.arange(60) % 5 * 1.0, "'classification' or 'regression', as .* 5 different whole"),
        (np.repeat(np.arange(30) * 3, 2), "'classification' or 'regression'.*30 integers from 0"),
        (AGES, "'classification' or another.*different integers in 60 images"),
        ([f"id{k}" for k in range(60)], "'classification' or another.*60 different strings"),
        (np.eye(60, 3, dtype=int), "'multilabel' or 'regression', as .* zeros and ones"),
        (np.eye(60, 3)[np.arange(60) % 3], r"'multilabel' or .*labels.argmax\(1\)"),
        (AGES[:, None], r"'regression' for several numbers.*labels\[:, 0\]"),
    ],
)
def test_a_kind_that_is_not_certain_is_asked_for(labels, expected):
    with pytest.raises(InvalidValueError, match=f"^kind=None: expected {expected}"):
        Task.from_arrays(MANY, labels)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.arange(60) % 5 * 1.0, "classification"),
        (np.arange(60) % 5 * 1.0, "regression"),
        (AGES, "regression"),
        (AGES, "classification"),
        (np.arange(60) % 25, None),  # without gaps, and more than two of each
        ([f"id{k // 2}" for k in range(60)], None),
        (np.arange(60) * 2.0, None),
    ],
)
def test_a_kind_that_is_given_is_taken(labels, kind):
    task = Task.from_arrays(MANY, labels, kind=kind)
    assert task.kind == kind or (kind is None and task.kind in ("classification", "regression"))
    values = task.labels[:, 0] if task.kind == "regression" else task.labels
    if isinstance(labels, np.ndarray):
        _, expected = np.unique(labels, return_inverse=True)
        assert np.array_equal(np.unique(values, return_inverse=True)[1], expected)
    with pytest.raises(InvalidValueError, match="^labels=.*for kind='dense_regression'"):
        Task.from_arrays(MANY, labels, kind="dense_regression")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("abcab", "labels='abcab' .*5 labels"),
        ({"a": 1}, "labels=.*a list or an array, in the order"),
        (3, "labels=3"),
        (np.array(3), "labels=array.3.*5 labels, one for every image"),
        ([1, 2], "labels='2 labels': expected 5 labels, one for every image"),
        (["a"] * 5, "labels=\"one class, 'a'\": expected two or more classes"),
        ([0, 0, None, 0, 0], "labels=\"one class, '0'\""),
        ([1, 2, -1, 0, 0], "labels='-1 among other integers': expected None for an image"),
        ([0.5, 1, float("nan"), 2, 3], r"labels\[2\]=nan: expected a finite number; None marks"),
        ([None, 0.5, 1, np.inf, 3], r"labels\[3\]=inf"),
        (np.full((5, 2), np.nan), r"labels\[0, 0\]=nan"),
        ([0.5] * 5, "labels='the same for every image'"),
        ([1e300, 2, 3, 4.5, 5], "labels=1e.300: expected numbers that fit float32"),
        ([1 + 1e-12, 1, 1, 1, 1.0], "labels=.*differ in float32"),
        ([*"abca", 1], r"labels\[4\]=1: expected a string, as the labels before"),
        ([*"abca", ""], r"labels\[4\]='': expected the name of a class"),
        ([*"abca", np.nan], r"labels\[4\]=nan: expected a string"),
        ([[1, 2], [1], [1], [1], [1]], r"labels\[1\]=\[1\]: expected an array of shape \(2,\)"),
        ([b"a"] * 5, r"labels\[0\]=b'a'"),
        (np.array([1j] * 5), "labels=.*not complex128"),
        (np.zeros((5, 0)), r"labels.shape=\(5, 0\)"),
        (np.zeros((5, 2, 2)) + 0.5, r"labels='float64 \(5, 2, 2\)'.*labels\[:, None\]"),
        (np.ones((5, 1, 2, 2), int), r"labels='int64 \(5, 1, 2, 2\)'.*labels\[:, 0\]"),
        (np.ones((5, 2), bool), "labels='the same for every image'"),
        ([[], [], [], [], []], "labels='lists without a name'"),
        (np.ma.zeros((5, 2)), "labels.shape=.*one axis"),
    ],
    ids=range(26),
)
def test_other_labels_are_refused(labels, expected):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        Task.from_arrays(PIXELS, labels)


def test_no_label_at_all_is_no_label():
    assert Task.from_arrays(PIXELS, [None] * 5).kind == "unlabelled"
    with pytest.raises(InvalidValueError, match="^labels='None for every image'"):
        Task.from_arrays(PIXELS, [None] * 5, kind="regression")


def test_a_thousand_classes():
    images = np.random.default_rng(0).integers(0, 256, (2000, 3, 2, 2), np.uint8)
    task = Task.from_arrays(images, np.arange(2000) % 1000)
    assert len(task.classes) == 1000
    assert len(task.summary().splitlines()) < 10
    part = task.subsample(1000)
    assert set(part.counts.values()) == {1}


def test_the_hash_is_of_images_groups_and_labels():
    task = Task.from_arrays(PIXELS, LABELS, name="a")
    assert len(task.hash) == 64
    assert Task.from_arrays(PIXELS, LABELS, name="b", names=[*"vwxyz"]).hash == task.hash
    others = [
        Task.from_arrays(PIXELS.flip(0), LABELS),
        Task.from_arrays(PIXELS, LABELS[::-1]),
        Task.from_arrays(PIXELS, LABELS, groups=[0, 0, 1, 2, 3]),
        Task.from_arrays(PIXELS, [*LABELS[:4], None]),
        Task.from_arrays(PIXELS),
    ]
    assert len({task.hash, *(other.hash for other in others)}) == 6
    zeros, minus = [0.0, 1.5, 0.25, 1, 2], [-0.0, 1.5, 0.25, 1, 2]
    assert Task.from_arrays(PIXELS, zeros).hash == Task.from_arrays(PIXELS, minus).hash


def test_a_task_cannot_be_changed():
    labels = np.array([1, 0, 1, 0, 1])
    task = Task.from_arrays(PIXELS, labels)
    before = task.hash
    labels[:] = 0
    assert task.labels.tolist() == [1, 0, 1, 0, 1]
    for values in (task.labels, task.labelled, task.groups):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
    with pytest.raises(AttributeError):
        task.kind = "regression"
    assert Task.from_arrays(PIXELS, labels * 0 + [1, 0, 1, 0, 1]).hash == before
    with pytest.raises(InvalidTypeError, match="Task.from_folder, from_manifest"):
        Task(PIXELS, LABELS, "a", None)
    import copy

    with pytest.raises(InvalidTypeError, match="read this task again"):
        copy.deepcopy(task)


def test_regression_labels_of_the_caller_stay_theirs():
    numbers = RNG.random((5, 2)).astype(np.float32)
    task = Task.from_arrays(PIXELS, numbers)
    numbers[0, 0] = 7
    assert task.labels[0, 0] != 7


def test_copies_with_other_numbers_contradict():
    images = torch.cat([PIXELS, PIXELS[:2]])
    with pytest.warns(TaskWarning, match="2 images with an exact copy"):
        task = Task.from_arrays(images, [0.5, 1.25, 2, 3, 4, 0.5, 9])
    assert task.contradictions == (1, 6)
    assert task.as_dict()["contradictions"] == 2
    assert task.groups.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert Task.from_arrays(images, [0.5, 1.25, 2, 3, 4, 0.5, None]).contradictions == ()


def test_warnings_point_to_the_line_of_the_caller():
    with pytest.warns(TaskWarning, match="copy") as caught:
        Task.of((torch.cat([PIXELS, PIXELS[:2]]), [0.5, 1.25, 2, 3, 4, 0.5, 9]))
    assert caught[0].filename == __file__


def test_what_a_task_says_of_itself():
    import json

    task = Task.from_arrays(UINT8, [*"abca", None], name="letters")
    assert repr(task) == (
        "Task('letters', classification of 5 images of 7 x 6, 4 labelled, 3 classes, "
        f"hash {task.hash[:12]})"
    )
    assert task.summary().splitlines() == [
        "letters: classification",
        "  5 images of 7 x 6 in 5 groups, 4 labelled",
        "  3 classes: a 2, b 1, c 1",
        "  read from arrays with 5 images",
    ]
    facts = json.loads(json.dumps(task.as_dict()))
    assert facts == task.as_dict()
    assert facts["counts"] == {"a": 2, "b": 1, "c": 1}
    assert repr(Task.from_arrays(UINT8)).startswith("Task('task', unlabelled of 5 images of 7 x 6,")
