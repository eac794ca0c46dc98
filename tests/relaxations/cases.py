"""One reference case, or a few, for every relaxation: the table that all bars run over.

Adding a relaxation means adding its rows here: its parameters, its law in NumPy, what it gives and
what it refuses. The first row of a class is the one that slow tests (inside a model) use.
"""

from __future__ import annotations

from typing import Any

from tests.adapter import HOSTS, Host
from tests.relaxations import references as ref
from tests.relaxations import surrogates
from tests.relaxations.case import Case
from tests.relaxations.chain_rows import chains
from tests.relaxations.facts import ALL, DISCRETE, binary, vector, without_temperature
from tests.relaxations.gate_rows import gaussian_gate, hard_concrete
from tests.relaxations.gaussian_rows import correlated, invertible_gaussian, logistic_normal
from tests.relaxations.gumbel_rows import averaged, decoupled, generalized, top_k
from tests.relaxations.subset_rows import matchings, orderings, subsets

CASES: list[Case] = [
    *binary("RelaxedBernoulli", ref.binary_concrete, gives=ALL),
    *binary("LogitRelaxedBernoulli", ref.logit_binary_concrete, gives=ALL),
    *binary(
        "RelaxedBernoulliStraightThrough",
        ref.bernoulli,
        gives=ALL,
        surrogate=surrogates.binary_concrete,
    ),
    *without_temperature(
        binary(
            "StraightThroughBernoulli",
            ref.bernoulli,
            gives=ALL,
            surrogate=surrogates.probability,
        )
    ),
    *vector("RelaxedOneHotCategorical", ref.concrete),
    *vector("ExpRelaxedOneHotCategorical", ref.log_concrete, gives=frozenset()),
    *vector(
        "RelaxedOneHotCategoricalStraightThrough",
        ref.one_hot,
        gives=DISCRETE,
        surrogate=surrogates.concrete,
    ),
    *without_temperature(
        vector("OneHotCategorical", ref.one_hot, gives=DISCRETE, reparameterized=False)
    ),
    *binary("RebarRelaxation", ref.rebar, gives=ALL),
    *decoupled(),
    *averaged(),
    *gaussian_gate(),
    *hard_concrete(),
    *correlated(),
    *without_temperature(
        binary(
            "StochasticTimesSmooth",
            ref.stochastic_times_smooth,
            gives=ALL,
        )
    ),
    *invertible_gaussian(),
    *logistic_normal(),
    *top_k(),
    *generalized(),
    *chains(),
    *subsets(),
    *orderings(),
    *matchings(),
]


ONE_OF_EACH_KIND = frozenset(
    {
        "RelaxedBernoulli",
        "StraightThroughBernoulli",
        "HardConcrete",
        "RelaxedOneHotCategorical",
        "LogisticNormalSoftmax",
        "GumbelSoftmaxTopK",
        "GumbelSinkhorn",
        "RelaxedMarkovChain",
        "SubsetStraightThrough",
        "FiniteCount",
    }
)
"""A bit, hard bits, a gate, points of a simplex by two laws, flags, a matrix, steps in time, a
recursion and a law of the host. Where a test compiles a program for each class, `make test` runs it
on NumPyro for these alone: all classes have there what they have on Pyro, to ten digits, by
``test_hosts_agree_with_the_same_noise``.
"""


def both(cases: list[Case]) -> list[tuple[Host, Case]]:
    """Every case on every host."""
    return [(host, case) for case in cases for host in HOSTS.values()]


def name_of(value: Any) -> str:
    """The identifier of a parameter of a test."""
    return value.name if isinstance(value, Host) else str(value)


def first_of_each(cases: list[Case]) -> list[Case]:
    """The first case of every class."""
    return list({case.name: case for case in reversed(cases)}.values())[::-1]
