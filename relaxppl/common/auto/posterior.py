"""What a trained guide says of its discrete sites: marginals, central values and quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.site import Site
from relaxppl.ops import Array

DRAWS = 10_000
"""How many draws the marginals of a dependent guide are the means of."""


class Posterior:
    """A guide's discrete sites, of which the marginal probabilities are known."""

    _sites: dict[str, Site]

    def _probs(self, logits: Mapping[str, Array]) -> dict[str, Array]:
        """Returns the guide's marginal probabilities of the discrete sites, over the full plates.

        :param args: the model's arguments, needed for amortised sites only.
        :returns: by site: of one, of the site's shape, for a Bernoulli; else of each class or
            count, along the last dimension.
        """
        return {
            n: ops.sigmoid(x) if self._sites[n].kind == "binary" else ops.softmax(x, axis=-1)
            for n, x in logits.items()
        }

    def _medians(self, probs: Mapping[str, Array]) -> dict[str, Array]:
        """Returns a central value of every latent site, over the full plates.

        :param args: the model's arguments, where a part of the guide needs them.
        :returns: by site the median; of a categorical or a one-hot, whose classes have no order,
            the likeliest class.
        """
        result = {n: x[0] for n, x in self._quantiles(probs, np.array([0.5])).items()}
        for name, p in probs.items():
            if not self._sites[name].ordered:
                best = ops.argmax(p, axis=-1)
                one_hot = self._sites[name].kind == "one-hot"
                result[name] = ops.one_hot(best, p.shape[-1], p) if one_hot else best
        return result

    def _quantiles(self, probs: Mapping[str, Array], levels: np.ndarray) -> dict[str, Array]:
        """Returns quantiles of the continuous sites, the Bernoullis and the counts.

        :param quantiles: Q numbers between 0 and 1.
        :param args: the model's arguments, where a part of the guide needs them.
        :returns: by site, (Q, *shape of the site). Categoricals and one-hots, whose classes have no
            order, are not among them: see ``probs``.
        :raises ValueError: for a level outside [0, 1].
        """
        found = {}
        for name, p in probs.items():
            if self._sites[name].ordered:
                binary = self._sites[name].kind == "binary"
                of_levels = binary_quantiles if binary else count_quantiles
                found[name] = self._values(of_levels(ops.as_numpy(p).astype(float), levels), p)
        return found

    def _values(self, counts: np.ndarray, like: Array) -> Array:
        """Returns integers as values of a site whose probabilities are given: a host's hook."""
        raise NotImplementedError


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
