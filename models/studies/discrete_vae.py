"""Every relaxation in turn as the code of the discrete VAE, judged by the discrete model's bound.

The program stays discrete: what changes is the class in relax's config, and the KL that trains.
"""

import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.common.cli import positive_int, seed_int
from models.common.figures import new_figure
from models.common.program import finish
from models.data import Digits, baseline_bound, load_digits
from models.studies.kept import Kept, Study, chosen, interval, program
from relaxppl import ops

COUNTS, RANK = 16, 4
COINS, CATEGORIES, PAIRS, PATH = "coins", "categories", "pairs of five", "path"
UNBIASED = {"REBAR_ELBO": "rebar", "DisARM_ELBO": "disarm"}
"""For comparison: methods of the program, by the class of their loss."""


def laws(backend: str, rx: Any) -> dict[str, Callable[[Any], Any]]:
    """The discrete laws of a code from its logits, (..., 200); at zero the prior."""
    dist = importlib.import_module(f"{backend}.distributions")

    def shaped(x: Any, *shape: int) -> Any:
        return x.reshape(*x.shape[:-1], *shape)

    def path(x: Any) -> Any:
        # It stays in a state with probability 0.55; the image says where each step is.
        moves = ops.like(x, np.stack(19 * [np.log(np.eye(10) / 2 + 0.05)]))
        return rx.MarkovChain(0.0 * moves[0, 0], moves).condition(shaped(x, 20, 10))

    # With softplus it is 2 at zero, and never overflows.
    rate = 2.0 / math.log(2.0)
    return {
        COINS: lambda x: dist.Bernoulli(logits=x).to_event(1),
        CATEGORIES: lambda x: rx.OneHotCategorical(logits=shaped(x, 20, 10)).to_event(1),
        PAIRS: lambda x: rx.ConditionalBernoulli(2, logits=shaped(x, 40, 5)).to_event(1),
        PATH: path,
        "Poisson counts": lambda x: dist.Poisson(rate * ops.softplus(x)).to_event(1),
        "geometric counts": lambda x: dist.Geometric(logits=-x).to_event(1),
    }


@dataclass(frozen=True)
class Way:
    """How a relaxation stands for a code.

    :param code: a key of `laws`.
    :param temperature: whatever it is where the class takes none.
    :param make: of the host's relaxppl, the discrete law and the temperature; None for the class.
    :param hard: of relaxppl and the relaxation: the law of hard values; None where that is the
        discrete law.
    :param kl: the KLs to train with, "relaxed" and "discrete".
    """

    code: str
    temperature: float = 0.5
    make: Callable[..., Any] | None = None
    hard: Callable[[Any, Any], Any] | None = None
    kl: Sequence[str] = ("discrete",)


def gaussian_gate(rx: Any, d: Any, t: float) -> Any:
    """The temperature is its scale; it is open with the coin's probability."""
    loc = 0.5 + t * ops.ndtri(ops.clip(ops.sigmoid(d.logits), 1e-6, 1.0 - 1e-6))
    return rx.GaussianRelaxedBernoulli(loc, t + 0.0 * loc)


def stochastic_times_smooth(rx: Any, d: Any, t: float) -> Any:
    """Its c is 1 with probability sqrt(p), so p is the square of the coin's."""
    log_p, p = ops.log_sigmoid(d.logits), ops.sigmoid(d.logits)
    return rx.StochasticTimesSmooth(logits=2.0 * log_p - ops.log_sigmoid(-d.logits) - ops.log1p(p))


def correlated(rx: Any, d: Any, t: float, factors: Any = None) -> Any:
    """Correlated as I + V V', scaled to a unit diagonal; V, the factors, (200, rank)."""
    lower = ops.like(d.logits, np.eye(d.logits.shape[-1]))
    if factors is not None:
        lower = ops.cholesky(lower + ops.matmul(factors, ops.transpose(factors)))
        lower = lower / ops.sqrt(ops.sum(lower * lower, axis=-1, keepdims=True))
    return rx.CorrelatedRelaxedBernoulli(t, logits=d.logits, scale_tril=lower)


def invertible_gaussian(rx: Any, d: Any, t: float) -> Any:
    """Delta gives the last class its share of the prior, and so all of them."""
    loc, size = d.logits[..., :-1] - d.logits[..., -1:], d.logits.shape[-1]
    delta = math.exp(NormalDist().inv_cdf(size ** (-1.0 / (size - 1))) / t)
    return rx.InvertibleGaussian(t, loc, 1.0 + 0.0 * loc, delta)


def logistic_normal(rx: Any, d: Any, t: float) -> Any:
    """The softmax of (logits + e) / T, e standard normal."""
    return rx.LogisticNormalSoftmax(d.logits / t, (1.0 + 0.0 * d.logits) / t)


def top_k(rx: Any, d: Any, t: float) -> Any:
    """One item after the other, without replacement."""
    return rx.GumbelSoftmaxTopK(2, t, logits=d.logits, hard=True)


def pairs_from_uniform(logits: Any) -> Any:
    """The KL of two draws of five from a uniform pair: P{i, j} = p_i p_j / (1 - p_i) + the other.

    The class has an entropy, and this is a hundred times faster.
    """
    row = ops.log_softmax(logits, axis=-1)[..., None, :]
    same = ops.like(row, np.eye(logits.shape[-1]))
    left = ops.logsumexp(row - 1e30 * same, axis=-1)
    first = (row[..., 0, :] - left)[..., None] + row
    mass = ops.logsumexp(ops.stack([first, ops.transpose(first)], axis=0), axis=0)
    return 0.5 * ops.sum(ops.exp(mass) * (mass + math.log(10.0)) * (1.0 - same), axis=(-2, -1))


def count(rx: Any, d: Any, t: float) -> Any:
    """Values up to 15, the last of which holds the tail."""
    return rx.truncate(d, t, size=COUNTS, hard=True)


def argmax(rx: Any, relaxed: Any) -> Any:
    """The law of the largest coordinate."""
    return rx.OneHotCategorical(logits=ops.log(ops.clip(relaxed.probs, 1e-30, None)))


BOTH, RELAXED = ("relaxed", "discrete"), ("relaxed",)
WAYS = {
    "RelaxedBernoulli": Way(COINS, kl=BOTH),
    "RelaxedBernoulliStraightThrough": Way(COINS),
    "StraightThroughBernoulli": Way(COINS),
    "ReinMaxBernoulli": Way(COINS, 1.0),
    "GumbelRaoBernoulli": Way(COINS),
    "RebarRelaxation": Way(COINS, kl=BOTH),
    "CorrelatedRelaxedBernoulli": Way(COINS, make=correlated, kl=RELAXED),
    "HardConcrete": Way(COINS),
    "GaussianRelaxedBernoulli": Way(COINS, make=gaussian_gate),
    "StochasticTimesSmooth": Way(COINS, make=stochastic_times_smooth),
    "RelaxedOneHotCategorical": Way(CATEGORIES, kl=BOTH),
    "RelaxedOneHotCategoricalStraightThrough": Way(CATEGORIES),
    "DecoupledStraightThroughGumbelSoftmax": Way(CATEGORIES),
    "ReinMaxOneHotCategorical": Way(CATEGORIES, 1.0),
    "GumbelRaoOneHotCategorical": Way(CATEGORIES),
    "InvertibleGaussian": Way(CATEGORIES, make=invertible_gaussian, hard=argmax, kl=RELAXED),
    "LogisticNormalSoftmax": Way(CATEGORIES, make=logistic_normal, hard=argmax, kl=RELAXED),
    "GumbelSoftmaxTopK": Way(PAIRS, make=top_k, hard=lambda rx, own: own),
    "SubsetStraightThrough": Way(PAIRS),
    "RelaxedMarkovChain": Way(PATH, kl=BOTH),
    "Poisson": Way("Poisson counts", make=count),
    "Geometric": Way("geometric counts", make=count),
}
"""The relaxations by name; that of a count is the truncation of its law."""


def trainable(options: Any, name: str, kl: str, programs: Any, seed: int) -> tuple[Any, Any]:
    """The loss, model and guide that train, and the discrete model and guide to judge.

    :param options: the study's.
    :param name: a key of `WAYS`.
    :param kl: one of its KLs.
    :param programs: the discrete model and guide.
    :param seed: of the factors of a correlation.
    """
    way, (model, guide) = WAYS[name], programs
    rx = importlib.import_module(f"relaxppl.{options.backend}")
    host, infer = (importlib.import_module(f"{options.backend}{part}") for part in ("", ".infer"))
    law = laws(options.backend, rx)[way.code]
    make = partial(way.make, rx) if way.make else getattr(rx, name)

    def relax(program: Any, code: Any = law, make: Any = make) -> Any:
        return rx.relax(partial(program, law=code), way.temperature, {"code": make})

    def hard(logits: Any) -> Any:
        discrete = law(logits)
        if way.hard is None:
            return discrete
        return way.hard(rx, make(discrete.base_dist, way.temperature)).to_event(1)

    judged = partial(model, law=law), partial(guide, law=hard)
    if kl == "relaxed" or way.make is count:
        # For a count the rule is about its discrete law.
        loss, relaxed = infer.TraceMeanField_ELBO(), relax(guide)
        if way.make is not correlated:
            return (loss, relax(model), relaxed), judged

        def with_factors(images: Any) -> None:
            # Not zero, where the correlation would have no gradient.
            start = 0.05 * np.random.default_rng(seed).standard_normal((200, RANK))
            factors = host.param("factors", ops.like(images, start))
            relax(guide, make=partial(make, factors=factors))(images)

        return (loss, relax(model), with_factors), judged

    seen: list[Any] = []

    def masked(logits: Any) -> Any:
        seen[:] = [logits]
        return law(logits).mask(False)

    def with_kl(images: Any) -> None:
        relax(guide, masked)(images)
        if way.make is top_k:
            each = pairs_from_uniform(law(seen[0]).base_dist.logits).sum(-1)
        else:
            each = rx.kl_divergence(*(hard(logits) for logits in (seen[0], 0.0 * seen[0])))
        more = {"has_rsample": True} if options.backend == "pyro" else {}
        host.factor("kl", each.sum() * (len(images) / len(seen[0])), **more)

    return (infer.Trace_ELBO(), relax(model, masked), with_kl), judged


def measure(options: Any, digits: Digits, name: str, kl: str, seed: int) -> dict[str, Any]:
    """Train once; returns the discrete bound an image."""
    host = program(options, "discrete_vae")
    rx = importlib.import_module(f"relaxppl.{options.backend}")
    asked = SimpleNamespace(**vars(options) | {"seed": seed, "method": UNBIASED.get(name)})
    programs = judged = host.programs(digits.train, seed)
    if name in UNBIASED:
        trained = host.method(asked, *programs, digits.train)
    else:
        trained, judged = trainable(options, name, kl, programs, seed)
    params, _ = host.train(asked, *trained, digits.train)
    if options.backend == "pyro":
        # The parameters are those of the store.
        given, more = (None, importlib.import_module("torch").as_tensor(digits.test)), {}
    else:
        images = importlib.import_module("jax.numpy").asarray(digits.test)
        given, more = (params, images), {"rng_key": host.keys(seed)[2]}
    bound = rx.discrete_elbo(*judged, *given, None, num_particles=20, **more)
    found = {"bound": float(bound) / len(digits.test)}
    if "factors" in params:
        factors = np.array(params["factors"].tolist())
        factors /= np.sqrt(1.0 + (factors**2).sum(-1, keepdims=True))
        found["largest correlation"] = np.abs(np.tril(factors @ factors.T, -1)).max()
    return found


def bars(rows: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw each row's gain over independent pixels, a colour for each code."""
    figure = new_figure(9.0, 0.8 + 0.26 * len(rows))
    axis, codes = figure.subplots(), list(dict.fromkeys(row["code"] for row in rows.values()))
    for code in codes:
        mine = [name for name in rows if rows[name]["code"] == code]
        axis.barh(mine, [rows[name]["gain"] for name in mine], label=code)
    axis.invert_yaxis()
    axis.set_xlabel("discrete bound over that of independent pixels (nats an image)")
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    figure.savefig(path, dpi=130)


def lines(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The printed table; a gain is over independent pixels."""
    out = [f"{'class':<42}{'code':<18}{'test bound':>12}{'gain':>9}"]
    for name, row in rows.items():
        out.append(f"{name:<42}{row['code']:<18}{row['bound']:>12.2f}{row['gain']:>+9.2f}")
    return out


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    names = chosen("--classes", options.classes, [*WAYS, *UNBIASED])
    digits, rows = load_digits(held_out=500), {}
    baseline = baseline_bound(digits.train, digits.test)
    for name in names:
        way = WAYS.get(name, Way(COINS))
        for kl in way.kl:
            row = f"{name}, {kl} KL" if len(way.kl) > 1 else name
            runs = [
                keep(f"{row} {seed}", partial(measure, options, digits, name, kl, seed))
                for seed in options.seeds
            ]
            mean, half = interval([run["bound"] for run in runs])
            found = {"code": way.code, "kl": kl, "bound": mean, "half width": half}
            rows[row] = runs[0] | found | {"gain": mean - baseline}
    metrics = {"steps": options.steps, "seeds": options.seeds, "baseline": baseline}
    figures = {"bounds.png": partial(bars, rows)}
    finish(options, command, metrics | {"rows": rows}, figures, lines(rows))


main = Study("discrete_vae", __doc__, run, needs=("mlxtend",))
main.add("--classes", nargs="+", metavar="NAME", default=["all"], help="some of the table's rows")
main.add("--steps", type=positive_int, default=500, help="of Adam")
main.add("--seeds", type=seed_int, nargs="+", default=[0], help="of weights and draws")

if __name__ == "__main__":
    sys.exit(main())
