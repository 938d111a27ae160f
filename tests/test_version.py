"""The version that the package says it has."""

import importlib
import importlib.metadata

import pyattrx


def test_it_is_that_of_the_installation():
    assert pyattrx.__version__ == importlib.metadata.version("pyattrx")


def test_a_source_tree_has_none(monkeypatch):
    def fails(name):
        raise importlib.metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", fails)
        importlib.reload(pyattrx)
        assert pyattrx.__version__ == "0+unknown"
    importlib.reload(pyattrx)
