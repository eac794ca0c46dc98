"""The exact KL rules, in torch's own registry: TraceMeanField_ELBO finds them there."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributions as host
from torch.distributions import kl_divergence, register_kl
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from relaxppl.common.divergences import (
    BERNOULLI,
    EXP_CONCRETE,
    LOGIT_RELAXED_BERNOULLI,
    ONE_HOT,
    RULES,
    Rule,
)
from relaxppl.pyro import distributions as ours

__all__ = ["kl_divergence", "same"]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Returns whether two parameters are known to be equal, also as functions of what is learned.

    A tensor that carries a gradient is only equal to itself (or to an expansion of itself): were a
    learned temperature taken for equal to a fixed one of the same value, its gradient would be
    lost. Under ``torch.func.vmap`` values are not known either.

    :param a: a tensor.
    :param b: a tensor of a shape that broadcasts with the first.
    """
    if a is b:
        return True
    if a.requires_grad or b.requires_grad:
        source_a = a if a._base is None else a._base
        source_b = b if b._base is None else b._base
        return source_a is source_b and (source_a.numel() == 1 or _geometry(a) == _geometry(b))
    try:
        return bool((a == b).all())
    except RuntimeError:
        return False


def _geometry(a: torch.Tensor) -> tuple[Any, ...]:
    return a.storage_offset(), a.shape, a.stride()


def _register(rule: Rule, p: type, q: type) -> None:
    register_kl(p, q)(lambda p, q: rule.between(p, q, same, lambda x: x))


_THEIRS = {BERNOULLI: (host.Bernoulli,), ONE_HOT: (host.OneHotCategorical,)}
for _rule in RULES:
    for _pair in _rule.pairs(ours, _THEIRS.get(_rule, ())):
        # The host has its own rule for two of its own discrete laws.
        if not {*_pair} <= {*_THEIRS.get(_rule, ())}:
            _register(_rule, *_pair)
# The host's relaxed classes are transformations of these, through which its registry sees.
_register(LOGIT_RELAXED_BERNOULLI, LogitRelaxedBernoulli, LogitRelaxedBernoulli)
_register(EXP_CONCRETE, ExpRelaxedCategorical, ExpRelaxedCategorical)
