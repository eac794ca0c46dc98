"""What the mean-field guides of both hosts share: initial logits, quantiles, the refusals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

IMPOSSIBLE = -1e4
"""The logit of a value that a law never takes: its probability is exactly zero."""

_LEAST = -10.0


def start(
    shape: tuple[int, ...], scale: float, seed: int, prior: np.ndarray | None = None
) -> np.ndarray:
    """Returns a guide's first logits.

    Without a prior they are zero. Those of a count start from its prior, no value's further than
    e^-10 below the likeliest one's, so that each can still be reached. Noise breaks symmetries.

    :param shape: of the logits.
    :param scale: the noise's standard deviation.
    :param seed: of the noise.
    :param prior: log probabilities that broadcast with the shape.
    :returns: float64, of the shape.
    """
    noise = scale * np.random.default_rng(seed).standard_normal(shape)
    if prior is None:
        return noise
    prior = np.broadcast_to(prior, shape)
    highest = prior.max(axis=-1, keepdims=True)
    return np.where(np.isneginf(prior), IMPOSSIBLE, np.maximum(prior - highest, _LEAST) + noise)


def count_quantiles(probs: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the least k with P(count <= k) >= q for each level q.

    :param probs: (*batch, n).
    :param levels: (Q,), between 0 and 1.
    :returns: integers, (Q, *batch).
    """
    cdf = np.cumsum(probs, axis=-1)
    # Rounding must not put the last value's cdf below a level of one.
    cdf = cdf / cdf[..., -1:]
    below = cdf[None] < levels.reshape((-1,) + (1,) * probs.ndim)
    return np.minimum(below.sum(axis=-1), probs.shape[-1] - 1)


def binary_quantiles(probs: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the least b in {0, 1} with P(value <= b) >= q for each level q.

    :param probs: of one, (*batch,).
    :param levels: (Q,).
    :returns: integers, (Q, *batch).
    """
    return (levels.reshape((-1,) + (1,) * probs.ndim) > 1.0 - probs[None]).astype(int)


def checked_levels(levels: Any) -> np.ndarray:
    """Returns quantile levels as a vector.

    :raises ValueError: for one outside [0, 1].
    """
    array = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if array.ndim != 1 or not np.all((array >= 0.0) & (array <= 1.0)):
        raise ValueError(f"quantiles must be numbers between 0 and 1, got {levels!r}")
    return array


def no_discrete_site(latents: Iterable[str], relaxed: Iterable[str]) -> ValueError:
    """Returns the refusal of a model without discrete latent sites."""
    sites, relaxed = list(latents), list(relaxed)
    found = f"its latent sites are {', '.join(map(repr, sites))}" if sites else "it has none at all"
    if relaxed:
        return ValueError(
            f"AutoDiscrete: {', '.join(map(repr, relaxed))} of the model is relaxed already. Give "
            "AutoDiscrete the discrete model and relax the guide: relax(AutoDiscrete(model), ...)"
        )
    return ValueError(
        f"AutoDiscrete: the model has no discrete latent site ({found}); use the host's AutoNormal"
    )


def unknown_law(name: str, law: str) -> ValueError:
    """Returns the refusal of a site for which there is no mean-field law here."""
    return ValueError(
        f"AutoDiscrete: the site {name!r} is a {law}, for which it has no guide. It has one for "
        "Bernoulli, Categorical, OneHotCategorical and for scalar counts from zero. Write this "
        f"site's guide and put both in the host's AutoGuideList, hiding {name!r} from "
        "AutoDiscrete's model with the handler block"
    )


def unknown_size(name: str, law: str) -> ValueError:
    """Returns the refusal of a count whose number of values is not known."""
    return ValueError(
        f"AutoDiscrete: the site {name!r} is a {law} and the number of values to keep cannot be "
        f"found from its parameters here; give it, sizes={{{name!r}: n}} for the counts "
        "0, ..., n - 1"
    )


def unknown_names(argument: str, names: Iterable[str], sites: Iterable[str]) -> ValueError:
    """Returns the refusal of an argument that names a site which is not there."""
    return ValueError(
        f"AutoDiscrete: {argument} names {', '.join(map(repr, sorted(names)))}, but the discrete "
        f"latent sites of the model are {', '.join(map(repr, sites))}"
    )


def wrong_logits(
    name: str, found: tuple[int, ...], batch: tuple[int, ...], event: tuple[int, ...]
) -> ValueError:
    """Returns the refusal of amortised logits of the wrong shape."""
    return ValueError(
        f"AutoDiscrete: amortize gave logits of shape {found} for the site {name!r}, which needs "
        f"{(*batch, *event)}: its batch {batch}, then {event}"
    )


def uncovered(names: Iterable[str]) -> ValueError:
    """Returns the refusal of a continuous guide that leaves latent sites out."""
    return ValueError(
        f"AutoDiscrete: the continuous guide has no {', '.join(map(repr, sorted(names)))}; give "
        "continuous= a class or a function of the model, which then sees every continuous site"
    )
