"""Names that are short for methods, and methods from what was written down of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods.adversarial_response import AdversarialResponse
from pyattrx.methods.attribution import InputAttribution
from pyattrx.methods.base import ComparisonMethod, imported
from pyattrx.methods.cka import CKA
from pyattrx.methods.combined import Combined
from pyattrx.methods.dds import DDS
from pyattrx.methods.edges import Edges
from pyattrx.methods.feature_method import FeatureMethod
from pyattrx.methods.inner import INNER
from pyattrx.methods.map_method import ATTRIBUTIONS, Method, resolve_attribution
from pyattrx.methods.normalized_ridge import NormalizedRidge
from pyattrx.methods.perturbation_response import PerturbationResponse
from pyattrx.methods.ridge import Ridge
from pyattrx.methods.rsa import RSA
from pyattrx.methods.scalars import SCALARS
from pyattrx.methods.svcca import SVCCA

__all__ = [
    "FEATURE_METHODS",
    "RECOMMENDED",
    "from_dict",
    "get",
    "imports",
    "list_methods",
    "summary",
]

#: Classes of the methods that compare features, by name.
FEATURE_METHODS: dict[str, type[FeatureMethod]] = {
    kind.name: kind
    for kind in (
        RSA,
        CKA,
        DDS,
        Edges,
        SVCCA,
        Ridge,
        NormalizedRidge,
        PerturbationResponse,
        AdversarialResponse,
    )
}
#: The method behind "recommended".
#: Chosen where transfers were measured (docs/transfer.md), its penalty on published networks
#: (docs/evidence-details.md).
RECOMMENDED = NormalizedRidge(penalty=1.0)


def list_methods() -> dict[str, ComparisonMethod]:
    """List the methods that have a name.

    Returns
    -------
    dict of str to ComparisonMethod
        "recommended" first.

    Examples
    --------
    >>> import pyattrx
    >>> sorted(n for n, one in pyattrx.methods.list().items() if not one.symmetric)
    ['adversarial_response', 'normalized_ridge', 'perturbation_response', 'recommended', 'ridge']
    """
    maps = {name: Method(name) for name in ATTRIBUTIONS}
    features = {name: kind() for name, kind in FEATURE_METHODS.items()}
    return {
        "recommended": RECOMMENDED,
        **maps,
        **features,
        "depara": Combined.depara(maps["grad_x_input"]),
    }


def summary(name: str) -> str:
    """Say in a line what a method compares.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.summary("cka")
    'linear centered kernel alignment: the cosine of both centered Gram matrices of the outputs'
    """
    if name in INNER:
        return INNER[name]
    method = get(name)
    described: Any = method
    if isinstance(method, Method):
        described = resolve_attribution(method.attribution)
    text = Combined.depara.__doc__ if name == "depara" else type(described).__doc__
    first = " ".join((text or "").split("\n\n", maxsplit=1)[0].split()).rstrip(".")
    return first[:1].lower() + first[1:] if first[1:2].islower() else first


def get(method: Any, argument: str = "method") -> ComparisonMethod:
    """Turn a name into a method; methods are themselves.

    Parameters
    ----------
    method : str, ComparisonMethod or InputAttribution
        A name in `list_methods`, ``module:name`` of a method of your own, or a method. An
        attribution is the `Method` of it.
    argument : str
        What errors call it.

    Raises
    ------
    InvalidValueError
        No method has this name.
    InvalidTypeError
        Neither a name nor a method.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.get("ridge")
    Ridge(penalty=0.01)
    """
    if isinstance(method, ComparisonMethod):
        for part in method.parts:
            if not isinstance(part, (Method, FeatureMethod)):
                expected = "a pyattrx.Method, or derived from pyattrx.FeatureMethod"
                raise InvalidTypeError(argument, part, expected)
        return method
    if isinstance(method, InputAttribution):
        return Method(method)
    if not isinstance(method, str):
        what = " (an instance, not the class)" if _is_kind(method) else ""
        raise InvalidTypeError(argument, method, f"a name, or a method of pyattrx.methods{what}")
    if ":" in method:
        return _of_the_user(method, argument)
    known = list_methods()
    if method not in known:
        names = ", ".join(map(repr, known))
        raise InvalidValueError(argument, method, f"one of {names}, or a method of pyattrx.methods")
    return known[method]


def _of_the_user(reference: str, argument: str) -> ComparisonMethod:
    """A method, or a kind of methods whose options all have values of their own."""
    found = imported(argument, reference)
    if _is_kind(found):
        try:
            found = found()
        except TypeError as error:
            raise InvalidValueError(
                argument, reference, f"a method without options ({error})"
            ) from error
    if not isinstance(found, ComparisonMethod):
        raise InvalidValueError(argument, reference, "a method, such as a FeatureMethod")
    return get(found, argument)


def _is_kind(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, ComparisonMethod)


def from_dict(values: dict[str, Any]) -> ComparisonMethod:
    """Make a method of what `to_dict` returned; imports what a method of one's own refers to.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Unknown or missing fields, wrong values, or a reference that cannot be imported.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.from_dict({"kind": "ridge", "penalty": 0.1})
    Ridge(penalty=0.1)
    """
    if not isinstance(values, dict):
        raise InvalidTypeError("values", values, "what to_dict() of a method returned")
    if "terms" in values:
        return _combined(values)
    if "kind" not in values:
        return Method.from_dict(values)
    name, options = values["kind"], {k: v for k, v in values.items() if k != "kind"}
    if not isinstance(name, str) or (name not in FEATURE_METHODS and ":" not in name):
        raise InvalidValueError("kind", name, f"one of {', '.join(map(repr, FEATURE_METHODS))}")
    kind: Any = FEATURE_METHODS.get(name) or imported("kind", name)
    # Nothing else is ever called on behalf of a file.
    if not (_is_kind(kind) and issubclass(kind, FeatureMethod)):
        raise InvalidValueError("kind", name, "a class derived from pyattrx.FeatureMethod")
    unknown = set(options) - {field.name for field in fields(kind)}
    if unknown:
        raise InvalidValueError("values", sorted(unknown), f"options of {name!r}")
    made: ComparisonMethod = kind(**options)
    return made


def _combined(values: dict[str, Any]) -> Combined:
    # "standardise" as older files have it.
    if set(values) not in ({"terms", "standardize"}, {"terms", "standardise"}):
        raise InvalidValueError("values", sorted(values), "the fields of Combined.to_dict()")
    terms = values["terms"]
    if not isinstance(terms, list) or any(len(term) != 2 for term in terms):
        raise InvalidValueError("terms", terms, "a list of pairs of a method and a weight")
    standardize = values["standardize" if "standardize" in values else "standardise"]
    return Combined(tuple((from_dict(one), weight) for one, weight in terms), standardize)


def imports(values: dict[str, Any]) -> list[str]:
    """List what `from_dict` would import that is not part of this package.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.imports({"kind": "my_package.near:MeanGap"})
    ['my_package.near:MeanGap']
    """
    if "terms" in values:
        return [name for one, _ in values["terms"] for name in imports(one)]
    kind, attribution, scalar = (values.get(key) for key in ("kind", "attribution", "scalar"))
    references = []
    if kind is not None and kind not in FEATURE_METHODS:
        references.append(kind)
    if isinstance(attribution, dict) and attribution.get("class") not in ATTRIBUTIONS:
        references.append(attribution.get("class"))
    if isinstance(scalar, str) and scalar not in SCALARS:
        references.append(scalar)
    return [str(one) for one in references]
