"""What is kept of one simulation: how the true values stand among the guide's draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.common.arviz.labels import Labels, plain
from relaxppl.common.arviz.prototype import HARD
from relaxppl.common.relax import is_discrete
from relaxppl.common.relax.host import holds_flags
from relaxppl.common.sites import Sites
from relaxppl.ops import as_numpy

LOG_JOINT = "log_joint"
"""The log density of data and latent values together, which depends on both: a guide that knows
nothing of the data has the right ranks of every site and wrong ones of this."""


@dataclass(frozen=True)
class Quantity:
    """How the values of a site are compared.

    :param classes: for zeros and ones 0, for integers without an order how many there are; None
        for values that have ranks.
    :param shape: of one value, a flag for each class last.
    :param dims: the names of its dimensions.
    :param tolerance: the relative difference up to which values count as equal.
    """

    classes: int | None
    shape: tuple[int, ...]
    dims: tuple[str, ...] = ()
    tolerance: float = 0.0

    @property
    def is_flags(self) -> bool:
        """Whether probabilities are compared, in place of ranks."""
        return self.classes is not None

    def counts(self, truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the two numbers that are kept for each data set and element.

        For flags they are the true value and the number of draws that are one, else the number of
        draws below the true value and that of those equal to it.

        :param truth: (data sets, *shape of the site).
        :param draws: (data sets, draws, *shape of the site).
        """
        if self.classes:
            at = np.arange(self.classes)
            truth, draws = truth[..., None] == at, draws[..., None] == at
        flat = truth.reshape(len(truth), -1)
        each = draws.reshape(*draws.shape[:2], -1)
        if self.is_flags:
            return flat.astype(np.int64), each.astype(np.int64).sum(1)
        # Sums of floats that are equal on paper differ by the order of their terms.
        near = self.tolerance * np.maximum(1.0, np.abs(flat)) if self.tolerance else 0
        below = each < (flat - near)[:, None]
        return below.sum(1), ((each <= (flat + near)[:, None]) & ~below).sum(1)


def quantities(
    variables: Sites, latents: Mapping[str, Mapping[str, Any]], sites: Mapping[str, Any]
) -> dict[str, Quantity]:
    """Returns how the values of the model's latent sites are compared, and their log density.

    :param variables: says of what kind a discrete site is.
    :param latents: the sites' messages, by name.
    :param sites: what a first run showed of them.
    """
    labels = Labels(sites, list(sites), {}, {})
    made = {}
    for name, site in latents.items():
        shape, fn = tuple(np.shape(as_numpy(site["value"]))), site["fn"]
        at, classes = labels.of(name, name, shape), None
        if is_discrete(fn) and holds_flags(variables.laws.host, fn):
            classes = 0
        elif variables.kind_of(fn) == "integer":
            classes = variables.classes_of(fn)
            shape, at = (*shape, classes), (*at, f"{plain(name)}_class")
        made[name] = Quantity(classes, shape, at)
    made[LOG_JOINT] = Quantity(None, (), tolerance=1e-5)
    return made


def drawn_of(name: str, posterior: Mapping[str, Any]) -> Any:
    """Returns a site's draws, those of its hardened values where it is relaxed."""
    return posterior[name + HARD] if name + HARD in posterior else posterior[name]
