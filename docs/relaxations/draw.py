"""Draws samples of every relaxation across temperatures: ``python docs/relaxations/draw.py``.

Writes ``images/NAME.png`` beside this file. Needs NumPyro and matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist

import relaxppl.numpyro as rx

DRAWS = 20_000
PROBS = np.array([0.2, 0.3, 0.5])
LOGITS = np.log(PROBS)


def scalar_rows() -> dict[str, tuple[str, Callable[[float], Any], tuple[float, ...]]]:
    """From a class to the name of the parameter that varies, the law at it, and its values."""
    cold_to_hot = (0.1, 0.5, 1.0, 3.0)
    concrete = {
        name: ("temperature", lambda t, n=name: getattr(rx, n)(t, probs=0.3), cold_to_hot)
        for name in (
            "RelaxedBernoulli",
            "LogitRelaxedBernoulli",
            "RebarRelaxation",
            "HardConcrete",
        )
    }
    return concrete | {
        "GaussianRelaxedBernoulli": (
            "scale",
            lambda s: rx.GaussianRelaxedBernoulli(0.3, s),
            cold_to_hot,
        ),
        "StraightThroughBernoulli": (
            "probs",
            lambda p: rx.StraightThroughBernoulli(probs=p),
            (0.1, 0.3, 0.5, 0.9),
        ),
        "StochasticTimesSmooth": (
            "probs",
            lambda p: rx.StochasticTimesSmooth(probs=p),
            (0.1, 0.3, 0.5, 0.9),
        ),
        "GeneralizedGumbelSoftmax": (
            "temperature",
            lambda t: rx.truncate(dist.Poisson(2.0), t),
            cold_to_hot,
        ),
    }


def simplex_rows() -> dict[str, tuple[str, Callable[[float], Any], tuple[float, ...]]]:
    """The same for laws whose values are points of a triangle."""
    cold_to_hot = (0.1, 0.5, 1.0, 3.0)
    return {
        "RelaxedOneHotCategorical": (
            "temperature",
            lambda t: rx.RelaxedOneHotCategorical(t, logits=LOGITS),
            cold_to_hot,
        ),
        "InvertibleGaussian": (
            "temperature",
            lambda t: rx.InvertibleGaussian(t, np.zeros(2), np.ones(2)),
            cold_to_hot,
        ),
        "LogisticNormalSoftmax": (
            "scale",
            lambda s: rx.LogisticNormalSoftmax(LOGITS, scale=s * np.ones(3)),
            cold_to_hot,
        ),
        "GumbelSoftmaxTopK": (
            "temperature",
            lambda t: rx.GumbelSoftmaxTopK(2, t, logits=LOGITS),
            cold_to_hot,
        ),
    }


def draw_scalar(name: str, axes: Any, law: Any) -> None:
    """Draws a histogram; atoms and hard values stand out as single bars."""
    x = np.asarray(law.sample(jax.random.key(0), (DRAWS,)))
    low, high = np.quantile(x, [0.001, 0.999])
    if name != "LogitRelaxedBernoulli":
        low, high = (0.0, 1.0) if name != "GeneralizedGumbelSoftmax" else (0.0, 8.0)
    axes.hist(x, bins=np.linspace(low, high, 61), color="#3b6ea5")
    axes.set_yticks([])


def draw_simplex(axes: Any, x: np.ndarray, colours: Any = "#3b6ea5") -> None:
    """Draws points on the triangle, jittered a little, so that many at one place show."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    # A subset's indicator sums to k: its mean over the subset is again a point of the triangle.
    points = (x / x.sum(-1, keepdims=True)) @ corners
    points = points + np.random.default_rng(0).normal(0.0, 0.012, points.shape)
    axes.plot(*corners[[0, 1, 2, 0]].T, color="0.4", linewidth=0.8)
    axes.scatter(*points[:4000].T, s=2, alpha=0.3, c=colours, linewidths=0)
    axes.set_aspect("equal")
    axes.axis("off")


def draw_binary_surrogate(axes: Any, temperature: float) -> None:
    """Draws what the gradient of a straight-through bit sees, coloured by the bit."""
    law = rx.RelaxedBernoulliStraightThrough(temperature, probs=0.3)
    latent = np.asarray(law.logits + law.draw_noise(jax.random.key(0), (DRAWS,)))
    soft = np.asarray(jax.nn.sigmoid(latent / temperature))
    parts = [soft[latent <= 0], soft[latent > 0]]
    axes.hist(parts, bins=np.linspace(0, 1, 61), stacked=True, color=["#3b6ea5", "#d98032"])
    axes.set_yticks([])


def draw_surrogate(axes: Any, temperature: float) -> None:
    """Draws what the gradient of a straight-through class sees, coloured by the class."""
    law = rx.RelaxedOneHotCategoricalStraightThrough(temperature, logits=LOGITS)
    noise = law.draw_noise(jax.random.key(0), (4000,))
    hard = np.asarray(law.from_noise(noise))
    soft = np.asarray(jax.nn.softmax((LOGITS + noise) / temperature, axis=-1))
    colours = np.array(["#3b6ea5", "#d98032", "#5b8f4e"])[hard.argmax(-1)]
    draw_simplex(axes, soft, colours)


def draw_averaged(axes: Any, temperature: float) -> None:
    """Draws the mean of ten softmaxes given the class, coloured by the class."""
    law = rx.GumbelRaoOneHotCategorical(temperature, logits=LOGITS).law
    noise = jax.random.gumbel(jax.random.key(0), (4000, 11, 3))
    plain = rx.RelaxedOneHotCategorical(temperature, logits=LOGITS).law
    hard = np.asarray(plain.hard_of(law.log_probs + noise[:, :1]))
    latent = plain.latent_given_hard(hard, noise[:, 1:])
    soft = np.asarray(jax.nn.softmax(latent / temperature, axis=-1)).mean(1)
    colours = np.array(["#3b6ea5", "#d98032", "#5b8f4e"])[hard[:, 0].argmax(-1)]
    draw_simplex(axes, soft, colours)


def draw_slope(axes: Any, temperature: float) -> None:
    """Draws the slope of a bit in its log odds against its probability, for both values."""
    probs = np.linspace(0.005, 0.995, 199)
    for noise, colour in ((1.0, "#3b6ea5"), (0.0, "#d98032")):

        def value(logits: Any, noise: float = noise) -> Any:
            law = rx.ReinMaxBernoulli(temperature, logits=logits)
            return law.from_noise(np.full(len(probs), noise)).sum()

        axes.plot(probs, jax.grad(value)(np.log(probs / (1 - probs))), color=colour)
    axes.plot(probs, probs * (1 - probs), color="0.4", linestyle="--", linewidth=1)


def draw_paths(axes: Any, temperature: float) -> None:
    """Draws relaxed paths of two states that tend to stay."""
    moves = np.broadcast_to(np.log([[0.9, 0.1], [0.1, 0.9]]), (19, 2, 2))
    law = rx.RelaxedMarkovChain(temperature, np.zeros(2), moves)
    x = np.asarray(law.sample(jax.random.key(0), (12,)))[..., 1]
    axes.plot(x.T, color="#3b6ea5", alpha=0.5, linewidth=1)
    axes.set_ylim(-0.05, 1.05)


def draw_subsets(axes: Any, k: float) -> None:
    """Draws how often each item is chosen, by this law and by Gumbel top-k."""
    logits = np.linspace(-2, 2, 8)
    ours = rx.ConditionalBernoulli(int(k), logits=logits).mean
    theirs = rx.GumbelSoftmaxTopK(int(k), 1.0, logits=logits, hard=True).mean
    axes.bar(np.arange(8), ours, color="#3b6ea5")
    axes.step(np.arange(9) - 0.5, np.append(theirs, theirs[-1]), where="post", color="#d98032")
    axes.set_ylim(0, 1.05)


def draw_places(axes: Any, spread: float) -> None:
    """Draws how often each item gets each place."""
    law = rx.PlackettLuce(spread * np.linspace(1, -1, 6))
    order = np.asarray(law.sample(jax.random.key(0), (DRAWS,)))
    axes.imshow((order[:, None] == np.arange(6)[:, None]).mean(0), cmap="Blues", vmin=0, vmax=1)


def draw_matching(axes: Any, temperature: float) -> None:
    """Draws one relaxed matching, of the same noise at every temperature."""
    law = rx.GumbelSinkhorn(temperature, 2.0 * np.eye(6), iterations=200)
    x = law.from_noise(law.draw_noise(jax.random.key(2)))
    axes.imshow(np.asarray(x), cmap="Blues", vmin=0, vmax=1)


def draw_correlated(axes: Any, value: float) -> None:
    """Draws two relaxed bits of correlation 0.9 against each other."""
    correlation = np.array([[1.0, 0.9], [0.9, 1.0]])
    law = rx.CorrelatedRelaxedBernoulli(
        value, probs=np.array([0.3, 0.5]), correlation_matrix=correlation
    )
    x = np.asarray(law.sample(jax.random.key(0), (4000,)))
    axes.scatter(*x.T, s=2, alpha=0.25, color="#3b6ea5", linewidths=0)
    axes.set_aspect("equal")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)


def figure(name: str, parameter: str, values: tuple[float, ...], draw: Any, out: Path) -> None:
    """Draws four panels, two by two: legible on a phone too."""
    fig, axes = plt.subplots(2, 2, figsize=(5.5, 3.9), layout="constrained")
    fig.suptitle(name, fontsize=11)
    for panel, value in zip(axes.flat, values, strict=True):
        draw(panel, value)
        panel.set_title(f"{parameter} = {value:g}", fontsize=11)
        panel.tick_params(labelsize=10)
    fig.savefig(out / f"{name}.png", dpi=120)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, (parameter, law, values) in scalar_rows().items():
        figure(name, parameter, values, lambda a, v, n=name, f=law: draw_scalar(n, a, f(v)), out)
    for name, (parameter, law, values) in simplex_rows().items():

        def panel(axes: Any, value: float, law: Callable[[float], Any] = law) -> None:
            draw_simplex(axes, np.asarray(law(value).sample(jax.random.key(0), (DRAWS,))))

        figure(name, parameter, values, panel, out)
    further = {
        "CorrelatedRelaxedBernoulli": ("temperature", draw_correlated),
        "RelaxedBernoulliStraightThrough": ("temperature", draw_binary_surrogate),
        "RelaxedOneHotCategoricalStraightThrough": ("temperature", draw_surrogate),
        "DecoupledStraightThroughGumbelSoftmax": ("temperature_backward", draw_surrogate),
        "GumbelRaoOneHotCategorical": ("temperature", draw_averaged),
        "ReinMaxBernoulli": ("temperature", draw_slope),
        "RelaxedMarkovChain": ("temperature", draw_paths),
        "GumbelSinkhorn": ("temperature", draw_matching),
    }
    figure("ConditionalBernoulli", "k", (1, 2, 4, 6), draw_subsets, out)
    figure("PlackettLuce", "spread", (0.0, 0.5, 1.0, 3.0), draw_places, out)
    for name, (parameter, draw) in further.items():
        figure(name, parameter, (0.1, 0.5, 1.0, 3.0), draw, out)


if __name__ == "__main__":
    main()
