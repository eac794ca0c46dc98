"""Every relaxation as a site of model and guide, in a subsampled plate, with stock ELBOs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as ndist
import numpyro.infer
import pyro
import pyro.distributions as pdist
import pyro.infer
import pytest
import torch

from tests.adapter import HOSTS
from tests.common.divergences.pairs import WITH_RULE
from tests.relaxations.case import Case, element
from tests.relaxations.cases import CASES, first_of_each

ROWS, BATCH = 10, 4
DATA = np.linspace(-1, 1, ROWS)
LEARNABLE = ("logits", "loc", "initial_logits")
OF_ONE_GUIDE_ROW = ("StochasticTimesSmooth",)
"""Their values are made of the parameters: a guide has the model's or lies outside its support."""
FIRST = first_of_each([case for case in CASES if case.density])
REPARAMETERIZED = [case for case in FIRST if case.reparameterized]


def parts(case: Case) -> tuple[dict, str]:
    """The parameters of one row and the one that a guide learns for each row."""
    first = element(case, case.params, (0,) * len(case.batch_shape))
    return first, next(n for n in LEARNABLE if n in first)


def learned_at_first(case: Case) -> np.ndarray:
    """One parameter for each row of the data, all different where that is allowed."""
    first, name = parts(case)
    width = 0.0 if case.name in OF_ONE_GUIDE_ROW else 0.3
    offsets = np.linspace(-width, width, ROWS) + width
    vector = np.arange(1, 1 + np.size(first[name])).reshape(np.shape(first[name]))
    return first[name] + offsets.reshape((ROWS,) + (1,) * np.ndim(first[name])) * vector


def numpyro_pair(case: Case):
    host = HOSTS["numpyro"]
    first, name = parts(case)
    rank = len(case.event_shape)

    def latent(params):
        return host.build(case.name, host.arrays(params))

    def model(data):
        with numpyro.plate("rows", ROWS, subsample_size=BATCH) as index:
            z = numpyro.sample("z", latent(first))
            # Unequal weights: the plain sum of a value on the simplex is no news.
            total = z @ jnp.arange(1.0, 1 + z.shape[-1]) if rank else z
            total = total.sum(-1) if rank == 2 else total
            numpyro.sample("x", ndist.Normal(total, 1.0), obs=None if data is None else data[index])

    def guide(data):
        learned = numpyro.param("learned", jnp.asarray(learned_at_first(case)))
        with numpyro.plate("rows", ROWS, subsample_size=BATCH) as index:
            fixed = {n: v for n, v in first.items() if n != name}
            arrays = {**host.arrays(fixed), name: learned[index]}
            numpyro.sample("z", host.build(case.name, arrays))

    return model, guide


MEAN_FIELD = numpyro.infer.TraceMeanField_ELBO(num_particles=3)
"""Of a class without a KL rule it is the host's other ELBO, and compiled once."""
SAMPLED = numpyro.infer.Trace_ELBO()


@pytest.mark.compiles_each
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_numpyro_losses_and_gradients_are_finite(case: Case):
    model, guide = numpyro_pair(case)
    elbos = (MEAN_FIELD, SAMPLED) if case.name in WITH_RULE else (MEAN_FIELD,)

    def losses(learned):
        data, key = jnp.asarray(DATA), jax.random.key(0)
        each = [elbo.loss(key, {"learned": learned}, model, guide, data) for elbo in elbos]
        return sum(each), each

    # One compilation for both.
    grad, each = jax.jit(jax.grad(losses, has_aux=True))(jnp.asarray(learned_at_first(case)))
    assert np.isfinite(each).all()
    assert np.isfinite(grad).all()
    if case.reparameterized:
        # A subsample leaves rows alone; every particle and every ELBO draws its own.
        assert (np.abs(grad).reshape(ROWS, -1).max(-1) > 1e-8).sum() >= BATCH


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_numpyro_predictive(case: Case):
    model, guide = numpyro_pair(case)
    learned = {"learned": jnp.asarray(learned_at_first(case))}

    def run(key):
        drawn = numpyro.infer.Predictive(guide, params=learned, num_samples=5)(key, None)
        posterior = {"z": drawn["z"]}
        return drawn, numpyro.infer.Predictive(model, posterior, parallel=True)(key, None)

    # What is drawn has its tests; here it is the shapes of a host's loop and of its vmap.
    drawn, again = jax.eval_shape(run, jax.random.key(1))
    assert drawn["z"].shape == (5, BATCH, *case.event_shape)
    assert again["x"].shape == (5, BATCH)


def pyro_pair(case: Case):
    host = HOSTS["pyro"]
    first, name = parts(case)
    rank = len(case.event_shape)

    def model(data):
        with pyro.plate("rows", ROWS, subsample_size=BATCH) as index:
            z = pyro.sample("z", host.build(case.name, host.arrays(first), validate=None))
            z = z.double() if case.whole else z
            total = z @ torch.arange(1.0, 1 + z.shape[-1], dtype=z.dtype) if rank else z
            total = total.sum(-1) if rank == 2 else total
            pyro.sample("x", pdist.Normal(total, 1.0), obs=None if data is None else data[index])

    def guide(data):
        learned = pyro.param("learned", torch.tensor(learned_at_first(case)))
        with pyro.plate("rows", ROWS, subsample_size=BATCH) as index:
            fixed = {n: v for n, v in first.items() if n != name}
            arrays = {**host.arrays(fixed), name: learned[index]}
            pyro.sample("z", host.build(case.name, arrays, validate=None))

    return model, guide


@pytest.fixture(autouse=True)
def _fresh_store():
    pyro.clear_param_store()
    with pyro.validation_enabled():
        yield
    pyro.clear_param_store()


PYRO = [
    *((case, pyro.infer.Trace_ELBO()) for case in FIRST),
    # The mean-field ELBO of Pyro takes reparameterized guides only.
    *((case, pyro.infer.TraceMeanField_ELBO()) for case in REPARAMETERIZED),
    *(
        (case, pyro.infer.Trace_ELBO(3, vectorize_particles=True, max_plate_nesting=1))
        for case in FIRST
    ),
]


@pytest.mark.parametrize(
    ("case", "elbo"), PYRO, ids=lambda v: str(v) if isinstance(v, Case) else type(v).__name__
)
def test_pyro_loss_and_gradients_are_finite(case: Case, elbo):
    model, guide = pyro_pair(case)
    loss = elbo.differentiable_loss(model, guide, torch.tensor(DATA))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    learned = pyro.get_param_store()["learned"]
    (grad,) = torch.autograd.grad(loss, learned)
    assert torch.isfinite(grad).all()
    assert (grad.reshape(ROWS, -1).abs().amax(-1) > 1e-8).sum() == BATCH


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_pyro_predictive(case: Case):
    model, guide = pyro_pair(case)
    guide(None)
    sites = ("z", "x")
    draws = pyro.infer.Predictive(model, guide=guide, num_samples=5, return_sites=sites)(None)
    assert draws["x"].shape == (5, BATCH)
    assert draws["z"].shape == (5, BATCH, *case.event_shape)
    parallel = pyro.infer.Predictive(model, num_samples=5, return_sites=sites, parallel=True)(None)
    assert parallel["z"].shape == (5, BATCH, *case.event_shape)
    assert torch.isfinite(parallel["x"]).all()


SOFT = [c for c in CASES if not c.density and "logits" in c.params]


@pytest.mark.parametrize("case", SOFT, ids=str)
def test_a_guide_of_a_law_without_density_says_so(case: Case):
    for (model, guide), run in (
        (pyro_pair(case), lambda m, g: pyro.infer.Trace_ELBO().loss(m, g, torch.tensor(DATA))),
        (
            numpyro_pair(case),
            lambda m, g: numpyro.infer.Trace_ELBO().loss(
                jax.random.key(0), {}, m, g, jnp.asarray(DATA)
            ),
        ),
    ):
        with pytest.raises(NotImplementedError, match="density"):
            run(model, guide)
