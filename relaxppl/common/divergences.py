"""Which relaxations have an exact KL divergence from each other, and when: once for both hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.shell import Shell
from relaxppl.moments import kl
from relaxppl.ops import Array
from relaxppl.relaxations.base import Relaxation
from relaxppl.relaxations.categorical import OneHotCategorical
from relaxppl.relaxations.conditional_bernoulli import ConditionalBernoulli
from relaxppl.relaxations.decoupled_straight_through import DecoupledStraightThroughGumbelSoftmax
from relaxppl.relaxations.generalized_gumbel_softmax import GeneralizedGumbelSoftmax
from relaxppl.relaxations.gumbel_rao import GumbelRaoBernoulli, GumbelRaoOneHotCategorical
from relaxppl.relaxations.invertible_gaussian import InvertibleGaussian
from relaxppl.relaxations.logistic_normal import LogisticNormalSoftmax
from relaxppl.relaxations.markov_chain import MarkovChain
from relaxppl.relaxations.rebar_relaxation import RebarRelaxation
from relaxppl.relaxations.reinmax import ReinMaxBernoulli, ReinMaxOneHotCategorical
from relaxppl.relaxations.relaxed_bernoulli import (
    LogitRelaxedBernoulli,
    RelaxedBernoulli,
    RelaxedBernoulliStraightThrough,
)
from relaxppl.relaxations.relaxed_one_hot import (
    ExpRelaxedOneHotCategorical,
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
)
from relaxppl.relaxations.straight_through_bernoulli import StraightThroughBernoulli
from relaxppl.relaxations.subset_straight_through import SubsetStraightThrough


@dataclass(frozen=True)
class Rule:
    """A divergence that any two of some relaxations have.

    :param relaxations: these.
    :param kl: from their laws to the divergence, which broadcasts to the batch.
    :param equal: the parameters that must be equal.
    :param refusal: from two laws to why there is none, or None where there is one.
    """

    relaxations: tuple[type[Relaxation], ...]
    kl: Callable[[Any, Any], Array]
    equal: tuple[str, ...] = ()
    refusal: Callable[[Any, Any], str | None] = lambda p, q: None

    def pairs(self, ours: ModuleType, theirs: tuple[type, ...]) -> Iterator[tuple[type, type]]:
        """Yields the pairs of a host's classes that the rule is for.

        :param ours: the module of this package's classes, named as their relaxations.
        :param theirs: the host's own classes of the same laws.
        """
        named = (getattr(ours, relaxation.__name__) for relaxation in self.relaxations)
        made = tuple(cls for cls in named if issubclass(cls, Shell))
        yield from product(made + theirs, repeat=2)

    def between(
        self, p: Any, q: Any, same: Callable[[Any, Any], bool], array: Callable[[Any], Array]
    ) -> Array:
        """Returns the divergence of a distribution from another, (*batch).

        :param same: whether two parameters are known to be equal.
        :param array: from a parameter of one of the host's own classes to an array.
        :raises NotImplementedError: where the rule does not hold.
        """
        laws = [self._law(d, array) for d in (p, q)]
        reason = self.refusal(*laws)
        if reason is not None:
            raise NotImplementedError(reason)
        for name in self.equal:
            if not same(getattr(p, name), getattr(q, name)):
                raise NotImplementedError(
                    f"KL({type(p).__name__} | {type(q).__name__}) is exact at equal {name}s only: "
                    f"build both from one {name}, or let the ELBO sample"
                )
        shape = np.broadcast_shapes(tuple(p.batch_shape), tuple(q.batch_shape))
        return ops.broadcast_to(self.kl(*laws), shape)

    def _law(self, d: Any, array: Callable[[Any], Array]) -> Relaxation:
        return d.law if isinstance(d, Shell) else self.relaxations[0](logits=array(d.logits))


def _logistic_normal(p: Any, q: Any) -> Array:
    if "scale" in vars(p) and "scale" in vars(q):
        return kl.logistic_normal(p.loc, p.scale, q.loc, q.scale)
    return kl.logistic_normal_of_covariances(p.loc, p.covariance_matrix, q.loc, q.covariance_matrix)


def _invertible_gaussian(p: Any, q: Any) -> Array:
    given = ((d.loc, d.scale, d.temperature, d.delta) for d in (p, q))
    return kl.invertible_gaussian(*next(given), *next(given))


def _one_hot(p: Any, q: Any) -> Array:
    return kl.one_hot_categorical(p.log_probs, q.log_probs)


def _relaxed_bernoulli(p: Any, q: Any) -> Array:
    return kl.relaxed_bernoulli(p.location, q.location)


def _concrete(p: Any, q: Any) -> Array:
    return kl.concrete(p.logits, q.logits)


def _chains(p: Any, q: Any) -> Array:
    return p.expected(p.log_first - q.log_first, p.log_moves - q.log_moves)


def _other_shape(p: Any, q: Any) -> str | None:
    if p.event_shape == q.event_shape:
        return None
    return f"KL of two chains whose paths are of shapes {p.event_shape} and {q.event_shape}"


def _subsets(p: Any, q: Any) -> Array:
    moved = ops.sum(p.inclusion_probs * (p.logits - q.logits), axis=-1)
    return moved - p.log_normalizer + q.log_normalizer


def _other_subsets(p: Any, q: Any) -> str | None:
    of_p, of_q = (p.k, p.size), (q.k, q.size)
    return None if of_p == of_q else f"KL of subsets of (k, n) = {of_p} and {of_q}"


def _not_numbers(p: Any, q: Any) -> str | None:
    if not (p.discrete and q.discrete):
        return "KL of two soft numbers: they have no tractable density; their weights have"
    return (
        None
        if _differ(p.values)
        else ("KL of numbers whose values repeat is not that of their classes")
    )


def _differ(values: Array) -> bool:
    known = ops.known(values)
    return known is not None and bool(np.all(np.diff(np.sort(known, axis=-1), axis=-1) > 0))


BERNOULLI = Rule(
    (
        StraightThroughBernoulli,
        RelaxedBernoulliStraightThrough,
        ReinMaxBernoulli,
        GumbelRaoBernoulli,
    ),
    lambda p, q: kl.bernoulli(p.logits, q.logits),
)
ONE_HOT = Rule(
    (
        OneHotCategorical,
        RelaxedOneHotCategoricalStraightThrough,
        DecoupledStraightThroughGumbelSoftmax,
        ReinMaxOneHotCategorical,
        GumbelRaoOneHotCategorical,
    ),
    _one_hot,
)
RELAXED_BERNOULLI = Rule((RelaxedBernoulli, RebarRelaxation), _relaxed_bernoulli, ("temperature",))
LOGIT_RELAXED_BERNOULLI = Rule((LogitRelaxedBernoulli,), _relaxed_bernoulli, ("temperature",))
CONCRETE = Rule((RelaxedOneHotCategorical,), _concrete, ("temperature",))
EXP_CONCRETE = Rule((ExpRelaxedOneHotCategorical,), _concrete, ("temperature",))
RULES = (
    BERNOULLI,
    ONE_HOT,
    RELAXED_BERNOULLI,
    LOGIT_RELAXED_BERNOULLI,
    CONCRETE,
    EXP_CONCRETE,
    Rule((InvertibleGaussian,), _invertible_gaussian),
    Rule((LogisticNormalSoftmax,), _logistic_normal),
    Rule((ConditionalBernoulli, SubsetStraightThrough), _subsets, refusal=_other_subsets),
    Rule((MarkovChain,), _chains, refusal=_other_shape),
    Rule((GeneralizedGumbelSoftmax,), _one_hot, ("values",), _not_numbers),
)
