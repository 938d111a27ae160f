"""FeatureMethod, Combined and the names of methods."""

import json

import numpy as np
import pytest

import pyattrx
from pyattrx import Combined, FeatureMethod, Method, methods
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import RECOMMENDED
from pyattrx.methods import get as get_method


@pytest.mark.parametrize("name", methods.list())
def test_a_named_method_can_be_written_down(name):
    method = methods.get(name)
    assert method == methods.list()[name]
    assert hash(method) == hash(methods.list()[name])
    assert str(method).startswith(method.name) or name == "depara"
    written = json.loads(json.dumps(method.to_dict()))
    assert methods.from_dict(written) == method
    assert method.needs <= {"gradients", "output", "features"}
    assert method.invariant_to <= {"scale", "rotation", "shift", "permutation of probes"}


def test_options():
    method = methods.PerturbationResponse(draws=2, strength=1)
    assert (method.draws, method.strength, method.penalty) == (2, 1.0, 0.01)
    assert str(method) == "perturbation_response, draws=2, strength=1.0"
    assert methods.from_dict(method.to_dict()) == method
    assert method != methods.PerturbationResponse()
    assert repr(methods.Ridge(penalty=1)) == "Ridge(penalty=1.0)"
    assert methods.Ridge(penalty=0.01) == methods.get("ridge")


@pytest.mark.parametrize(
    ("error", "text", "kind", "options"),
    [
        (InvalidValueError, "penalty=0: expected a positive", "Ridge", {"penalty": 0}),
        (InvalidValueError, "penalty=nan", "Ridge", {"penalty": float("nan")}),
        (InvalidValueError, "penalty=inf", "Ridge", {"penalty": float("inf")}),
        (InvalidTypeError, "penalty='1'", "Ridge", {"penalty": "1"}),
        (InvalidTypeError, "penalty=True", "Ridge", {"penalty": True}),
        (InvalidValueError, "variance=1.5", "SVCCA", {"variance": 1.5}),
        (InvalidValueError, "draws=0", "PerturbationResponse", {"draws": 0}),
        (InvalidTypeError, "draws=1.5", "PerturbationResponse", {"draws": 1.5}),
        (InvalidValueError, "seed=-1", "PerturbationResponse", {"seed": -1}),
        (InvalidValueError, "largest_grid=0", "NormalizedRidge", {"largest_grid": 0}),
        (InvalidValueError, "window=2: expected an odd", "NormalizedRidge", {"window": 2}),
        (InvalidValueError, "window=-1", "PerturbationResponse", {"window": -1}),
        (TypeError, "window", "Ridge", {"window": 3}),
    ],
)
def test_wrong_options(error, text, kind, options):
    with pytest.raises(error, match=text):
        getattr(methods, kind)(**options)


def test_the_base_of_methods_is_none():
    base = FeatureMethod
    with pytest.raises(InvalidTypeError, match=r"a form of it: pyattrx.methods.Ridge"):
        base("ridge")
    with pytest.raises(InvalidTypeError, match="an instance, not the class"):
        methods.get(methods.Ridge)


def test_wrong_dictionaries():
    with pytest.raises(InvalidValueError, match="'colour'.*options of 'rsa'"):
        methods.from_dict({"kind": "rsa", "colour": 1})
    with pytest.raises(InvalidValueError, match="fields of Method"):
        methods.from_dict({"penalty": 1})
    with pytest.raises(InvalidValueError, match="kind='rssa'.*did you mean 'rsa'"):
        methods.from_dict({"kind": "rssa"})
    with pytest.raises(InvalidValueError, match="kind='os:getcwd'"):
        methods.from_dict({"kind": "os:getcwd"})


def test_older_files_are_read():
    maps = {**Method("saliency", center=True).to_dict()}
    maps["centre"] = maps.pop("center")
    assert methods.from_dict(maps) == Method("saliency", center=True)
    combined = Combined([("rsa", 1), ("cka", 2)]).to_dict()
    combined["standardise"] = combined.pop("standardize")
    assert methods.from_dict(combined) == Combined([("rsa", 1), ("cka", 2)])


def test_names():
    assert get_method("saliency") == Method("saliency")
    assert get_method("depara") == Combined.depara()
    assert get_method("recommended") is RECOMMENDED
    for method in (Method("elrp"), methods.RSA(), Combined.depara()):
        assert get_method(method) is method
    with pytest.raises(InvalidValueError, match="'recommended', 'saliency', .*'rsa', 'cka'"):
        get_method("cka2")
    with pytest.raises(InvalidTypeError, match="method=3"):
        get_method(3)


def test_combined():
    method = Combined([("saliency", 1), (methods.Ridge(penalty=0.1), 0.5)])
    assert method.terms == (
        (Method("saliency"), 1.0),
        (methods.Ridge(penalty=0.1), 0.5),
    )
    assert methods.from_dict(json.loads(json.dumps(method.to_dict()))) == method
    assert len({method, methods.from_dict(method.to_dict())}) == 1
    assert str(method) == "sum of standardized 1 * (saliency), 0.5 * (ridge, penalty=0.1)"


@pytest.mark.parametrize(
    ("error", "terms", "standardize"),
    [
        (InvalidTypeError, [], True),
        (InvalidTypeError, "rsa", True),
        (InvalidTypeError, ["rsa", "cka"], True),
        (InvalidTypeError, [("rsa", "much")], True),
        (InvalidTypeError, [("rsa", True)], True),
        (InvalidTypeError, [("depara", 1)], True),
        (InvalidTypeError, [("rsa", 1)], 1),
        (InvalidValueError, [("rsa", float("nan"))], True),
        (InvalidValueError, [("rsa", 1), (methods.RSA(), 2)], True),
        (InvalidValueError, [("unknown", 1)], True),
        (InvalidValueError, [("rsa", 1), ("cka", -1)], False),
        (InvalidValueError, [("rsa", 0)], False),
    ],
)
def test_wrong_combinations(error, terms, standardize):
    with pytest.raises(error):
        Combined(terms, standardize)


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


def test_what_a_file_says_is_checked():
    for values in (
        {"terms": [], "standardize": True, "more": 1},
        {"terms": [[{"kind": "rsa"}]], "standardize": True},
        {"kind": 5},
        {"kind": "antigravity"},
        {"attribution": {"options": {}}},
        {"attribution": {"class": "antigravity", "options": {}}},
    ):
        with pytest.raises((InvalidValueError, InvalidTypeError)):
            methods.from_dict(values)


def test_what_would_be_imported_is_told():
    assert methods.imports({"attribution": {"class": "antigravity", "options": {}}}) == [
        "antigravity"
    ]
    assert methods.imports({"kind": "antigravity"}) == ["antigravity"]
    for method in methods.list().values():
        assert methods.imports(method.to_dict()) == []


def test_integers_of_numpy_can_be_written_down():
    method = Method(pixels=np.int64(5), pixel_seed=np.int64(3))
    assert json.loads(json.dumps(method.to_dict()))["pixels"] == 5
    response = methods.PerturbationResponse(draws=np.int64(2), largest_grid=np.int64(4))
    assert methods.from_dict(json.loads(json.dumps(response.to_dict()))) == response


def test_options_of_ones_own_need_a_dataclass():
    class Shift(FeatureMethod):
        name = "shift"

        def __init__(self, by):
            self.by = by

        def summarize(self, observed):
            raise NotImplementedError

        def compare(self, targets, sources, groups, blocks):
            raise NotImplementedError

    with pytest.raises(InvalidTypeError, match=r"@dataclass\(frozen=True\)"):
        Shift(1)


def test_a_method_that_no_run_knows_is_refused():
    class Own(methods.ComparisonMethod):
        def to_dict(self):
            return {}

    with pytest.raises(InvalidTypeError, match="derived from pyattrx.FeatureMethod"):
        methods.get(Own())
