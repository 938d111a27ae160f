"""FeatureMethod, Combined and the names of methods."""

import json

import numpy as np
import pytest

import pyattrx
from pyattrx import Combined, FeatureMethod, Method, methods
from pyattrx.errors import InvalidType, InvalidValue
from pyattrx.methods import FEATURE_METHODS, RECOMMENDED
from pyattrx.methods import get as get_method


@pytest.mark.parametrize("kind", FEATURE_METHODS)
def test_a_kind_is_a_method_that_can_be_written_down(kind):
    method = get_method(kind)
    assert method == FeatureMethod(kind)
    assert hash(method) == hash(FeatureMethod(kind))
    assert str(method) == kind
    written = json.loads(json.dumps(method.to_dict()))
    assert written == {"kind": kind, **FEATURE_METHODS[kind]}
    assert FeatureMethod.from_dict(written) == method
    assert FeatureMethod(**written) == method  # an option with its kind's own value is no other


def test_options():
    method = methods.PerturbationResponse(draws=2, strength=1)
    assert (method.draws, method.strength, method.penalty, method.variance) == (2, 1.0, 0.01, None)
    assert str(method) == "perturbation_response, draws=2, strength=1.0"
    assert FeatureMethod.from_dict(method.to_dict()) == method
    assert method != methods.PerturbationResponse()
    assert repr(methods.Ridge(penalty=1)) == "FeatureMethod(ridge, penalty=1.0)"
    assert repr(methods.RSA()) == "FeatureMethod(rsa)"


@pytest.mark.parametrize(
    ("error", "text", "options"),
    [
        (InvalidValue, "kind='rssa'", {"kind": "rssa"}),
        (InvalidValue, "kind=3", {"kind": 3}),
        (InvalidValue, "penalty=1.0: expected nothing", {"kind": "rsa", "penalty": 1.0}),
        (InvalidValue, "draws=2: expected nothing", {"kind": "normalized_ridge", "draws": 2}),
        (InvalidValue, "penalty=0", {"kind": "ridge", "penalty": 0}),
        (InvalidValue, "penalty=nan", {"kind": "ridge", "penalty": float("nan")}),
        (InvalidValue, "penalty=inf", {"kind": "ridge", "penalty": float("inf")}),
        (InvalidType, "penalty='1'", {"kind": "ridge", "penalty": "1"}),
        (InvalidType, "penalty=True", {"kind": "ridge", "penalty": True}),
        (InvalidValue, "variance=1.5", {"kind": "svcca", "variance": 1.5}),
        (InvalidValue, "draws=0", {"kind": "perturbation_response", "draws": 0}),
        (InvalidType, "draws=1.5", {"kind": "perturbation_response", "draws": 1.5}),
        (InvalidValue, "seed=-1", {"kind": "perturbation_response", "seed": -1}),
        (InvalidValue, "largest_grid=0", {"kind": "normalized_ridge", "largest_grid": 0}),
        (InvalidValue, "window=2: expected an odd", {"kind": "normalized_ridge", "window": 2}),
        (InvalidValue, "window=-1", {"kind": "perturbation_response", "window": -1}),
        (InvalidValue, "window=3: expected nothing", {"kind": "ridge", "window": 3}),
    ],
)
def test_wrong_options(error, text, options):
    with pytest.raises(error, match=text):
        FeatureMethod(**options)


def test_wrong_dictionaries():
    with pytest.raises(InvalidValue, match="fields of FeatureMethod"):
        FeatureMethod.from_dict({"kind": "rsa", "colour": 1})
    with pytest.raises(InvalidValue, match="fields of FeatureMethod"):
        FeatureMethod.from_dict({"penalty": 1})
    with pytest.raises(InvalidValue, match="fields of Combined"):
        Combined.from_dict({"terms": []})


def test_names():
    assert get_method("saliency") == Method("saliency")
    assert get_method("depara") == Combined.depara()
    assert get_method("recommended") is RECOMMENDED
    for method in (Method("elrp"), methods.RSA(), Combined.depara()):
        assert get_method(method) is method
    with pytest.raises(InvalidValue, match="'saliency', .*'recommended', 'depara', 'rsa', 'cka'"):
        get_method("cka2")
    with pytest.raises(InvalidType, match="method=3"):
        get_method(3)


def test_combined():
    method = Combined([("saliency", 1), (methods.Ridge(penalty=0.1), 0.5)])
    assert method.terms == (
        (Method("saliency"), 1.0),
        (methods.Ridge(penalty=0.1), 0.5),
    )
    assert Combined.from_dict(json.loads(json.dumps(method.to_dict()))) == method
    assert len({method, Combined.from_dict(method.to_dict())}) == 1
    assert str(method) == "sum of standardised 1 * (saliency), 0.5 * (ridge, penalty=0.1)"


@pytest.mark.parametrize(
    ("error", "terms", "standardise"),
    [
        (InvalidType, [], True),
        (InvalidType, "rsa", True),
        (InvalidType, ["rsa", "cka"], True),
        (InvalidType, [("rsa", "much")], True),
        (InvalidType, [("rsa", True)], True),
        (InvalidType, [("depara", 1)], True),
        (InvalidType, [("rsa", 1)], 1),
        (InvalidValue, [("rsa", float("nan"))], True),
        (InvalidValue, [("rsa", 1), (methods.RSA(), 2)], True),
        (InvalidValue, [("unknown", 1)], True),
        (InvalidValue, [("rsa", 1), ("cka", -1)], False),
        (InvalidValue, [("rsa", 0)], False),
    ],
)
def test_wrong_combinations(error, terms, standardise):
    with pytest.raises(error):
        Combined(terms, standardise)


def test_standardised_scores():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 5))
    b[2] = 3.0  # nothing to tell apart for this target
    got = Combined([("rsa", 2), ("cka", -1)]).combine([a, b])
    for i in range(5):
        others = [j for j in range(5) if j != i]
        expected = 2 * (a[i] - a[i, others].mean()) / a[i, others].std()
        if i != 2:
            expected = expected - (b[i] - b[i, others].mean()) / b[i, others].std()
        assert got[i] == pytest.approx(expected)
    # The units of a score do not count.
    scaled = Combined([("rsa", 2), ("cka", -1)]).combine([1e9 * a - 3, 1e-9 * b])
    assert scaled == pytest.approx(got, rel=1e-6)


def test_mean_of_scores():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    got = pyattrx.Combined.depara("saliency", weight=0.25).combine([a, b])
    assert got == pytest.approx((a + 0.25 * b) / 1.25)


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_to_standardise_against(count):
    got = Combined([("rsa", 1)]).combine([np.full((count, count), 0.3)])
    assert (got == 0).all()
