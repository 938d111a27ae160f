"""The hub without a connection: what is not in its cache is refused at once, with one sentence."""

import socket

import pytest

import pyattrx
from pyattrx.encoders.hub import check_reachable
from pyattrx.errors import EncoderError

pytest.importorskip("huggingface_hub")
MESSAGE = "'said'.*not downloaded before.*hub.example.*copy owner/name into the cache"


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """An empty cache, no proxy, and no address that is found."""

    def fail(*_, **__):
        raise socket.gaierror(-2, "nobody knows it")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr("pyattrx.encoders.hub.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example/there")
    return tmp_path


def check():
    check_reachable("owner/name", ["model.safetensors", "pytorch_model.bin"], "said")


def test_what_cannot_be_had_is_refused():
    with pytest.raises(EncoderError, match=MESSAGE):
        check()


def test_what_is_in_the_cache_is_not(offline):
    repository = offline / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    with pytest.raises(EncoderError, match=MESSAGE):
        check()
    (repository / "snapshots" / "abc" / "pytorch_model.bin").touch()
    check()


def test_an_address_that_is_found(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_: asked.append(host))
    check()
    assert asked == ["hub.example"]


def test_a_proxy_finds_addresses_itself(monkeypatch):
    monkeypatch.setattr("pyattrx.encoders.hub.getproxies", lambda: {"https": "http://proxy"})
    check()


def test_what_is_no_name_is_left_to_who_loads_it():
    check_reachable("a/b/c", ["config.json"], "said")


def test_transformers():
    pytest.importorskip("transformers")
    with pytest.raises(EncoderError, match="'transformers:owner/name': it was not downloaded"):
        pyattrx.load("transformers:owner/name")


def test_timm():
    pytest.importorskip("timm", exc_type=ImportError)
    with pytest.raises(EncoderError, match="'timm:resnet18': .*copy timm/resnet18"):
        pyattrx.load("timm:resnet18")
    with pytest.raises(EncoderError, match="did you mean 'resnet18'"):
        pyattrx.load("timm:resnt18")
    with pytest.raises(EncoderError, match=r"Invalid pretrained tag \(other\)"):
        pyattrx.load("timm:resnet18.other")
    pyattrx.load("timm:resnet18@random")
