"""Fitting from a `Task` is fitting from its labelled images."""

import warnings

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import Probes, Task, fit_target
from pyattrx.errors import FitWarning, InvalidTypeError, InvalidValueError

IMAGES = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
SHORT = {"steps": 2, "input_size": 16}


def weights(encoder):
    return list(encoder.module.state_dict().values())


def test_the_labelled_images_are_learnt_from():
    labels = [None, *"ab" * 10, None, "a", None]
    task = Task.from_arrays(IMAGES, labels, name="letters")
    known = [at for at, label in enumerate(labels) if label]
    with pytest.warns(FitWarning):
        fitted = fit_target(task, **SHORT)
    with pytest.warns(FitWarning):
        plain = fit_target(IMAGES[known], [labels[at] for at in known], **SHORT)
    assert (fitted.name, plain.name) == ("letters", "target")
    assert fitted.report.to_dict() == {**plain.report.to_dict(), "task": "classification"}
    assert all(torch.equal(a, b) for a, b in zip(weights(fitted), weights(plain), strict=True))
    with pytest.warns(FitWarning):
        assert fit_target(task, name="other", task="classification", **SHORT).name == "other"


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.linspace(0, 1, 24), "regression"),
        (np.random.default_rng(0).integers(0, 3, (24, 4, 4)), "dense_classification"),
        (np.random.default_rng(0).random((24, 2, 4, 4)), "dense_regression"),
    ],
)
def test_every_kind_is_learnt_as_what_it_is(labels, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        assert fit_target(Task.from_arrays(IMAGES, labels), **SHORT).report.task == kind


def test_what_is_refused():
    task = Task.from_arrays(IMAGES, [*"ab" * 12])
    with pytest.raises(InvalidValueError, match="^targets=.*None, as the images are a task"):
        fit_target(task, [0, 1] * 12)
    with pytest.raises(InvalidValueError, match="^task='regression': expected None, or 'classific"):
        fit_target(task, task="regression")
    with pytest.raises(InvalidValueError, match="^images=.*a task with labels"):
        fit_target(Task.from_arrays(IMAGES))
    several = Task.from_arrays(IMAGES, np.eye(24, 3) > 0)
    with pytest.raises(InvalidValueError, match="^images=.*another kind of task.*regression"):
        fit_target(several)
    for images in (IMAGES, Probes.from_tensor(IMAGES)):
        with pytest.raises(InvalidTypeError, match="^targets=None"):
            fit_target(images)


def test_a_multilabel_task_is_learnt_as_its_message_says():
    several = Task.from_arrays(IMAGES, np.random.default_rng(0).random((24, 3)) > 0.5)
    numbers = Task.from_arrays(several.probes, several.labels.astype(float), kind="regression")
    with pytest.warns(pyattrx.errors.FitWarning):
        assert fit_target(numbers, **SHORT).report.task == "regression"
