"""Which of 50 features does a response depend on? Gates that training can close, in NumPyro.

Each coefficient is multiplied by a gate, a variable that is 0 with some probability and can be
differentiated, and an open gate has a price in nats. What is left open is what the response
depends on. Twenty simulated regressions, of which the answer is known, train side by side.

    python -m models.numpyro.sparse_regression
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO

import relaxppl.numpyro as rx
from models.common.cli import fraction, positive_float, positive_int
from models.common.figures import gate_openness
from models.common.program import Program, finish
from models.data import Regressions, simulate_regressions

GATES = ("HardConcrete", "GaussianRelaxedBernoulli", "CorrelatedRelaxedBernoulli")
OBSERVATIONS, FEATURES, RELEVANT = 100, 50, 8


def gate_law(kind: str, openness: Any, factor: Any) -> tuple[Any, Any]:
    """The law of the gates, and the expected number of open ones.

    :param kind: one of GATES.
    :param openness: logits, or the distance of a Gaussian gate's mean from one half, (..., p).
    :param factor: of the gates' correlation, where they have one, (..., p, p).
    """
    if kind == "CorrelatedRelaxedBernoulli":
        correlated = rx.CorrelatedRelaxedBernoulli(0.3, logits=openness, scale_tril=factor)
        return correlated, jax.nn.sigmoid(openness).sum(-1)
    if kind == "HardConcrete":
        gates = rx.HardConcrete(2 / 3, logits=openness)
    else:
        gates = rx.GaussianRelaxedBernoulli(openness + 0.5, 0.5)
    return gates.to_event(1), gates.expected_l0().sum(-1)


def programs(problems: Regressions, kind: str, penalty: float) -> tuple[Any, Any]:
    """The model and the guide of all regressions at once; they share no parameter.

    :param kind: one of GATES.
    :param penalty: the price in nats of an open gate.
    """
    x, y = jnp.asarray(problems.features), jnp.asarray(problems.response)
    runs, _, size = problems.shape
    factor = problems.correlation_factor()

    def law() -> tuple[Any, Any]:
        return gate_law(kind, numpyro.param("openness", jnp.zeros((runs, size))), factor)

    def model() -> None:
        gates, opened = law()
        weight = numpyro.param("weight", jnp.zeros((runs, size)))
        log_scale = numpyro.param("log_scale", jnp.zeros((runs, 1)))
        with numpyro.plate("regression", runs):
            # Masked here and in the guide: the gates' densities are no part of the objective.
            gate = numpyro.sample("gate", gates.mask(False))
            numpyro.factor("price", -penalty * opened)
            mean = jnp.einsum("rnp,rp->rn", x, gate * weight)
            noise = dist.Normal(mean, jnp.exp(log_scale)).to_event(1)
            numpyro.sample("response", noise, obs=y)

    def guide() -> None:
        with numpyro.plate("regression", runs):
            numpyro.sample("gate", law()[0].mask(False))

    return model, guide


def train(options: Any, kind: str, problems: Regressions) -> tuple[Any, Any, Any]:
    """The model, the guide and their parameters, trained with gates of a kind."""
    penalty = options.penalty or 0.5 * np.log(problems.shape[1])
    model, guide = programs(problems, kind, penalty)
    svi = SVI(model, guide, numpyro.optim.Adam(options.learning_rate), Trace_ELBO())
    key, show = jax.random.key(options.seed), not options.quiet
    return model, guide, rx.fit(svi, key, options.steps, progress=show).params


def selected(kind: str, params: Any) -> np.ndarray:
    """The gates that are open without noise, (regressions, features)."""
    openness = params["openness"]
    if kind == "CorrelatedRelaxedBernoulli":
        return np.asarray(openness > 0.0)
    return np.asarray(gate_law(kind, openness, None)[0].base_dist.deterministic_gate() > 0.0)


def run(options: Any, command: str) -> None:
    """Train, and say what was found of what there is."""
    sizes = OBSERVATIONS, FEATURES, RELEVANT, options.correlation
    problems = simulate_regressions(options.seed, options.regressions, *sizes)
    model, guide, params = train(options, options.gates, problems)
    found = selected(options.gates, params)
    hits = (found & problems.relevant).sum()
    precision, recall = hits / max(1, found.sum()), hits / problems.relevant.sum()
    data = rx.to_arviz(model, guide, params, rng_key=jax.random.key(options.seed), num_draws=100)
    gates = data["posterior"]["gate"].values.mean((0, 1))
    finish(
        options,
        command,
        {"precision": precision, "recall": recall, "open": found.sum(1)},
        {
            "gates.png": lambda path: gate_openness(path, gates, problems.relevant),
            "posterior.nc": data.to_netcdf,
        },
        [
            f"open gates that are right   {precision:.3f} (precision)",
            f"relevant features found     {recall:.3f} (recall)",
        ],
    )


main = Program("numpyro.sparse_regression", __doc__, run)
main.add("--gates", choices=GATES, default="HardConcrete", help="the class of the gates")
main.add("--correlation", type=fraction, default=0.8, help="of features side by side")
main.add("--regressions", type=positive_int, default=20, help="simulated")
main.add("--penalty", type=positive_float, help="nats for an open gate; left out: as in the BIC")
main.add("--steps", type=positive_int, default=3000, help="of Adam")
main.add("--learning-rate", type=positive_float, default=0.01, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
