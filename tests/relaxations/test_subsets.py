"""k of n against every subset, at sizes where there are too many, and inside the estimators."""

from __future__ import annotations

import jax
import numpy as np
import numpyro
import pyro
import pytest
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.adapter import HOSTS, Host
from tests.relaxations.cases import name_of
from tests.relaxations.subset_rows import k_of_n

ALL_HOSTS = pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
RNG = np.random.default_rng(3)
N = 6
LOGITS, OTHER = RNG.normal(size=(2, N)), RNG.normal(size=(2, N))


@ALL_HOSTS
@pytest.mark.parametrize("k", [1, 3, N])
def test_members_are_sums_over_all_subsets(host: Host, k: int):
    p, q = (host.make("ConditionalBernoulli", {"k": k, "logits": rows}) for rows in (LOGITS, OTHER))
    laws = [[k_of_n(k, logits=row) for row in rows] for rows in (LOGITS, OTHER)]
    values = laws[0][0].values

    def members(p, q, values):
        return {
            "log_prob": p.log_prob(values),
            "mean": p.mean,
            "covariance": p.covariance,
            "entropy": p.entropy(),
            "kl": host.rx.kl_divergence(p, q),
        }

    given = p, q, host.array(values[:, None])
    found = {n: host.numpy(x) for n, x in host.compiled(members)(*given).items()}
    for i, (law, other) in enumerate(zip(*laws, strict=True)):
        mean, log_p = law.probs @ values, np.log(law.probs)
        wanted = {
            "mean": mean,
            "covariance": np.einsum("n,ni,nj->ij", law.probs, values - mean, values - mean),
            "entropy": -law.probs @ log_p,
            "kl": law.probs @ (log_p - np.log(other.probs)),
        }
        np.testing.assert_allclose(found["log_prob"][:, i], log_p, rtol=0, atol=1e-12)
        for what, right in wanted.items():
            np.testing.assert_allclose(found[what][i], right, rtol=0, atol=1e-12, err_msg=what)


@ALL_HOSTS
def test_a_divergence_of_other_sizes_is_refused(host: Host):
    p, q = (host.make("ConditionalBernoulli", {"k": k, "logits": LOGITS}) for k in (2, 3))
    with pytest.raises(NotImplementedError, match=r"\(2, 6\) and \(3, 6\)"):
        host.rx.kl_divergence(p, q)


def test_ten_thousand_items_in_float32_of_numpyro():
    logits = (3 * np.random.default_rng(0).normal(size=10_000)).astype("float32")

    def run(logits, key):
        d = rn.SubsetStraightThrough(100, logits=logits)
        x = d.sample(key)
        return (x * np.arange(10_000.0)).sum(), (x.sum(), d.log_prob(x), d.mean.sum(), d.entropy())

    keys = jax.random.key(0)
    (_, found), slope = jax.jit(jax.value_and_grad(run, has_aux=True))(logits, keys)
    total, log_prob, mean, entropy = map(float, found)
    assert total == 100
    assert np.isfinite([log_prob, entropy]).all()
    assert mean == pytest.approx(100, abs=0.01)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ten_thousand_items_of_pyro(dtype: torch.dtype):
    logits = torch.tensor(3 * np.random.default_rng(0).normal(size=10_000), dtype=dtype)
    logits.requires_grad_()
    d = rp.SubsetStraightThrough(100, logits=logits)
    x = d.rsample()
    log_prob, mean, entropy = d.log_prob(x.detach()), d.mean, d.entropy()
    (log_prob + entropy + x @ torch.arange(10_000.0, dtype=dtype)).backward()
    assert x.dtype == mean.dtype == dtype
    assert x.detach().sum() == 100
    assert float(mean.detach().sum()) == pytest.approx(100, abs=0.01)
    # In float64, item by item.
    assert float(entropy.detach()) == pytest.approx(302.7189, abs=0.01)
    assert torch.isfinite(log_prob)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("k", [5, 20])
def test_blocks_of_items_are_products_of_polynomials(k: int):
    logits = np.random.default_rng(5).normal(size=150)

    def sums(logits):
        found = np.eye(1, k + 1)[0]
        for weight in np.exp(logits):
            found = np.convolve(found, [1.0, weight])[: k + 1]
        return found

    others = np.array([sums(np.delete(logits, i))[k - 1] for i in range(150)])
    every = sums(logits)[k]
    d = rp.ConditionalBernoulli(k, logits=torch.tensor(logits).expand(2, 150))
    np.testing.assert_allclose(d.mean[1], others * np.exp(logits) / every, rtol=1e-10)
    top = torch.tensor(np.eye(150)[:k].sum(0))
    right = logits[:k].sum() - np.log(every)
    np.testing.assert_allclose(d.log_prob(top), right, rtol=1e-12)


COST = RNG.normal(size=(N, N))


def exact_gradient() -> np.ndarray:
    """Of E[x C x] in the logits, by differences."""

    def mean(logits):
        law = k_of_n(3, logits=logits)
        return law.probs @ ((law.values @ COST) * law.values).sum(-1)

    moves = 1e-5 * np.eye(N)
    return np.array([(mean(LOGITS[0] + m) - mean(LOGITS[0] - m)) / 2e-5 for m in moves])


def test_score_takes_subsets_of_numpyro():
    def model():
        x = numpyro.sample("x", rn.ConditionalBernoulli(3, logits=LOGITS[0]).mask(False))
        numpyro.factor("cost", -((x @ COST) * x).sum(-1))

    def guide():
        logits = numpyro.param("logits", LOGITS[0])
        numpyro.sample("x", rn.ConditionalBernoulli(3, logits=logits).mask(False))

    def loss(logits, key):
        return rn.ScoreFunction_ELBO().loss(key, {"logits": logits}, model, guide)

    keys = jax.random.split(jax.random.key(1), 8_000)
    draws = np.asarray(jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(LOGITS[0], keys))
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - exact_gradient()) < 4 * error).all()


def test_rloo_takes_subsets_of_pyro():
    copies, cost = 8_000, torch.tensor(COST)

    def model():
        with pyro.plate("copies", copies):
            d = rp.ConditionalBernoulli(3, logits=torch.tensor(LOGITS[0])).mask(False)
            x = pyro.sample("x", d)
            pyro.factor("cost", -((x @ cost) * x).sum(-1))

    def guide():
        start = torch.tensor(LOGITS[0]).expand(copies, N).contiguous()
        with pyro.plate("copies", copies):
            d = rp.ConditionalBernoulli(3, logits=pyro.param("logits", start)).mask(False)
            pyro.sample("x", d)

    pyro.clear_param_store()
    torch.manual_seed(0)
    rp.RLOO_ELBO(num_particles=2).loss_and_grads(model, guide)
    draws = pyro.get_param_store()._params["logits"].grad.numpy()
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - exact_gradient()) < 4 * error).all()
