"""Parts of a task: even over the classes, each the first part of a larger one, groups whole."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyattrx import Task
from pyattrx.errors import InvalidTypeError, InvalidValueError, TaskWarning
from pyattrx.tasks.drawing import at_most, draw, of_every_class

LABELS = st.lists(st.sampled_from(["a", "b", "c", "dd", None]), min_size=2, max_size=40).filter(
    lambda labels: {"a", "b"} <= set(labels)
)


def make(labels, groups=None, **options):
    images = torch.rand(len(labels), 3, 2, 2, generator=torch.Generator().manual_seed(len(labels)))
    return Task.from_arrays(images, labels, groups=groups, **options)


def drawn(labels, groups, seed):
    names = [f"image{k}" for k in range(len(labels))]
    strata = [() if label is None else (label,) for label in labels]
    return list(draw(names, groups, strata, seed))


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 5), st.data())
def test_a_part_is_even_over_the_classes(labels, seed, data):
    order = drawn(labels, range(len(labels)), seed)
    n = data.draw(st.integers(1, len(labels)))
    chosen = at_most(order, n)
    assert len(chosen) == n == len(set(chosen))
    counts, there = Counter(labels[at] for at in chosen), Counter(labels)
    classes = [name for name in there if name is not None]
    most = max((counts[name] for name in classes), default=0)
    for name in classes:  # as many as the others, but for one, unless there are no more
        assert counts[name] >= min(most - 1, there[name])
    if counts[None]:
        assert all(counts[name] == there[name] for name in classes)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 5), st.data())
def test_parts_are_nested_and_groups_whole(labels, seed, data):
    numbers = st.lists(st.integers(0, 6), min_size=len(labels), max_size=len(labels))
    groups = data.draw(numbers)
    order = drawn(labels, groups, seed)
    assert sorted(at for group in order for at in group.images) == list(range(len(labels)))
    n = data.draw(st.integers(1, len(labels)))
    larger = at_most(order, data.draw(st.integers(n, len(labels))))
    smaller = at_most(order, n)
    assert larger[: len(smaller)] == smaller
    assert len(smaller) <= n
    for chosen in (smaller, of_every_class(order, n)):
        assert all(groups[at] not in {groups[k] for k in chosen} or at in chosen
                   for at in range(len(labels)))  # fmt: skip
    rest = [len(group.images) for group in order[len_of(order, smaller) :]][:1]
    assert not rest or len(smaller) + rest[0] > n  # it stopped for want of room only
    every = Counter(labels[at] for at in of_every_class(order, n))
    for name, count in Counter(label for label in labels if label).items():
        assert every[name] >= min(n, count)
    # A part of a part is what the whole gives.
    names = [f"image{k}" for k in range(len(labels))]
    strata = [() if label is None else (label,) for label in labels]
    again = draw(names, groups, strata, seed, among=larger)
    assert at_most(again, n) == smaller


def len_of(order, chosen):
    """Number of groups that a part is made of."""
    left, number = len(chosen), 0
    while left > 0:
        left -= len(order[number].images)
        number += 1
    return number


def test_neither_order_nor_other_images_decide_who_is_drawn():
    labels = ["a", "b"] * 10
    names = [f"n{k}" for k in range(20)]
    strata = [(label,) for label in labels]
    first = [names[at] for at in at_most(draw(names, range(20), strata, 1), 6)]
    turned = draw(names[::-1], range(20), strata[::-1], 1)
    assert [names[::-1][at] for at in at_most(turned, 6)] == first
    other = [names[at] for at in at_most(draw(names, range(20), strata, 2), 6)]
    assert other != first


def test_nor_does_the_order_within_groups():
    names = [f"n{k}" for k in range(20)]
    groups = [k // 3 for k in range(20)]
    strata = [("",)] * 20
    first = [{names[at] for at in group.images} for group in draw(names, groups, strata, 0)]
    turned = draw(names[::-1], groups[::-1], strata, 0)
    assert [{names[::-1][at] for at in group.images} for group in turned] == first


@pytest.mark.parametrize("seed", range(8))
def test_images_of_two_classes_count_for_both(seed):
    """So that classes which come together are not drawn twice as often as one that comes alone."""
    labels = [["a", "b"]] * 6 + [["c"]] * 6
    for n in (2, 4, 8):
        counts = make(labels).subsample(n, seed=seed).counts
        assert counts == {"a": n // 2, "b": n // 2, "c": n // 2}
    assert len(make(labels).subsample(per_class=2, seed=seed)) == 4


def test_large_groups_are_drawn_as_often_as_small_ones():
    """Or a part would hold few groups, and a standard error over them would be large."""
    groups = [0] * 50 + list(range(1, 51))
    names = [f"n{k}" for k in range(100)]
    first = sum(
        len(next(iter(draw(names, groups, [("",)] * 100, seed))).images) > 1 for seed in range(400)
    )
    assert first <= 25  # of 400, where 8 are expected and 200 if images were ranked


def test_a_part_keeps_pixels_labels_names_and_groups():
    task = make(["a"] * 6 + ["b"] * 4 + [None] * 3, groups=[0, 0, *range(1, 12)])
    part = task.subsample(8, seed=4)
    at = [task.probes.names.index(name) for name in part.probes.names]
    assert torch.equal(part.probes.images(), task.probes.images()[at])
    assert part.labels.tolist() == task.labels[at].tolist()
    assert part.labelled.all()
    assert part.counts == {"a": 4, "b": 4}
    assert len(np.unique(part.groups)) == len(np.unique(task.groups[at]))
    assert (part.name, part.classes, part.kind) == (task.name, task.classes, task.kind)
    assert part.hash == task.subsample(8, seed=4).hash != task.subsample(8, seed=5).hash
    assert task.subsample(13).n_labelled == 10
    assert not task.subsample(13).labelled[10:].any()


def test_classes_without_an_image_are_dropped():
    task = make([*"aabbccdd"])
    part = task.subsample(3)
    assert len(part.classes) == 3
    assert sorted(part.labels.tolist()) == [0, 1, 2]
    at = [task.probes.names.index(name) for name in part.probes.names]
    assert [part.classes[k] for k in part.labels] == [task.classes[k] for k in task.labels[at]]


def test_so_many_of_every_class():
    task = make([*"aaaaaabbbcc", None])
    assert task.subsample(per_class=3).counts == {"a": 3, "b": 3, "c": 2}
    assert task.subsample(per_class=9).n_labelled == len(task.subsample(per_class=9)) == 11
    nested = task.subsample(per_class=3).probes.names
    assert nested[: len(task.subsample(per_class=2))] == task.subsample(per_class=2).probes.names


def test_the_rarer_labels_of_a_multilabel_task_come_first():
    labels = np.zeros((60, 3), bool)
    labels[:50, 0] = True
    labels[:4, 1] = True
    labels[50:54, 2] = True
    task = make(labels)
    counts = task.subsample(12).counts
    assert counts["1"] >= 3
    assert counts["2"] >= 3
    part = task.subsample(per_class=4)
    assert part.counts["1"] == part.counts["2"] == 4
    assert part.counts["0"] >= 4


def test_parts_of_other_kinds():
    images = torch.rand(6, 3, 2, 2)
    numbers = Task.from_arrays(images, np.arange(6) + 0.5).subsample(4)
    assert (numbers.kind, numbers.labels.shape) == ("regression", (4, 1))
    maps = Task.from_arrays(images, np.arange(24).reshape(6, 2, 2) % 3).subsample(4)
    assert (maps.labels.shape, maps.classes) == ((4, 2, 2), ("0", "1", "2"))
    assert Task.from_arrays(images).subsample(4).kind == "unlabelled"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "n=None: expected either n= or per_class=, and not both"),
        ({"n": 2, "per_class": 1}, "n=2: expected either n= or per_class="),
        ({"n": 0}, "n=0: expected an integer of at least 1"),
        ({"n": 2.0}, r"n=2.0 \(a float\)"),
        ({"n": 1}, "n=1: expected room for images of two classes"),
        ({"per_class": 0}, "per_class=0"),
        ({"n": 2, "seed": "x"}, "seed='x'"),
        ({"n": 2, "seed": True}, "seed=True"),
    ],
)
def test_wrong_arguments(arguments, expected):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=f"^{expected}"):
        make([*"aabb"]).subsample(**arguments)


def test_parts_that_cannot_be():
    with pytest.warns(TaskWarning, match="one group of images"):
        task = make([*"aabb"], groups=[0] * 4)
    with pytest.raises(InvalidValueError, match="^n=2: expected room for the first group"):
        task.subsample(2)
    with pytest.raises(
        InvalidValueError, match="^per_class=2: expected n=, as the task is regression"
    ):
        make([0.5, 1.5, 0.25]).subsample(per_class=2)
