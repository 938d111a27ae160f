"""What an error says of the value that it names."""

import pickle

import numpy as np
import pytest
import torch

from pyattrx import errors
from pyattrx.errors import InvalidTypeError, InvalidValueError

MANY, TENSOR = np.zeros((200, 300)), torch.zeros(3, 4, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (MANY, "ndarray [200, 300] float64"),
        (TENSOR, "Tensor [3, 4] bfloat16"),
        (torch.nn.Parameter(torch.zeros(9)), "Parameter [9] float32"),
        ([MANY, TENSOR, "name"], "[ndarray [200, 300] float64, Tensor [3, 4] bfloat16, 'name']"),
        ((MANY, 3), "(ndarray [200, 300] float64, 3)"),
        # What is short is shown as it is.
        (np.arange(8), repr(np.arange(8))),
        (torch.tensor(2.0), "tensor(2.)"),
        (np.float32(1.5), repr(np.float32(1.5))),
        ((MANY.shape,), "((200, 300),)"),
        ((), "()"),
        ([], "[]"),
        ("text", "'text'"),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_the_value(value, said):
    assert str(InvalidValueError("it", value, "another")) == f"it={said}: expected another"
    kind = type(value).__name__
    assert (
        str(InvalidTypeError("it", value, "another")) == f"it={said} (a {kind}): expected another"
    )


def test_long_ones_are_cut():
    for value in ("x" * 1000, list(range(1000)), tuple(range(1000)), [[1] * 1000]):
        message = str(InvalidValueError("it", value, "another"))
        assert message == f"it={repr(value)[:117]}...: expected another"


def test_a_list_may_hold_itself():
    value = [1]
    value.append(value)
    assert "it=[1, [1, [...]]]" in str(InvalidValueError("it", value, "another"))


def test_every_error_can_be_sent_to_another_process():
    given = {
        "InvalidValueError": ("k", 0, "at least 1"),
        "InvalidTypeError": ("k", "x", "an integer"),
        "AssumptionError": ("alone", "it mixes images"),
        "MissingDependencyError": ("ray", "workers=", "pyattrx[ray]"),
    }
    kinds = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    assert len(kinds) > 15
    for kind in kinds:
        error = kind(*given.get(kind.__name__, ("what went wrong",)))
        found = pickle.loads(pickle.dumps(error))
        assert type(found) is kind
        assert str(found) == str(error)
        assert vars(found) == vars(error)
