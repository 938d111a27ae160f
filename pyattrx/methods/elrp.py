"""Epsilon-LRP in its gradient form, for any architecture.

Ancona et al. (*Towards better understanding of gradient-based attribution methods for deep neural
networks*, ICLR 2018, proposition 1) show that epsilon-LRP is gradient x input in which every
element-wise nonlinearity f has f(u) / u in the place of its derivative. The division is kept from
zero as in their software: f(u) / (u + eps * sign(u)), with sign(0) = +1.

Activations are caught as function calls and not as modules, so that functional code, nested
libraries and exported programs are treated alike. Softmax, normalisation, pooling and products
keep their own derivative, and so do activations inside one fused operator, as in LSTM and GRU. An
activation spelled out as arithmetic, such as ``x * torch.sigmoid(x)``, is treated as written: the
rule is applied to the sigmoid.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx._checks import number
from pyattrx._modes import Arguments, Function, FunctionMode, Named
from pyattrx.errors import EncoderError
from pyattrx.methods.attribution import InputAttribution

__all__ = ["ELRP"]


class ELRP(InputAttribution):
    """Epsilon layer-wise relevance propagation (Bach et al. 2015), gradient form.

    Parameters
    ----------
    eps : float
        The stabiliser; positive. 1e-4, as in the published experiments.

    Raises
    ------
    InvalidValueError
        `eps` is not positive.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.ELRP().name
    'elrp'
    """

    name = "elrp"
    combine = "grad_x_input"

    def __init__(self, eps: float = 1e-4) -> None:
        self.eps = number("eps", eps, above=0)

    def check(self, module: nn.Module) -> None:
        """Refuse TorchScript, whose activations cannot be caught."""
        for name, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                raise EncoderError(
                    f"e-LRP cannot see the activations inside TorchScript (module {name!r}); "
                    "use the network's Python module, or an exported program"
                )

    def rules(self) -> AbstractContextManager[object]:
        """Return the context in which activations follow the epsilon rule."""
        return _EpsilonRule(self.eps)

    def check_rules(self, rules: object, *values: Tensor) -> None:
        """Refuse a network with an activation that cannot be caught."""
        if isinstance(rules, _EpsilonRule) and not rules.fused:
            for value in values:
                _check_all_seen(value)


class _Activation(torch.autograd.Function):
    """f(u) forward, grad * f(u) / (u + eps * sign(u)) backward."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, eps: float, f: Callable[[Tensor], Tensor]) -> Tensor:
        value = f(u)
        ratio = value / torch.where(u >= 0, u + eps, u - eps)
        ctx.save_for_backward(ratio)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (ratio,) = ctx.saved_tensors
        return grads[0] * ratio, None, None


# Derivatives that are left where the rule did not see an activation. Fused operators keep theirs.
_OWN_DERIVATIVE = re.compile(
    r"(Celu|Elu|Gelu|Hardshrink|Hardsigmoid|Hardswish|Hardtanh|LeakyRelu|LogSigmoid|Mish|"
    r"PreluKernel|Relu|RreluWithNoise|Sigmoid|Silu|Softplus|Softshrink|Tanh|Threshold)Backward\d+"
)
_FUSED = re.compile(r"(lstm|gru|rnn_tanh|rnn_relu)(_cell)?")


def _check_all_seen(value: Tensor) -> None:
    """Refuse an answer in which an activation kept its own derivative.

    A function mode belongs to one thread, and sees neither what functorch has wrapped nor what
    compiled code calls.
    """
    seen: set[Any] = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if _OWN_DERIVATIVE.fullmatch(node.name()):
            raise EncoderError(
                f"e-LRP cannot see an activation of the network ({node.name()}): it is computed in "
                "another thread, under torch.func, or in compiled code; compute it in the forward "
                "method itself, or use another attribution"
            )
        waiting += [before for before, _ in node.next_functions]


class _Rule(NamedTuple):
    plain: Callable[..., Tensor]  # out of place
    in_place: bool


class _EpsilonRule(FunctionMode):
    """Runs every element-wise activation as `_Activation`."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self._rules = _rules()
        self.fused = False  # whether an operator with activations of its own was called

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        rule = self._rules.get(function)
        u = arguments[0] if arguments else named.get("input", named.get("self"))
        if rule is None and _FUSED.fullmatch(getattr(function, "__name__", "")):
            self.fused = True
        if rule is None or not isinstance(u, Tensor) or not u.requires_grad or "out" in named:
            return function(*arguments, **named)
        options = {k: v for k, v in named.items() if k not in ("input", "self", "inplace")}

        def activation(v: Tensor) -> Tensor:
            return rule.plain(v, *arguments[1:], **options)

        apply: Callable[..., Tensor] = _Activation.apply
        if not (rule.in_place or named.get("inplace", False)):
            return apply(u, self.eps, activation)
        # The caller may go on using `u` itself, which must then hold the activation.
        return u.copy_(apply(u.clone(), self.eps, activation))


# Element-wise nonlinearities, by the name that torch, torch.Tensor, torch.nn.functional and the
# operators of exported programs share.
_ACTIVATIONS = (
    "celu",
    "elu",
    "gelu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
)
_HOLDERS = (F, torch, torch.Tensor, torch._C._nn)


@functools.cache
def _rules() -> dict[Callable[..., Any], _Rule]:
    rules: dict[Callable[..., Any], _Rule] = {}
    for name in _ACTIVATIONS:
        found = [getattr(holder, name) for holder in _HOLDERS if hasattr(holder, name)]
        for function in found:
            rules[function] = _Rule(function, in_place=False)
        for holder in _HOLDERS:
            if hasattr(holder, name + "_"):
                rules[getattr(holder, name + "_")] = _Rule(found[0], in_place=True)
        if hasattr(torch.ops.aten, name):
            operator = getattr(torch.ops.aten, name).default
            rules[operator] = _Rule(operator, in_place=False)
            if hasattr(torch.ops.aten, name + "_"):
                rules[getattr(torch.ops.aten, name + "_").default] = _Rule(operator, in_place=True)
    rules[torch.special.expit] = _Rule(torch.sigmoid, in_place=False)
    return rules
