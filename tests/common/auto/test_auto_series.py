"""Chains for hidden Markov models in every form in which they are written, against exact laws.

The posterior is found here by forward-backward. At its initial probabilities and moves each guide
must be the posterior, and exact gradients must lead there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch
from jax.extend.core import ClosedJaxpr
from numpyro.contrib.control_flow import scan
from scipy import special, stats

from tests.adapter import HOSTS

FIRST = np.log([0.7, 0.3])
MOVES = np.log([[0.8, 0.2], [0.3, 0.7]])
SEEN = np.array([[0.2, -0.4], [1.1, 0.8], [0.9, 1.2], [-0.3, 0.1], [1.5, 0.3]])
"""Two series, one a column."""
STEPS = len(SEEN)


def posterior(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The exact posterior's first law, its moves, as logs, and the evidence of a series."""
    seen = stats.norm.logpdf(seen[:, None], np.arange(2.0), 0.8)
    ahead = np.zeros((STEPS, 2))
    for t in range(STEPS - 2, -1, -1):
        ahead[t] = special.logsumexp(MOVES + seen[t + 1] + ahead[t + 1], axis=1)
    first = FIRST + seen[0] + ahead[0]
    moves = np.stack([MOVES + seen[t] + ahead[t] for t in range(1, STEPS)])
    return (
        special.log_softmax(first), special.log_softmax(moves, axis=-1), special.logsumexp(first),
    )  # fmt: skip


def divergence(first: np.ndarray, moves: np.ndarray, seen: np.ndarray) -> float:
    """KL(q||p) of a chain to the posterior of a series, state by state."""
    exact_first, exact_moves, _ = posterior(seen)
    now = np.exp(first)
    total = now @ (first - exact_first)
    for own, exact in zip(moves, exact_moves, strict=True):
        total += now @ (np.exp(own) * (own - exact)).sum(-1)
        now = now @ np.exp(own)
    return float(total)


def scanned(host: Any, series: int) -> Callable[[], None]:
    """Categorical states in a scan, alone or in a plate of series in it."""

    def step(logits: Any, y: Any) -> Any:
        if series == 1:
            z = numpyro.sample("z", numpyro.distributions.Categorical(logits=logits))
            numpyro.sample("y", numpyro.distributions.Normal(1.0 * z, 0.8), obs=y)
        else:
            with numpyro.plate("series", series):
                z = numpyro.sample("z", numpyro.distributions.Categorical(logits=logits))
                numpyro.sample("y", numpyro.distributions.Normal(1.0 * z, 0.8), obs=y)
        return jnp.asarray(MOVES)[z], None

    def model() -> None:
        start = FIRST if series == 1 else np.stack([FIRST] * series)
        scan(step, jnp.asarray(start), jnp.asarray(seen_by(series)))

    return model


def flags(host: Any, series: int) -> Callable[[], None]:
    """Bernoulli states in a scan."""
    odds = jnp.asarray(MOVES[:, 1] - MOVES[:, 0])

    def step(logit: Any, y: Any) -> Any:
        z = numpyro.sample("z", numpyro.distributions.Bernoulli(logits=logit))
        numpyro.sample("y", numpyro.distributions.Normal(1.0 * z, 0.8), obs=y)
        return odds[z], None

    def model() -> None:
        scan(step, jnp.asarray(FIRST[1] - FIRST[0]), jnp.asarray(SEEN[:, 0]))

    return model


def plate(host: Any, series: int) -> Callable[[], None]:
    """States in a plate of times, which a factor of neighbours ties together."""

    def model() -> None:
        moves, first = host.array(MOVES), host.array(FIRST)
        with host.plate("time", STEPS):
            z = host.sample("z", host.dist.Categorical(logits=host.array(np.zeros(2))))
            host.sample("y", host.dist.Normal(1.0 * z, 0.8), obs=host.array(SEEN[:, 0]))
        log_p = first[z[..., 0]] + moves[z[..., :-1], z[..., 1:]].sum(-1)
        host.lib.factor("moves", log_p + STEPS * np.log(2.0))

    return model


def chained(host: Any, series: int) -> Callable[[], None]:
    """One site for the whole path."""

    def model() -> None:
        first, moves = host.array(FIRST), host.array(np.stack([MOVES] * (STEPS - 1)))
        z = host.sample("z", host.rx.MarkovChain(first, moves))
        law = host.dist.Normal(z @ host.array([0.0, 1.0]), 0.8)
        host.sample("y", law.to_event(1), obs=host.array(SEEN[:, 0]))

    return model


def looped(host: Any, series: int) -> Callable[[], None]:
    """A site for each time, in Pyro's markov or a Python loop, alone or in a plate of series."""

    def steps() -> None:
        dist, logits, moves = host.dist, host.array(FIRST), host.array(MOVES)
        for t in pyro.markov(range(STEPS)) if host.name == "pyro" else range(STEPS):
            z = host.sample(f"z_{t}", dist.Categorical(logits=logits))
            seen = host.array(seen_by(series)[t])
            host.sample(f"y_{t}", dist.Normal(1.0 * z, 0.8), obs=seen)
            logits = moves[z]

    def model() -> None:
        if series == 1:
            steps()
        else:
            with host.plate("series", series):
                steps()

    return model


def seen_by(series: int) -> np.ndarray:
    return SEEN[:, 0] if series == 1 else SEEN


FORMS = {
    "numpyro": [(scanned, 2), (flags, 1), (plate, 1), (chained, 1), (looped, 2)],
    "pyro": [(plate, 1), (chained, 1), (looped, 1), (looped, 2)],
}


@pytest.mark.parametrize(
    ("name", "form", "series"), [(host, *row) for host, rows in FORMS.items() for row in rows]
)
def test_a_chain_is_the_posterior_in_every_form(name: str, form: Any, series: int) -> None:
    host = HOSTS[name]
    pyro.clear_param_store()
    model = form(host, series)
    guide = host.rx.AutoDiscrete(model, structure="chain")
    exact = [posterior(SEEN[:, i]) for i in range(series)]
    logits = np.stack([[first, *np.zeros((STEPS - 1, 2))] for first, _, _ in exact])
    moves = np.stack([moves for _, moves, _ in exact])
    evidence = sum(log_z for _, _, log_z in exact)
    if form is flags:
        logits = logits[..., 1] - logits[..., 0]
    if form is scanned:  # Time is the leftmost dimension there.
        logits = np.moveaxis(logits, 1, 0)
    elbo = host.rx.ScoreFunction_ELBO()
    if name == "numpyro":
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.01), elbo)
        shapes = jax.eval_shape(lambda key: svi.get_params(svi.init(key)), jax.random.key(0))
        given = {"z_auto_logits": logits, "z_auto_moves": moves}
        params = {n: jnp.asarray(x.reshape(shapes[n].shape)) for n, x in given.items()}
        assert params.keys() == shapes.keys()
        loss = jax.jit(lambda key: elbo.loss(key, params, model, guide))(jax.random.key(1))
    else:
        guide()
        assert len(list(guide.parameters())) == 2
        with torch.no_grad():
            for kind, x in (("logits", logits), ("moves", moves)):
                parameter = getattr(guide, kind).z
                parameter.copy_(host.array(x).reshape(parameter.shape))
        loss = elbo.loss(model, guide)
    # Where q is p every draw is worth the evidence.
    np.testing.assert_allclose(loss, -evidence, rtol=1e-6)


def trained(host: Any, form: Any, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The parameters of a chain after some steps of Adam with exact gradients."""
    model = form(host, 1)
    guide = host.rx.AutoDiscrete(model, structure="chain")
    elbo = host.rx.LocalExpectation_ELBO()
    if host.name == "numpyro":
        rate = lambda step: 0.2 * 0.3 ** (step / steps)  # noqa: E731
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(rate), elbo)

        @jax.jit
        def run(key: Any) -> Any:
            state = svi.init(key)
            state = jax.lax.fori_loop(0, steps, lambda _, s: svi.update(s)[0], state)
            return svi.get_params(state)

        params = run(jax.random.key(0))
        return np.asarray(params["z_auto_logits"]), np.asarray(params["z_auto_moves"])
    optim = pyro.optim.ClippedAdam({"lr": 0.2, "lrd": 0.3 ** (1 / steps)})
    svi = pyro.infer.SVI(model, guide, optim, elbo)
    for _ in range(steps):
        svi.step()
    return host.numpy(guide.logits.z), host.numpy(guide.moves.z)


@pytest.mark.parametrize(("name", "form"), [("numpyro", scanned), ("pyro", looped)])
def test_a_chain_is_trained_to_the_posterior(name: str, form: Any) -> None:
    pyro.clear_param_store()
    logits, moves = trained(HOSTS[name], form, steps=70)
    moves = logits[1:, None, :] + moves.reshape((STEPS - 1, 2, 2))
    first, moves = special.log_softmax(logits[0]), special.log_softmax(moves, axis=-1)
    assert 0 <= divergence(first, moves, SEEN[:, 0]) < 1e-3


def equations(jaxpr: Any) -> int:
    """The number of operations of a traced program, those inside its loops counted once."""
    inner = [v for eqn in jaxpr.eqns for v in jax.tree.leaves(list(eqn.params.values()))]
    return len(jaxpr.eqns) + sum(equations(v.jaxpr) for v in inner if isinstance(v, ClosedJaxpr))


@pytest.mark.parametrize("elbo", ["LocalExpectation_ELBO", "RLOO_ELBO"])
def test_a_program_does_not_grow_with_the_length_of_the_series(elbo: str) -> None:
    rx = HOSTS["numpyro"].rx

    def size(steps: int) -> int:
        def model() -> None:
            def step(logits: Any, y: Any) -> Any:
                z = numpyro.sample("z", numpyro.distributions.Categorical(logits=logits))
                numpyro.sample("y", numpyro.distributions.Normal(1.0 * z, 0.8), obs=y)
                return jnp.asarray(MOVES)[z], None

            scan(step, jnp.asarray(FIRST), jnp.zeros(steps))

        guide = rx.AutoDiscrete(model, structure="chain")
        options = {"num_particles": 2, "vectorize_particles": True} if elbo[0] == "R" else {}
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.1), getattr(rx, elbo)(**options))
        state = jax.eval_shape(svi.init, jax.random.key(0))
        return equations(jax.make_jaxpr(svi.update)(state).jaxpr)

    assert size(50) == size(100)


def test_levels_inside_scan_start_from_their_priors_median() -> None:
    def model() -> None:
        def step(level: Any, _: None) -> Any:
            z = numpyro.sample("z", numpyro.distributions.Bernoulli(0.5))
            law = numpyro.distributions.Normal(level + 10.0 * z, 0.1)
            return numpyro.sample("level", law), None

        scan(step, jnp.array(0.0), None, length=3)

    guide = HOSTS["numpyro"].rx.AutoDiscrete(model, structure={"z": "chain"})
    drawn = numpyro.handlers.seed(guide, 0)()
    assert drawn["level"].shape == drawn["z"].shape == (3,)
