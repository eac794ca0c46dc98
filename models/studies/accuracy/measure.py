"""One row of the wall: fits, corrections, and NumPyro's own sampler at equal time."""

import time
from typing import Any

import numpy as np

from models.studies.accuracy.hosts import Fit, Host
from models.studies.accuracy.problem import Draws, Problem

CHUNK = 200
"""How many steps NumPyro's sampler takes to settle, and at a time."""


def flat(data: Any) -> Draws:
    """The posterior's variables, chains joined."""
    found = data["posterior"]
    return {
        name: found[name].values.reshape(-1, *found[name].shape[2:]) for name in found.data_vars
    }


def of_guide(problem: Problem, host: Host, kind: str, steps: int | None = None) -> dict[str, Any]:
    """Errors of a guide and of what its corrections make of it, with the seconds of each.

    :param kind: which of the problem's guides.
    :param steps: of the optimiser, where not those of the fit.
    """
    begin = time.process_time()
    model, fits = problem.programs(host)
    how: Fit = fits[kind]
    params = host.fit(model, how, steps or how.steps, seed=0)
    quick = {"num_draws": how.draws, "log_likelihood": False, "posterior_predictive": False}
    program = (model, how.guide, params)
    data = host.to_arviz(*program, seed=1, **quick)
    marginal, joint = problem.errors(flat(data))
    found: dict[str, Any] = {
        "marginal": marginal,
        "joint": joint,
        "seconds": time.process_time() - begin,
        "draws": how.draws,
    }
    for correct in ("psis", "mh"):
        begin = time.process_time()
        options = {"correct": correct, "particles": how.particles, **quick}
        try:
            data = host.to_arviz(*program, seed=2, **options)
        except ValueError as error:
            if "k-hat" not in str(error):
                raise
            found["k_hat"] = float(str(error).partition("weights is ")[2].split()[0])
            found["refused"] = time.process_time() - begin
            break
        marginal, joint = problem.errors(flat(data))
        stats = data["sample_stats"]
        found["k_hat"] = stats.attrs["pareto_k"]
        found[correct] = {
            "marginal": marginal,
            "joint": joint,
            "seconds": time.process_time() - begin,
        }
        if correct == "mh":
            found[correct] |= {name: stats.attrs[name] for name in ("r_hat", "ess_bulk")}
            found[correct]["acceptance"] = float(stats["acceptance_rate"].mean())
    return found


def of_sampler(problem: Problem, seconds: float) -> dict[str, Any]:
    """Errors of ``DiscreteHMCGibbs`` after as many seconds, those of its compilation apart."""
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import NUTS, DiscreteHMCGibbs

    def model() -> None:
        # The sampler asks for a continuous site, which some of the problems have not.
        numpyro.sample("idle", dist.Normal())
        problem.sampled()

    begin = time.process_time()
    kernel = DiscreteHMCGibbs(NUTS(model))

    def step(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state, (), {})
        return state, state.z

    # The host's MCMC compiles anew each time it goes on; this loop of its kernel does so once.
    state = kernel.init(jax.random.key(0), CHUNK, None, (), {})
    run = jax.jit(lambda state: jax.lax.scan(step, state, length=CHUNK)).lower(state).compile()
    compiled = time.process_time() - begin
    state, _ = run(state)
    jax.block_until_ready(state)
    chunks: list[dict[str, Any]] = []
    begin = time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        state, drawn = run(state)
        chunks.append({name: np.asarray(value) for name, value in drawn.items()})
    draws = {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
    marginal, joint = problem.errors(draws)
    count = CHUNK * len(chunks)
    return {
        "marginal": marginal,
        "joint": joint,
        "draws": count,
        "seconds": spent,
        "compilation": compiled,
    }
