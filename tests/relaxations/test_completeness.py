"""No relaxation is missing on a host or in the table of cases."""

from __future__ import annotations

import inspect

import pytest

import relaxppl.numpyro.shell
import relaxppl.pyro.shell
from relaxppl.common.shell import Shell
from tests.adapter import HOSTS, Host
from tests.relaxations.cases import CASES, name_of

SHELLS = {"numpyro": relaxppl.numpyro.shell, "pyro": relaxppl.pyro.shell}
TABLE = {case.name for case in CASES}

# What the catalogue promises; a name may join this list, none may leave it.
CATALOGUE = {
    "RelaxedBernoulli",
    "LogitRelaxedBernoulli",
    "RelaxedBernoulliStraightThrough",
    "StraightThroughBernoulli",
    "RebarRelaxation",
    "RelaxedOneHotCategorical",
    "ExpRelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "DecoupledStraightThroughGumbelSoftmax",
    "OneHotCategorical",
    "GaussianRelaxedBernoulli",
    "HardConcrete",
    "CorrelatedRelaxedBernoulli",
    "StochasticTimesSmooth",
    "InvertibleGaussian",
    "LogisticNormalSoftmax",
    "GumbelSoftmaxTopK",
    "GeneralizedGumbelSoftmax",
    "ConditionalBernoulli",
    "SubsetStraightThrough",
    "PlackettLuce",
    "GumbelSinkhorn",
    "MarkovChain",
    "RelaxedMarkovChain",
    "ReinMaxBernoulli",
    "ReinMaxOneHotCategorical",
    "GumbelRaoBernoulli",
    "GumbelRaoOneHotCategorical",
}


def public_relaxations(host: Host) -> set[str]:
    """The distributions that a host's module exports."""
    base = SHELLS[host.name].RelaxedDistribution
    found = {"OneHotCategorical"} & set(host.rx.__all__)
    for name in host.rx.__all__:
        value = getattr(host.rx, name)
        if inspect.isclass(value) and issubclass(value, base):
            found.add(name)
    return found


@pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
def test_every_relaxation_of_a_host_is_in_the_table_and_the_other_way_round(host: Host):
    assert public_relaxations(host) == TABLE


def test_the_table_has_the_catalogue():
    assert TABLE >= CATALOGUE


@pytest.mark.parametrize("name", sorted(TABLE))
def test_hosts_take_the_same_arguments(name: str):
    ours = getattr(HOSTS["numpyro"].rx, name)
    theirs = getattr(HOSTS["pyro"].rx, name)
    signatures = [inspect.signature(c.__init__).parameters for c in (ours, theirs)]
    assert set(signatures[0]) == set(signatures[1])
    if theirs.__module__.startswith("relaxppl"):
        assert list(signatures[0]) == list(signatures[1])
        assert [p.default for p in signatures[0].values()] == [
            p.default for p in signatures[1].values()
        ]


@pytest.mark.parametrize("name", sorted(TABLE))
@pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
def test_every_array_parameter_is_exercised_by_a_case(host: Host, name: str):
    constrained = set(getattr(host.rx, name).arg_constraints)
    given = {n for case in CASES if case.name == name for n in case.arrays}
    assert constrained == given


@pytest.mark.parametrize("name", sorted(TABLE))
def test_docstrings_say_the_formula_and_the_hosts_share_them(name: str):
    classes = [getattr(host.rx, name) for host in HOSTS.values()]
    docs = [inspect.getdoc(c) or "" for c in classes if c.__module__.startswith("relaxppl")]
    assert all(len(doc) > 60 for doc in docs)
    assert len(set(docs)) == 1


@pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
def test_laws_say_whether_samples_have_a_gradient(host: Host):
    mine = [case for case in CASES if issubclass(getattr(host.rx, case.name), Shell)]
    wrong = [c for c in mine if host.make(c.name, c.params).has_rsample != c.reparameterized]
    assert not wrong
