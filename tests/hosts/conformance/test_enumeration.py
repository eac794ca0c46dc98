"""Laws of finitely many values list them in the shapes that the hosts enumerate with."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as pdist
import pytest
from scipy import special, stats

from tests.adapter import HOSTS, Host
from tests.hosts.conformance.rows import ROWS, each, over
from tests.relaxations.case import Case, elements

DISCRETE = [case for case in ROWS if case.discrete]
OTHERS = [case for case in ROWS if not case.discrete]


def listed(case: Case) -> np.ndarray:
    """The values of every element, (cardinality, *batch, *event)."""
    rows = [law.values for _, law in elements(case)]
    whole = np.stack(rows, 1)
    return whole.reshape(len(rows[0]), *case.batch_shape, *case.event_shape)


@over(DISCRETE)
def test_values_expanded_and_not(host: Host, case: Case):
    dist, values = host.make(case.name, case.params), listed(case)
    count, batch = len(values), case.batch_shape
    differ = not np.allclose(values, values[:, :1])
    for made, leading in ((dist, ()), (dist.expand((2, *batch)), (2,)), (dist.mask(False), ())):
        assert made.has_enumerate_support
        expanded = host.numpy(made.enumerate_support())
        wide = np.broadcast_to(
            values.reshape(count, *(1 for _ in leading), *values.shape[1:]),
            (count, *leading, *batch, *case.event_shape),
        )
        # In the order of the reference, which is the one of the hosts' own classes.
        order = np.lexsort(wide.reshape(count, -1).T), np.lexsort(expanded.reshape(count, -1).T)
        np.testing.assert_allclose(expanded[order[1]], wide[order[0]], rtol=1e-12)
        narrow = host.numpy(made.enumerate_support(expand=False))
        ones = tuple(1 for _ in leading + batch)
        # Values that are made of parameters differ within the batch, and cannot be left narrow.
        assert narrow.shape == (
            count,
            *(ones if not differ else narrow.shape[1 : 1 + len(ones)]),
            *case.event_shape,
        )
        np.testing.assert_array_equal(np.broadcast_to(narrow, expanded.shape), expanded)


@over(DISCRETE)
def test_masses_sum_to_one_and_are_the_laws(host: Host, case: Case):
    dist = host.make(case.name, case.params).expand((2, *case.batch_shape))
    for wide in (True, False):
        support = dist.enumerate_support(expand=wide)
        mass = np.exp(host.numpy(host.compiled(lambda d, x: d.log_prob(x))(dist, support)))
        assert mass.shape == (len(listed(case)), 2, *case.batch_shape)
        np.testing.assert_allclose(mass.sum(0), 1.0, atol=1e-12)
        for index, law in elements(case):
            np.testing.assert_allclose(
                np.sort(mass[(slice(None), 0, *index)]), np.sort(law.probs), rtol=1e-9
            )


@over(OTHERS)
def test_other_laws_say_that_they_cannot(host: Host, case: Case):
    dist = host.make(case.name, case.params, validate=False)
    for made in (dist, dist.expand((2, *case.batch_shape)), dist.to_event(1)):
        assert not made.has_enumerate_support
    with pytest.raises(NotImplementedError, match="enumerate"):
        dist.enumerate_support()


@each(DISCRETE)
def test_a_site_that_pyro_sums_out(case: Case):
    host = HOSTS["pyro"]
    observed = np.linspace(-0.5, 1.0, case.batch_shape[0])

    def total(z):
        loc = z @ host.array(np.arange(1.0, 1 + z.shape[-1])) if case.event_shape else z
        return loc.sum(-1) if len(case.event_shape) == 2 else loc

    def model():
        with pyro.plate("rows", len(observed)):
            z = pyro.sample("z", host.make(case.name, case.params), infer={"enumerate": "parallel"})
            pyro.sample("x", pdist.Normal(total(z.double()), 1.0), obs=host.array(observed))

    wanted = 0.0
    for (index,), law in elements(case):
        terms = np.log(law.probs) + stats.norm.logpdf(
            observed[index], total(host.array(law.values)), 1.0
        )
        wanted -= special.logsumexp(terms)
    loss = pyro.infer.TraceEnum_ELBO(max_plate_nesting=1).loss(model, lambda: None)
    assert loss == pytest.approx(wanted, rel=1e-9)
