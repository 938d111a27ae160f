"""Data sets of every protocol: samples, batches, columns, and what they say of themselves."""

import io
import itertools
import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tasks.photos import class_folders, photo
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from pyattrx import Probes, Task
from pyattrx._scratch import Scratch
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError, TaskWarning

pytestmark = pytest.mark.filterwarnings("ignore:.* with one image:pyattrx.errors.TaskWarning")

UINT8 = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8))
PIXELS = UINT8 / 255
LABELS = torch.tensor([1, 0, 2, 1, 0, 2])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(images):
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (images - mean) / std


class Listed(Dataset):
    """A data set of the samples in a list, which counts what is asked for."""

    def __init__(self, samples, **attributes):
        self.samples_ = samples
        self.asked = []
        self.__dict__.update(attributes)

    def __len__(self):
        return len(self.samples_)

    def __getitem__(self, index):
        self.asked.append(index)
        sample = self.samples_[index]
        if isinstance(sample, Exception):
            raise sample
        return sample


class ImageFolder(Dataset):
    """The protocol of torchvision's data set of that name."""

    def __init__(self, root, transform=None):
        self.root, self.transform = str(root), transform
        self.classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        self.samples = [
            (str(file), number)
            for number, name in enumerate(self.classes)
            for file in sorted((root / name).iterdir())
        ]
        self.targets = [number for _, number in self.samples]
        self.opened = 0

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        self.opened += 1
        path, target = self.samples[index]
        image = Image.open(path).convert("RGB")
        return (image if self.transform is None else self.transform(image)), target


PAIRS = list(zip(UINT8, LABELS.tolist(), strict=True))


def to_image(pixels):
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        (TensorDataset(UINT8, LABELS), {}),
        (TensorDataset(PIXELS, LABELS), {}),
        (TensorDataset(normalised(PIXELS), LABELS), {"mean": MEAN, "std": STD}),
        (DataLoader(TensorDataset(UINT8, LABELS), 4), {}),
        (DataLoader(TensorDataset(normalised(PIXELS), LABELS), 4), {"mean": MEAN, "std": STD}),
        (DataLoader([{"image": x, "label": y} for x, y in PAIRS], 4), {}),
        (DataLoader([{"label": y, "pixel_values": x} for x, y in PAIRS], 4), {}),
        (DataLoader([(x, f"{y}") for x, y in PAIRS], 4), {}),
        (Listed(PAIRS), {}),
        (PAIRS, {}),
        (iter(PAIRS), {}),
        (Listed([(x, torch.tensor(y), "more") for x, y in PAIRS]), {}),
        (Listed([("more", y, x) for x, y in PAIRS]), {"image": 2, "label": 1}),
        (Listed([(y, x) for x, y in PAIRS]), {"image": 1}),
        (Listed([{"x": x, "y": y} for x, y in PAIRS]), {"image": "x", "label": "y"}),
        (Listed([(to_image(x), y) for x, y in PAIRS]), {"size": 8}),
        (Listed([(np.asarray(to_image(x)), y) for x, y in PAIRS]), {"size": 8}),
        (Listed([(x.permute(1, 2, 0).numpy() / np.float32(255), y) for x, y in PAIRS]), {}),
        (Listed([(x.numpy(), y) for x, y in PAIRS]), {}),
        (Subset(TensorDataset(UINT8, LABELS), range(6)), {"size": (8, 8)}),
    ],
    ids=range(20),
)
def test_the_same_samples_are_the_same_task(dataset, options):
    task = Task.from_dataset(dataset, **options)
    assert task.hash == Task.from_arrays(UINT8, LABELS).hash


def test_image_folder_has_its_classes_and_paths(tmp_path):
    class_folders(tmp_path, {"dog": 3, "ant": 4}, size=(20, 12))
    dataset = ImageFolder(tmp_path)
    folder = Task.from_folder(tmp_path, size=8)
    task = Task.from_dataset(dataset, size=8)
    assert (task.hash, task.classes, task.probes.names) == (
        folder.hash,
        folder.classes,
        folder.probes.names,
    )
    assert (task.report.available, task.report.largest) == (7, (12, 20))
    dataset.opened = 0
    part = Task.from_dataset(dataset, size=8, limit=4, seed=1)
    assert part.hash == folder.subsample(4, seed=1).hash
    assert dataset.opened == 4
    some = Subset(Subset(dataset, [6, 5, 1, 2, 0]), [0, 1, 2, 3])
    assert Task.from_dataset(some, size=8).probes.names == tuple(
        folder.probes.names[at] for at in (6, 5, 1, 2)
    )
    assert Task.from_dataset(some, size=8).counts == {"ant": 2, "dog": 2}
    tensors = ImageFolder(
        tmp_path, lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1)
    )
    loader = DataLoader(tensors, 3, shuffle=True, generator=torch.Generator().manual_seed(0))
    task = Task.from_dataset(loader)
    assert task.counts == {"ant": 4, "dog": 3}
    known = Task.from_dataset(tensors)
    labels = dict(zip(known.probes.digests(), known.labels.tolist(), strict=True))
    assert [labels[digest] for digest in task.probes.digests()] == task.labels.tolist()


def test_a_limit_is_spread_over_classes_that_have_to_be_read_first():
    labels = [0] * 20 + [1] * 4
    images = torch.rand(24, 3, 4, 4)
    dataset = Listed([{"image": x, "label": y} for x, y in zip(images, labels, strict=True)])
    whole = Task.from_dataset(dataset)
    part = Task.from_dataset(dataset, limit=8)
    assert part.counts == {"0": 4, "1": 4}
    assert part.hash == whole.subsample(8).hash
    assert set(dataset.asked) == set(range(24))
    dataset.asked.clear()
    assert len(Task.from_dataset(dataset, limit=24)) == 24
    assert sorted(dataset.asked) == [0, *range(24)]  # the first is looked at before


def test_a_target_transform_does_not_matter_to_the_draw():
    """What the data set lists need not be what its samples say."""
    samples = [(x, 1 - y % 2) for x, y in PAIRS]
    task = Task.from_dataset(Listed(samples, targets=[y % 2 for _, y in PAIRS]), limit=2)
    at = [int(name.removeprefix("image")) for name in task.probes.names]
    assert [task.classes[k] for k in task.labels] == [str(samples[k][1]) for k in at]


def test_of_a_stream_no_more_is_asked_for_than_wanted():
    def endless():
        for number in itertools.count():
            levels = torch.arange(4, dtype=torch.uint8) + 4 * number
            yield levels[:, None, None, None].expand(4, 3, 2, 2), [*"abab"]

    task = Task.from_dataset(endless(), limit=6, names=[f"n{k}" for k in range(99)])
    assert (len(task), task.counts) == (6, {"a": 3, "b": 3})
    assert task.probes.names[-1] == "n5"
    assert "the first 6 images of a stream, which are not spread over the classes" in task.summary()

    class Stream(IterableDataset):
        def __iter__(self):
            yield from PAIRS

    assert Task.from_dataset(Stream()).counts == {"0": 2, "1": 2, "2": 2}
    assert Task.from_dataset(DataLoader(Stream(), 4), limit=5).n_labelled == 5


def test_images_alone_are_unlabelled():
    for dataset in (
        TensorDataset(UINT8),
        Listed(list(UINT8)),
        DataLoader(list(UINT8), 4),
        Listed([{"image": x} for x in UINT8]),
    ):
        task = Task.from_dataset(dataset)
        assert (task.kind, task.probes.hash) == ("unlabelled", Probes.from_tensor(UINT8).hash)
    assert Task.from_dataset(TensorDataset(UINT8, LABELS), kind="unlabelled").labels is None


def test_labels_of_every_kind():
    made = {
        "regression": torch.rand(6),
        "multilabel": torch.rand(6, 4) > 0.5,
        "dense_classification": LABELS[:, None, None].expand(6, 2, 2),
        "dense_regression": torch.rand(6, 2, 3, 3),
    }
    for kind, labels in made.items():
        expected = Task.from_arrays(UINT8, labels)
        for dataset in (TensorDataset(UINT8, labels), DataLoader(TensorDataset(UINT8, labels), 4)):
            task = Task.from_dataset(dataset)
            assert (task.kind, task.hash) == (kind, expected.hash)
    missing = Listed([(x, None if k == 2 else y) for k, (x, y) in enumerate(PAIRS)])
    assert Task.from_dataset(missing).labelled.tolist() == [True, True, False, True, True, True]
    masks = Listed([(x, Image.fromarray(np.full((2, 2), y, np.uint8))) for x, y in PAIRS])
    assert Task.from_dataset(masks).kind == "dense_classification"


def test_classes_that_are_not_those_of_the_labels_are_left_alone():
    task = Task.from_dataset(
        Listed([(x, 0.5 * y) for x, y in PAIRS], classes=["a"]), kind="regression"
    )
    assert task.kind == "regression"
    assert Task.from_dataset(Listed(PAIRS, classes=[1, 2])).classes == ("0", "1", "2")
    assert Task.from_dataset(Listed(PAIRS, classes=["a"] * 3)).classes == ("0", "1", "2")
    assert Task.from_dataset(Listed(PAIRS, classes=("x", "b", "c"))).counts == {
        "b": 2,
        "c": 2,
        "x": 2,
    }
    assert Task.from_dataset(Listed(PAIRS), classes=[*"xyz"]).classes == ("x", "y", "z")


@pytest.mark.parametrize("scale", [1.0, 1 / 3])
def test_a_normalisation_is_undone(scale):
    """8-bit images become what they were; others within rounding."""
    images = PIXELS * scale
    dataset = TensorDataset(normalised(images), LABELS)
    pixels = Task.from_dataset(dataset, mean=MEAN, std=STD).probes.images()
    if scale == 1:
        assert torch.equal(pixels, images)
    else:
        assert torch.allclose(pixels, images, rtol=0, atol=1e-6)
    half = Task.from_dataset(TensorDataset(images * 2 - 1), mean=0.5, std=[0.5])
    assert torch.allclose(half.probes.images(), images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: DataLoader(d, 4)])
def test_normalised_images_are_refused_with_what_undoes_it(wrap):
    dataset = wrap(TensorDataset(normalised(PIXELS), LABELS))
    with pytest.raises(InvalidValueError, match=r"normalised images: .*mean=, std=\) does"):
        Task.from_dataset(dataset)
    with pytest.raises(InvalidValueError, match="undo the normalisation: are these the right ones"):
        Task.from_dataset(dataset, mean=0.5, std=4.0)
    with pytest.raises(
        InvalidValueError, match="normalised"
    ):  # also where what cannot be read is not
        Task.from_dataset(dataset, on_error="skip")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mean": 0.5}, "std=None: expected numbers too"),
        ({"std": 0.5}, "mean=None: expected numbers too"),
        ({"mean": [0.5, 0.5], "std": 1}, r"mean=\[0.5, 0.5\]: expected three numbers"),
        ({"mean": 0.5, "std": 0}, "std=0: expected three positive numbers"),
        ({"mean": 0.5, "std": [1, 1, float("nan")]}, "std=.*three positive"),
        ({"mean": "x", "std": 1}, "mean='x'"),
        ({"mean": 0.5, "std": 1}, r"dataset\[0\].dtype=torch.uint8.*floating, as mean= and std="),
        ({"image": 7}, r"image=7: expected a place in dataset\[0\], from 0 to 1"),
        ({"label": "y"}, r"label='y': expected a place in dataset\[0\]"),
        ({"kind": "x"}, "kind='x'"),
        ({"limit": 0}, "limit=0"),
        ({"names": ["a"]}, "names=.*6 names"),
        ({"groups": [1]}, "groups=.*6 groups"),
        ({"on_error": "x"}, "on_error='x'"),
        ({"classes": ["a"]}, r"labels\[0\]=1: expected an index of classes, from 0 to 0"),
        ({"size": "x"}, "size='x'"),
    ],
)
def test_wrong_arguments(options, expected):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        Task.from_dataset(Listed(PAIRS), **options)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (3, "dataset=3 .*a torch Dataset or DataLoader"),
        ("photos", "dataset='photos' .*Task.of takes paths"),
        (UINT8, "(?s)dataset=.*Task.of takes paths and arrays"),
        ([], r"dataset=\[\]: expected at least one sample"),
        ({"train": 1, "test": 2}, "dataset=.*one data set; it has several: 'train', 'test'"),
        ([()], r"dataset\[0\]=\(\) .*a pair \(image, label\)"),
        ([("x.png", 1)], r"dataset\[0\]='x.png' .*a PIL image, an array or a tensor"),
        ([{"a": 1}], r"image=None: expected the key of the images in dataset\[0\]: 'a'"),
        ([(torch.zeros(2, 8, 8), 1)], r"dataset\[0\].shape=\(2, 8, 8\)"),
        ([(np.zeros((8, 8, 2), np.uint8), 1)], r"dataset\[0\].shape=\(8, 8, 2\)"),
        ([(np.zeros((8, 8, 3), int), 1)], r"dataset\[0\].dtype=dtype.'int64'.*uint8"),
        ([(torch.zeros(3, 8, 8), 1), (torch.zeros(3, 8, 9), 2)], "item 1.shape|dataset.1..shape"),
        ([(UINT8[0], 1), (PIXELS[1], 2)], "dataset.1..dtype"),
        (iter([(UINT8[0], 1), (UINT8[0, :, :4], 2)]), "the images of item 1.shape=.3, 4, 8."),
        (iter([(UINT8[0], 1), (PIXELS[0], 2)]), "the images of item 1.dtype=.*uint8, as before"),
        (iter([(UINT8, LABELS[:5])]), "the labels of item 0='5 labels': expected 6"),
        (iter([(UINT8, 3)]), "the labels of item 0=3 .*a tensor or a list of 6 labels"),
        (iter([(UINT8[:2], [LABELS[:2], LABELS[:2]])]), "the labels of item 0=.*one tensor"),
        (iter([UINT8[0, 0, 0]]), "the images of item 0.shape"),
        ([(UINT8[0], 1), (UINT8[1], 1)], "labels=\"one class, '1'\""),
    ],
    ids=range(20),
)
def test_other_data_sets_are_refused(dataset, expected):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=expected):
        Task.from_dataset(dataset)


def test_float_tensors_are_not_resized():
    with pytest.raises(InvalidValueError, match=r"^size=\(4, 4\): expected None, or \(8, 8\)"):
        Task.from_dataset(TensorDataset(PIXELS, LABELS), size=4)
    with pytest.raises(InvalidValueError, match=r"^size=\(4, 4\): expected None, or \(8, 8\)"):
        Task.from_dataset(DataLoader(TensorDataset(UINT8, LABELS), 2), size=4)
    task = Task.from_dataset(TensorDataset(UINT8, LABELS), size=4)
    assert task.probes.hash == Probes.from_images([to_image(x) for x in UINT8], size=4).hash


def test_an_empty_stream_is_no_task():
    with pytest.raises(ProbeError, match="gave no images"):
        Task.from_dataset(iter([]))


def test_samples_that_cannot_be_read():
    samples = list(PAIRS)
    samples[3] = OSError("disk on fire")
    with pytest.raises(
        ProbeError, match=r"^dataset\[3\] \('image3'\): OSError: disk on fire; on_e"
    ):
        Task.from_dataset(Listed(samples))
    task = Task.from_dataset(Listed(samples), on_error="skip")
    assert (len(task), [one.path for one in task.report.skipped]) == (5, ["image3"])
    assert task.labels.tolist() == [1, 0, 2, 0, 2]
    part = Task.from_dataset(Listed(samples), on_error="skip", limit=4)
    assert len(part) == 4
    samples[0] = OSError("too")  # the one that is looked at first
    assert len(Task.from_dataset(Listed(samples), on_error="skip", size=8)) == 4
    file = io.BytesIO()
    photo(0, (64, 64)).save(file, "PNG")
    broken = lambda: Image.open(io.BytesIO(file.getvalue()[:2000]))  # noqa: E731
    pairs = [(to_image(x), y) for x, y in PAIRS]
    with pytest.raises(ProbeError, match=r"^dataset\[2\] \('image2'\): "):
        Task.from_dataset(Listed([*pairs[:2], (broken(), 1)]))
    with pytest.raises(ProbeError, match="^the images of item 2: "):
        Task.from_dataset(iter([*pairs[:2], (broken(), 1)]))
    task = Task.from_dataset(iter([*pairs[:2], (broken(), 1)]), on_error="skip", size=8)
    assert (len(task), task.report.skipped[0].path) == (2, "item2")


def test_samples_are_read_by_the_thread_that_asks():
    """Handles of files and data bases often belong to one."""
    seen = set()

    class Own(Listed):
        def __getitem__(self, index):
            seen.add(threading.get_ident())
            return super().__getitem__(index)

    Task.from_dataset(Own(PAIRS), limit=4)
    assert seen == {threading.get_ident()}


def test_pixels_do_not_stay_in_memory():
    for dataset in (TensorDataset(UINT8, LABELS), DataLoader(TensorDataset(UINT8, LABELS), 2)):
        task = Task.from_dataset(dataset, scratch=Scratch(in_memory=3 * 64))
        assert not task.probes.in_memory
        assert not task.subsample(4).probes.in_memory
        assert torch.equal(task.probes.images(), PIXELS)


# The protocol of the package `datasets`, which tells columns by the names of their types.


class Image_:
    decode = True


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Value:
    def __init__(self, dtype):
        self.dtype = dtype


class Sequence:
    def __init__(self, feature):
        self.feature = feature


Image_.__name__ = "Image"


class Columns:
    """As `datasets.Dataset`: rows by number, columns by name."""

    def __init__(self, features, **columns):
        self.features, self.columns = features, columns
        self.column_names = list(features)
        self.decoded = 0

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        if isinstance(key, str):
            assert not isinstance(self.features[key], Image_), "this decodes all images"
            return list(self.columns[key])
        self.decoded += 1
        return {name: column[key] for name, column in self.columns.items()}

    def __iter__(self):
        return (self[index] for index in range(len(self)))


class Streamed:
    """As `datasets.IterableDataset`."""

    def __init__(self, features, **columns):
        self.rows, self.features, self.column_names = Columns(features, **columns), features, None

    def __iter__(self):
        return iter(self.rows)


PHOTOS = [to_image(x) for x in UINT8]
PETS = ClassLabel(["dog", "cat", "ant"])


@pytest.mark.parametrize("kind", [Columns, Streamed])
def test_columns_are_found_by_their_types(kind):
    features = {"id": Value("int64"), "pic": Image_(), "pet": PETS}
    numbers = [0, 1, 2, 1, -1, None]
    dataset = kind(features, id=[*range(6)], pic=PHOTOS, pet=numbers)
    task = Task.from_dataset(dataset, size=8)
    names = ["dog", "cat", "ant", "cat", None, None]
    assert task.hash == Task.from_arrays(UINT8, names).hash
    assert task.labelled.tolist() == [True] * 4 + [False] * 2
    if kind is Columns:
        dataset.decoded = 0
        part = Task.from_dataset(dataset, size=8, limit=3)
        assert (part.hash, dataset.decoded) == (task.subsample(3).hash, 3)


def test_labels_of_other_types():
    numbers = Columns({"image": Image_(), "target": Value("float32")}, image=PHOTOS,
                      target=[0.5, 1, 2, 3, 4, 5])  # fmt: skip
    assert Task.from_dataset(numbers).kind == "regression"
    texts = Columns({"image": Image_(), "label": Value("string")}, image=PHOTOS, label=[*"ababab"])
    assert Task.from_dataset(texts).classes == ("a", "b")
    for several in (Sequence(PETS), [PETS]):
        labels = [[0], [0, 1], [], [2], None, [1]]
        dataset = Columns({"image": Image_(), "label": several}, image=PHOTOS, label=labels)
        task = Task.from_dataset(dataset)
        assert (task.kind, task.classes) == ("multilabel", ("ant", "cat", "dog"))
        assert task.labels.astype(int).tolist()[:4] == [[0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 0]]
        assert task.counts == {"ant": 1, "cat": 2, "dog": 2}
    alone = Columns({"image": Image_()}, image=PHOTOS)
    assert Task.from_dataset(alone, limit=3).kind == "unlabelled"


def test_columns_that_have_to_be_named():
    features = {"image": Image_(), "age": Value("int64"), "name": Value("string")}
    dataset = Columns(features, image=PHOTOS, age=[3, 4, 5, 6, 7, 8], name=[*"ababab"])
    with pytest.raises(
        InvalidValueError, match="^label=None: expected the column.*'age', 'name'; kind="
    ):
        Task.from_dataset(dataset)
    assert Task.from_dataset(dataset, label="name").classes == ("a", "b")
    assert Task.from_dataset(dataset, label="age", kind="regression").labels[0] == 3
    with pytest.raises(InvalidValueError, match="^label='x': expected one of 'age', 'name'"):
        Task.from_dataset(dataset, label="x")
    two = Columns({"fine": PETS, "coarse": PETS, "image": Image_()}, fine=[0, 1] * 3,
                  coarse=[1, 2] * 3, image=PHOTOS)  # fmt: skip
    with pytest.raises(InvalidValueError, match="^label=None.*'fine', 'coarse'"):
        Task.from_dataset(two)
    assert Task.from_dataset(two, label="coarse").classes == ("ant", "cat")
    assert Task.from_dataset(two, kind="unlabelled").kind == "unlabelled"
    with pytest.raises(InvalidValueError, match="^image=None: expected the column of the images"):
        Task.from_dataset(Columns({"a": Value("string")}, a=[*"ab"]))
    raw = Columns({"image": Image_(), "label": PETS}, image=[{"bytes": b"", "path": "x"}] * 6,
                  label=[0, 1] * 3)  # fmt: skip
    with pytest.raises(InvalidTypeError, match=r"^dataset\[0\]=.*not decoded: cast_column"):
        Task.from_dataset(raw)


# Whatever there is.


def test_whatever_there_is_becomes_a_task(tmp_path):
    class_folders(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "table.csv").write_text("path,label\na/000.png,x\nb/001.png,y\nb/002.png,y\n")
    folder = Task.of(tmp_path, size=8)
    assert folder.hash == Task.of(str(tmp_path), size=8).hash
    assert Task.of(tmp_path).probes.size == (224, 224)
    assert Task.of(tmp_path / "table.csv", size=8, name="few").counts == {"x": 1, "y": 2}
    assert Task.of(folder) is folder
    assert Task.of(folder, limit=8) is folder
    assert Task.of(folder, limit=4, seed=3).hash == folder.subsample(4, seed=3).hash
    assert Task.of(tmp_path, size=8, limit=4, seed=3).hash == folder.subsample(4, seed=3).hash
    assert Task.of(folder.probes).probes is folder.probes
    pair = Task.of((UINT8, LABELS))
    for source in (
        (UINT8.numpy(), LABELS.tolist()),
        (list(UINT8), LABELS),
        (Probes.from_tensor(UINT8), LABELS),
        TensorDataset(UINT8, LABELS),
        DataLoader(TensorDataset(UINT8, LABELS), 4),
        PAIRS,
    ):
        assert Task.of(source).hash == pair.hash
    assert Task.of((PHOTOS, LABELS), size=8).hash == pair.hash
    assert Task.of(PHOTOS, size=8, name="few").name == "few"
    assert Task.of((UINT8, LABELS), limit=3).hash == pair.subsample(3).hash
    assert Task.of(UINT8).kind == Task.of(list(UINT8)).kind == "unlabelled"


def test_what_is_no_task(tmp_path):
    with pytest.raises(InvalidTypeError, match="^source=3 .*a folder or a table of images"):
        Task.of(3)
    with pytest.raises(InvalidTypeError, match="^source=None"):
        Task.of(None)
    with pytest.raises(InvalidValueError, match="^size=8: expected None, as the task has its own"):
        Task.of(Task.of(UINT8), size=8)
    with pytest.raises(InvalidValueError, match="^images=.*at least one image"):
        Task.of([])
    with warnings.catch_warnings():
        warnings.simplefilter("error", TaskWarning)
        with pytest.raises(InvalidValueError, match="^labels=.*6 labels"):
            Task.of((UINT8, LABELS[:3]))
