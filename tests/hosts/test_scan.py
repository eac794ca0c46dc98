"""NumPyro's scan and vmap make a law of many: scored as the same program unrolled by hand."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.distributions.batch_util import promote_batch_shape
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density

import relaxppl.numpyro as rn

ROW = jnp.array([0.5, -1.0, 0.2])
# As many steps as columns: a step's temperature on the wrong axis would raise nothing.
STEPS = jnp.array([0.4, 1.0, 2.5])

LAWS: dict[str, tuple[tuple[int, ...], Callable]] = {
    "row": ((4, 3), lambda t: rn.RelaxedBernoulli(t, logits=ROW)),
    "cross": ((4, 3), lambda t: rn.RelaxedBernoulli(t * jnp.ones((4, 1)), logits=ROW)),
    "rows of vectors": (
        (4, 3),
        lambda t: rn.RelaxedOneHotCategorical(t, logits=jnp.outer(ROW, ROW)),
    ),
    "event": ((4,), lambda t: rn.RelaxedBernoulli(t, logits=ROW).to_event(1)),
    "masked": ((4, 3), lambda t: rn.RelaxedBernoulli(t, logits=ROW).mask(ROW > 0)),
    "expanded twice": ((2, 4, 3), lambda t: rn.RelaxedBernoulli(t, logits=ROW).expand((4, 3))),
}


def scanned(law: Callable, sizes: tuple[int, ...]) -> Callable:
    def body(carry, t):
        with numpyro.plate_stack("plates", sizes):
            return carry, numpyro.sample("z", law(t))

    return lambda: scan(body, 0.0, STEPS)


@pytest.mark.parametrize(("sizes", "law"), LAWS.values(), ids=list(LAWS))
def test_a_scan_inside_plates_is_scored_as_unrolled(sizes, law):
    event = law(1.0).event_shape
    value = np.random.default_rng(0).dirichlet(np.ones(3), (3, *sizes))
    value = value if event else value[..., 0]

    @jax.jit
    def both(value):
        total, found = log_density(scanned(law, sizes), (), {}, {"z": value})
        each = [law(t).expand(sizes).log_prob(v) for t, v in zip(STEPS, value, strict=True)]
        return total, found["z"]["fn"].log_prob(value), jnp.stack(each)

    total, found, expected = both(value)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-10)


def test_a_relaxed_bernoulli_in_a_scan_inside_plates_is_scored_as_unrolled():
    discrete = scanned(lambda t: dist.Bernoulli(logits=ROW), (4, 3))
    model = rn.relax(discrete, temperature=0.5)
    value = jax.jit(lambda: trace(seed(model, 0)).get_trace()["z"]["value"])()
    assert value.shape == (3, 4, 3)
    expected = rn.RelaxedBernoulli(0.5, logits=ROW).log_prob(value)
    total, _ = log_density(model, (), {}, {"z": value})
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-10)


def test_a_law_made_inside_two_vmaps_has_both_dimensions():
    logits = jnp.arange(24.0).reshape(2, 4, 3) / 10

    def twice(make):
        return promote_batch_shape(jax.vmap(jax.vmap(make))(logits))

    whole = rn.RelaxedBernoulli(0.5, logits=logits)
    promoted = twice(lambda a: rn.RelaxedBernoulli(0.5, logits=a))
    value = promoted.sample(jax.random.key(0))
    assert value.shape == promoted.batch_shape == (2, 4, 3)
    np.testing.assert_allclose(promoted.log_prob(value), whole.log_prob(value))
    again = promote_batch_shape(jax.vmap(lambda d: d)(promoted))
    np.testing.assert_allclose(again.log_prob(value), whole.log_prob(value))

    expanded = twice(lambda a: rn.RelaxedBernoulli(0.5, logits=a).expand((5, 3)))
    value = expanded.sample(jax.random.key(0), (7,))
    assert value.shape == (7, 2, 4, 5, 3)
    rows = rn.RelaxedBernoulli(0.5, logits=logits[:, :, None])
    np.testing.assert_allclose(expanded.log_prob(value), rows.log_prob(value))
