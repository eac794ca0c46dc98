"""Coupled differences of every law of counts, against sums over all values."""

from __future__ import annotations

import math

import numpy as np
import numpyro.distributions as dist
import pyro
import pyro.distributions as pdist
import pytest
import torch

import relaxppl.pyro as px
from relaxppl.estimators.counts import NegativeBinomial
from relaxppl.numpyro.elbo.counts import count_of

START = np.array([0.4, -0.6, 1.3, 0.2, -0.5])
"""The geometric's logits, the negative binomial's logits and total, the binomials' logits."""
ROWS = np.array([1.0, -0.5])
MOST = 60


def cost(g, m, n1, n2, row, sin):
    return sin(0.7 * g) + 0.4 * sin(m + row * g) + 0.3 * row * (n1 - 1.0) * (n2 + sin(m))


def exact() -> np.ndarray:
    """The gradient of -E[cost - log q] by central differences of the sum."""
    g, m = np.arange(MOST)[:, None, None, None], np.arange(MOST)[:, None, None]
    n1, n2 = np.arange(4)[:, None], np.arange(4)
    lgamma = np.vectorize(math.lgamma)

    def log(p):
        return np.log(p), np.log1p(-p)

    def bound(t: np.ndarray) -> float:
        (log_g, rest_g), (log_m, rest_m) = (log(1 / (1 + np.exp(-t[i]))) for i in (0, 1))
        log_q = log_g + g * rest_g + m * log_m + t[2] * rest_m
        log_q = log_q + lgamma(m + t[2]) - lgamma(m + 1.0) - math.lgamma(t[2])
        for n, logits in ((n1, t[3]), (n2, t[4])):
            binomial = np.array([math.comb(3, k) for k in range(4)])[n]
            log_q = log_q + np.log(binomial) + n * logits - 3 * np.log1p(np.exp(logits))
        values = sum(cost(g, m, n1, n2, row, np.sin) - log_q for row in ROWS)
        return -float((np.exp(log_q) * values).sum())

    return np.array([(bound(START + s) - bound(START - s)) / 2e-4 for s in 1e-4 * np.eye(5)])


def guide_of(host, laws, q):
    with host.plate("rows", 2):
        host.sample("g", laws.Geometric(logits=q[0]))
        host.sample("m", laws.NegativeBinomial(q[2], logits=q[1]))
        law = laws.Binomial(3, logits=q[3:])
        host.sample("n", law.expand((2, 2)).to_event(1))


def model_of(host, factor, sin, rows, unit):
    with host.plate("rows", 2):
        g, m = host.sample("g", unit), host.sample("m", unit)
        n = host.sample("n", unit.expand((2, 2)).to_event(1))
        factor("cost", cost(g, m, n[..., 0], n[..., 1], rows, sin))


def check(draws: np.ndarray) -> None:
    error = draws.std(0) / len(draws) ** 0.5
    assert np.all(np.abs(draws.mean(0) - exact()) < 4 * error)
    assert np.all(error < 0.1)


def test_numpyros_laws_have_their_parameters():
    """The differences are the other host's, below; test_numpyro_unbiased.py has one in full."""
    log_odds = math.log(0.3 / 0.7)
    for law, expected in (
        (dist.Poisson(1.7), [1.7]),
        (dist.Binomial(4, probs=0.3), [log_odds]),
        (dist.Binomial(4, logits=log_odds), [log_odds]),
        (dist.Geometric(probs=0.3), [-log_odds]),
        (dist.Geometric(logits=log_odds), [-log_odds]),
        (dist.NegativeBinomialProbs(2.5, 0.3), [log_odds]),
        (dist.NegativeBinomialLogits(2.5, log_odds), [log_odds]),
        (dist.GammaPoisson(2.5, 0.7 / 0.3), [log_odds]),
        (dist.NegativeBinomial2(2.5 * 0.3 / 0.7, 2.5), [log_odds]),
    ):
        count = count_of(law.expand((3,)).to_event(1))
        np.testing.assert_allclose(count.parameters, np.tile(expected, (3, 1)).T, rtol=1e-5)
        mean = float(law.mean)
        if isinstance(count, NegativeBinomial):
            np.testing.assert_allclose(count.total * np.exp(count.parameters[0]), mean, rtol=1e-5)


class PyroFlat(pdist.TorchDistribution):
    support = torch.distributions.constraints.nonnegative_integer
    arg_constraints = {}  # noqa: RUF012

    def __init__(self, shape=()):
        super().__init__(torch.Size(shape), validate_args=False)

    def expand(self, shape, _instance=None):
        return PyroFlat(shape)

    def log_prob(self, value):
        return torch.zeros(value.shape).double()


def test_mean_gradients_are_exact_on_pyro():
    count = 10_000
    pyro.clear_param_store()
    pyro.set_rng_seed(0)

    def model():
        with pyro.plate("draws", count, dim=-2):
            model_of(pyro, pyro.factor, torch.sin, torch.tensor(ROWS), PyroFlat())

    class Laws:
        Geometric, NegativeBinomial = pdist.Geometric, pdist.NegativeBinomial

        @staticmethod
        def Binomial(n, logits):
            return Wide(n, logits)

    class Wide:
        def __init__(self, n, logits):
            self.law = pdist.Binomial(n, logits=logits.permute(1, 2, 0))

        def expand(self, shape):
            return self.law.expand((count, *shape))

    def guide():
        q = pyro.param("q", lambda: torch.tensor(START).expand(count, 5).clone())
        with pyro.plate("draws", count, dim=-2):
            guide_of(pyro, Laws, q.T[..., None])

    px.Coupled_ELBO().loss_and_grads(model, guide)
    check(pyro.param("q").grad.numpy())


def test_what_is_no_count_is_refused_with_the_way_out():
    def guide():
        pyro.sample("z", pdist.Bernoulli(0.5))

    with pytest.raises(NotImplementedError, match=r"'z' .*Poisson, Binomial.*local_expectation"):
        px.Coupled_ELBO().loss(guide, guide)
    with pytest.raises(NotImplementedError, match=r"'z' .*Poisson, Binomial.*local_expectation"):
        px.Coupled_ELBO().loss_and_grads(guide, guide)


def test_how_many_evaluations_are_too_many():
    def program():
        pyro.sample("n", pdist.Poisson(pyro.param("rates", torch.ones(2))).to_event(1))

    px.Coupled_ELBO(max_evaluations=2).loss_and_grads(program, program)
    with pytest.raises(ValueError, match=r"'n'.* 2 evaluations.*max_evaluations=1"):
        px.Coupled_ELBO(max_evaluations=1).loss_and_grads(program, program)
    with pytest.raises(ValueError, match="max_evaluations must be at least 1, got 0"):
        px.Coupled_ELBO(max_evaluations=0)
