"""Local expectations: no variance where one variable is summed, a number where there are many."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pyro
import pytest
import torch

import relaxppl.numpyro as rx
import relaxppl.pyro as px
from relaxppl.estimators import LocalExpectation
from relaxppl.pyro.elbo import batched

CENTRES, DATA = np.array([1.0, -0.8, 0.3]), np.array([1.2, -0.4, 0.6, 2.0])
LOGITS = np.array([[0.5, -0.3, 0.1], [0.0, 0.7, -0.6], [0.2, 0.2, -0.9], [1.0, 0.0, 0.0]])
PRIOR = np.log([0.2, 0.5, 0.3])


def exact() -> np.ndarray:
    """The gradient of the negative bound in the logits, written out."""
    q = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    log_p = PRIOR - 0.5 * (DATA[:, None] - CENTRES) ** 2 / 0.49
    costs = np.log(q) - log_p
    return q * (costs - (q * costs).sum(-1, keepdims=True))


def numpyro_model() -> None:
    with numpyro.plate("rows", 4):
        k = numpyro.sample("k", dist.Categorical(logits=jnp.asarray(PRIOR)))
        numpyro.sample("x", dist.Normal(jnp.asarray(CENTRES)[k], 0.7), obs=jnp.asarray(DATA))


def numpyro_guide(infer: object = "local_expectation") -> None:
    q = numpyro.param("q", jnp.asarray(LOGITS))
    with numpyro.plate("rows", 4):
        numpyro.sample("k", dist.Categorical(logits=q), infer={"estimator": infer})


def test_one_variable_a_row_has_no_variance_on_numpyro():
    def loss(q, key):
        return rx.DisARM_ELBO().loss(key, {"q": q}, numpyro_model, numpyro_guide)

    keys = jax.random.split(jax.random.key(0), 20)
    found = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(jnp.asarray(LOGITS), keys)
    np.testing.assert_allclose(found, np.broadcast_to(exact(), found.shape), atol=2e-6)


def pyro_program(indexed: bool):
    data, centres, prior = (torch.tensor(x) for x in (DATA, CENTRES, PRIOR))

    def model():
        with pyro.plate("rows", 4):
            k = pyro.sample("k", pyro.distributions.Categorical(logits=prior))
            loc = centres[k] if indexed else centres[torch.tensor(k.tolist())]
            pyro.sample("x", pyro.distributions.Normal(loc, 0.7), obs=data)

    def guide():
        q = pyro.param("q", lambda: torch.tensor(LOGITS))
        with pyro.plate("rows", 4):
            law = pyro.distributions.Categorical(logits=q)
            pyro.sample("k", law, infer={"estimator": "local_expectation"})

    return model, guide


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.filterwarnings("ignore:.*'k'")
def test_one_variable_a_row_has_no_variance_on_pyro(indexed):
    """A value may leave torch: then a batch is not possible, and the sum is the same."""
    for seed in range(3):
        pyro.clear_param_store()
        pyro.set_rng_seed(seed)
        px.REBAR_ELBO().loss_and_grads(*pyro_program(indexed))
        found = pyro.param("q").grad.numpy()
        np.testing.assert_allclose(found, exact(), atol=1e-12)


@pytest.mark.parametrize("rows", ["plate", "event"])
def test_a_class_that_is_ruled_out_does_not_count(rows):
    """Its logit is -inf, and so what it costs is infinite."""
    pyro.clear_param_store()
    out = torch.tensor([0.0, -torch.inf, 0.0])

    def law(logits):
        made = pyro.distributions.Categorical(logits=logits)
        return made if rows == "plate" else made.to_event(1)

    def sampled(logits, seen=False):
        with pyro.plate("rows", 4) if rows == "plate" else contextlib.nullcontext():
            k = pyro.sample("k", law(logits))
            if seen:
                x = pyro.distributions.Normal(torch.tensor(CENTRES)[k], 0.7)
                x = x if rows == "plate" else x.to_event(1)
                pyro.sample("x", x, obs=torch.tensor(DATA))

    def guide():
        sampled(pyro.param("q", torch.tensor(LOGITS)) + out)

    px.LocalExpectation_ELBO().loss_and_grads(
        lambda: sampled(torch.tensor(PRIOR).expand(4, 3), seen=True), guide
    )
    q = torch.tensor(LOGITS[:, ::2]).softmax(-1).numpy()
    log_p = PRIOR[::2] - 0.5 * (DATA[:, None] - CENTRES[::2]) ** 2 / 0.49
    costs = np.log(q) - log_p
    expected = q * (costs - (q * costs).sum(-1, keepdims=True))
    found = pyro.param("q").grad.numpy()
    np.testing.assert_allclose(found[:, ::2], expected, atol=1e-10)
    np.testing.assert_allclose(found[:, 1], 0.0)


def test_an_unreasonable_number_of_evaluations_is_named_before_it_starts():
    def guide():
        with pyro.plate("rows", 4):
            law = pyro.distributions.Bernoulli(torch.full((4, 300), 0.5)).to_event(1)
            pyro.sample("b", law)

    def model():
        with pyro.plate("rows", 4):
            law = pyro.distributions.Bernoulli(torch.full((4, 300), 0.3)).to_event(1)
            pyro.sample("b", law)

    with pytest.raises(ValueError, match=r"'b': 300 variables .* take 300 .*'disarm'"):
        px.LocalExpectation_ELBO(max_evaluations=299).loss_and_grads(model, guide)
    with pytest.raises(ValueError, match="max_evaluations must be at least 1, got 0"):
        LocalExpectation(max_evaluations=0)


def test_a_batch_and_one_value_after_the_other_are_the_same():
    calls = []

    def plain(values):
        return torch.sin(values["a"]) + values["b"].sum()

    def branching(values):
        calls.append(1)
        return plain(values) if float(values["a"]) < 9.0 else values["a"]

    values = {"a": torch.arange(5.0), "b": torch.randn(5, 3)}
    one = batched.each(plain, values)
    assert torch.allclose(one, batched.each(branching, values))
    assert len(calls) == 6  # The batch, which cannot branch, and each of the five.
