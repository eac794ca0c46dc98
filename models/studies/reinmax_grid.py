"""ReinMax, Gumbel-Rao and straight-through in small autoencoders of L codes with K values each.

The grid of L and K is that of the paper on ReinMax (Liu et al., 2023). The digits are the 1,797 of
8 x 8 pixels that come with scikit-learn, in black and white: 1,200 to train on, 297 to choose each
method's temperature by, 300 to report. Every setting makes the same number of steps from the same
first weights, and what is reported is the bound of the discrete model.

    python -m models.studies.reinmax_grid
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO

import relaxppl.numpyro as rx
from models.common.cli import positive_int
from models.common.program import finish
from models.studies.kept import Kept, Study, chosen, interval

GRID = ((8, 4), (4, 24), (8, 16), (16, 12), (64, 8), (10, 30))
SIZES = [f"{codes}x{values}" for codes, values in GRID]
HIDDEN, BATCH, RATE = 128, 20, 2e-3
FOR_TRAINING, FOR_CHOICE = 1200, 297
LAWS: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "straight-through": (rx.RelaxedOneHotCategoricalStraightThrough, (0.3, 0.5, 1.0)),
    "decoupled": (partial(rx.DecoupledStraightThroughGumbelSoftmax, 1.0), (0.3, 0.5, 1.0)),
    "Gumbel-Rao": (rx.GumbelRaoOneHotCategorical, (0.1, 0.3, 0.5)),
    "ReinMax": (rx.ReinMaxOneHotCategorical, (1.0, 1.3)),
}
"""Each method's law at a temperature, and the temperatures that it may choose from."""
TRAINED = [name for name in LAWS if name != "decoupled"]
"""The decoupled class has the values and the gradient of straight-through, which the table of
biases shows: it is trained once."""


def digits() -> list[jax.Array]:
    """Three parts of the images, (n, 64) of zeros and ones."""
    from sklearn.datasets import load_digits

    images = (load_digits().data > 7.5).astype(np.float32)
    images = np.random.default_rng(0).permutation(images)
    cuts = np.cumsum([FOR_TRAINING, FOR_CHOICE])
    return [jnp.asarray(part) for part in np.split(images, cuts)]


def network(name: str, x: jax.Array, outputs: int) -> jax.Array:
    """A network of one hidden layer, (..., outputs)."""
    for layer, size in enumerate((HIDDEN, outputs)):
        shape = x.shape[-1], size

        def first(key: jax.Array, shape: tuple[int, int] = shape) -> jax.Array:
            return jax.random.normal(key, shape) / math.sqrt(shape[0])

        weights = numpyro.param(f"{name}.weights{layer}", first)
        x = x @ weights + numpyro.param(f"{name}.biases{layer}", jnp.zeros(size))
        x = x if layer else jnp.tanh(x)
    return x


def programs(codes: int, values: int) -> tuple[Callable, Callable]:
    """The discrete model and guide."""

    def model(images: jax.Array, batch: int | None) -> None:
        with numpyro.plate("image", len(images), subsample_size=batch) as rows:
            prior = rx.OneHotCategorical(logits=jnp.zeros((codes, values))).to_event(1)
            code = numpyro.sample("code", prior)
            logits = network("decoder", code.reshape((*code.shape[:-2], -1)), images.shape[-1])
            numpyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[rows])

    def guide(images: jax.Array, batch: int | None) -> None:
        with numpyro.plate("image", len(images), subsample_size=batch) as rows:
            logits = network("encoder", images[rows], codes * values)
            logits = logits.reshape((*logits.shape[:-1], codes, values))
            numpyro.sample("code", rx.OneHotCategorical(logits=logits).to_event(1))

    return model, guide


def trained(
    loss: Any, pair: tuple[Callable, ...], images: jax.Array, steps: int, key: jax.Array
) -> dict[str, jax.Array]:
    """The parameters after training, in one scan."""
    svi = SVI(*pair, numpyro.optim.Adam(RATE), loss)
    first = svi.init(key, images, BATCH)

    def step(state: Any, _: None) -> tuple[Any, None]:
        return svi.update(state, images, BATCH)[0], None

    return svi.get_params(jax.lax.scan(step, first, None, steps)[0])


def compare(options: Any, size: tuple[int, int], method: str) -> dict[str, list[list[float]]]:
    """Train at every temperature, with every seed.

    :returns: bounds in nats an image: of each part, for each temperature those of all seeds.
    """
    law, temperatures = LAWS[method]
    parts, (model, guide) = digits(), programs(*size)

    def one(temperature: jax.Array, seed: jax.Array) -> list[jax.Array]:
        config = {"code": lambda d, t: law(t, logits=d.logits)}
        pair = (rx.relax(p, temperature=temperature, config=config) for p in (model, guide))
        key, *others = jax.random.split(jax.random.key(seed), 1 + len(parts))
        params = trained(TraceMeanField_ELBO(), tuple(pair), parts[0], options.steps, key)
        return [
            rx.discrete_elbo(model, guide, params, part, None, rng_key=k, num_particles=5)
            / len(part)
            for part, k in zip(parts, others, strict=True)
        ]

    # One after the other: products of many small matrices at a time are slower.
    pairs = jnp.array(list(itertools.product(temperatures, range(options.seeds))))
    found = jax.jit(partial(jax.lax.map, lambda pair: one(pair[0], pair[1].astype(int))))(pairs)
    names = ("training", "choice", "held out")
    shape = len(temperatures), options.seeds
    return {n: np.asarray(x).reshape(shape).tolist() for n, x in zip(names, found, strict=True)}


def bias(options: Any, codes: int = 4, values: int = 4, draws: int = 5_000) -> dict[str, Any]:
    """Bias and noise of each estimator at a trained network, relative to the exact gradient.

    The network is trained by local expectations, which are unbiased. The gradient is that of the
    expected log likelihood of an image in the logits of its code, summed over all its values.
    """
    images = digits()
    key = jax.random.key(options.seed)
    fit = partial(
        trained, rx.LocalExpectation_ELBO(), programs(codes, values), images[0], options.steps
    )
    params = jax.jit(fit)(key)
    names = [f"{part}.{what}{i}" for part in ("encoder", "decoder") for i in (0, 1)
             for what in ("weights", "biases")]  # fmt: skip
    encoder, decoder = [params[n] for n in names[:4]], [params[n] for n in names[4:]]

    def apply(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        return jnp.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]

    def cost(code: jax.Array, image: jax.Array) -> jax.Array:
        logits = apply(decoder, code.reshape((*code.shape[:-2], -1)))
        return -dist.Bernoulli(logits=logits).log_prob(image).sum(-1)

    every = jnp.eye(values)[np.array(list(itertools.product(range(values), repeat=codes)))]
    shown = images[2][:20]
    logits = apply(encoder, shown).reshape((-1, codes, values))

    def mean(logits: jax.Array, image: jax.Array) -> jax.Array:
        log_q = (every * jax.nn.log_softmax(logits)).sum((-1, -2))
        return jnp.exp(log_q) @ cost(every, image)

    exact = jax.vmap(jax.grad(mean))(logits, shown)
    norm = jnp.sqrt((exact**2).sum())

    def measured(law: Callable[..., Any], temperature: jax.Array) -> jax.Array:
        def one(total: Any, key: jax.Array) -> tuple[Any, None]:
            def of_draws(logits: jax.Array) -> jax.Array:
                return cost(law(temperature, logits=logits).sample(key), shown).sum()

            gap = jax.grad(of_draws)(logits) - exact
            return (total[0] + gap, total[1] + gap**2), None

        zero = jnp.zeros_like(exact)
        gap, square = jax.lax.scan(one, (zero, zero), jax.random.split(key, draws))[0]
        gap, square = gap / draws, square / draws
        variance = (square - gap**2).sum()
        # Without what the noise of so many draws adds to the square of a bias.
        squared = jnp.maximum((gap**2).sum() - variance / draws, 0.0)
        return jnp.sqrt(jnp.stack([squared, variance])) / norm

    found: dict[str, Any] = {}
    for method, (law, temperatures) in LAWS.items():
        function = jax.jit(partial(jax.lax.map, partial(measured, law)))
        found[method] = np.asarray(function(jnp.array(temperatures))).tolist()
    return found


def chosen_runs(runs: Mapping[str, Any], sizes: Sequence[str]) -> dict[str, Any]:
    """Of each size and method, at the temperature that is best on the images for choice."""
    found: dict[str, Any] = {}
    for size in sizes:
        for method in TRAINED:
            run = runs[f"{size}, {method}"]
            best = int(np.argmax(np.mean(run["choice"], -1)))
            row: dict[str, Any] = {"temperature": LAWS[method][1][best]}
            for part in ("held out", "training"):
                row[part], row[f"{part}, half width"] = interval(run[part][best])
            found[f"{size}, {method}"] = row
        # The seeds have the same first weights and images in each method: their differences count.
        ours, theirs = (
            np.array(runs[f"{size}, {m}"]["held out"][_index(found[f"{size}, {m}"], m)])
            for m in ("ReinMax", "straight-through")
        )
        ahead = interval(list(ours - theirs))
        found[f"{size}, ReinMax ahead"] = dict(zip(("mean", "half width"), ahead, strict=True))
    return found


def _index(row: Mapping[str, Any], method: str) -> int:
    return LAWS[method][1].index(row["temperature"])


def table(found: Mapping[str, Any], biases: Mapping[str, Any], sizes: Sequence[str]) -> list[str]:
    """The page's tables."""
    lines: list[str] = []
    for part in ("held out", "training"):
        lines += ["", f"| {part} | " + " | ".join(sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
        for method in TRAINED:
            cells = []
            for size in sizes:
                row = found[f"{size}, {method}"]
                mean, half = row[part], row[f"{part}, half width"]
                cells.append(f"{mean:.2f} ± {half:.2f} (T = {row['temperature']:g})")
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        if part == "held out":
            ahead = [found[f"{size}, ReinMax ahead"] for size in sizes]
            cells = [f"{gap['mean']:+.2f} ± {gap['half width']:.2f}" for gap in ahead]
            lines.append("| ReinMax ahead of straight-through | " + " | ".join(cells) + " |")
    lines += ["", "| method | T | bias | noise of one draw |", "|---|---|---|---|"]
    for method, rows in biases.items():
        for temperature, (off, noise) in zip(LAWS[method][1], rows, strict=True):
            lines.append(f"| {method} | {temperature:g} | {off:.3f} | {noise:.2f} |")
    return lines


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    runs = {}
    sizes = chosen("--sizes", options.sizes, SIZES)
    for size, method in itertools.product(sizes, TRAINED):
        pair = GRID[SIZES.index(size)]
        name = f"{size}, {method}"
        runs[name] = keep(name, partial(compare, options, pair, method))
    biases = keep("bias", lambda: bias(options))
    biases = {method: biases[method] for method in LAWS}
    found = chosen_runs(runs, sizes)
    metrics = {"steps": options.steps, "seeds": options.seeds, "chosen": found, "runs": runs}
    finish(options, command, metrics | {"bias": biases}, {}, table(found, biases, sizes))


main = Study("reinmax_grid", __doc__, run, needs=("scipy", "sklearn"), backend="numpyro")
main.add("--sizes", nargs="+", default=["all"], metavar="NAME", help="some of " + ", ".join(SIZES))
main.add("--steps", type=positive_int, default=20 * FOR_TRAINING // BATCH, help="of each run")
main.add("--seeds", type=positive_int, default=3, help="how many runs of each setting")

if __name__ == "__main__":
    sys.exit(main())
