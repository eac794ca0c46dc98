"""What a problem is: a model, its guides, and what its posterior is known to be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.studies.accuracy.hosts import Fit, Host

Draws = Mapping[str, np.ndarray]
"""By site, (draws, *shape)."""


@dataclass(frozen=True)
class Problem:
    """A model with discrete variables whose posterior is known.

    :param about: the data and where they come from, a sentence.
    :param programs: of a host: the model, and how each kind of guide is made, by name.
    :param sampled: the model as NumPyro's ``DiscreteHMCGibbs`` takes it, a site for each variable
        or a plate of them, without arguments.
    :param variables: from draws to the values of the discrete variables, (draws, variables).
    :param marginals: the exact ones, (groups, values).
    :param joint: some of the variables.
    :param table: the exact joint law of those, an axis each.
    :param exact: how the posterior is known.
    :param groups: of each variable the row of ``marginals`` that it has, for variables of one law.
    """

    about: str
    programs: Callable[[Host], tuple[Callable[[], Any], Mapping[str, Fit]]]
    sampled: Callable[[], Any]
    variables: Callable[[Draws], np.ndarray]
    marginals: np.ndarray
    joint: Sequence[int]
    table: np.ndarray
    exact: str
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    def errors(self, draws: Draws) -> tuple[float, float]:
        """Returns the largest error of a marginal, and the total variation of the joint law.

        :param draws: of some posterior.
        """
        values = self.variables(draws).astype(int)
        groups = self.groups if len(self.groups) else np.arange(values.shape[1])
        each = np.stack([(values == k).mean(0) for k in range(self.marginals.shape[1])], 1)
        found = np.zeros(self.marginals.shape)
        np.add.at(found, groups, each)
        found /= np.bincount(groups)[:, None]
        cell = np.ravel_multi_index(tuple(values[:, list(self.joint)].T), self.table.shape)
        share = np.bincount(cell, minlength=self.table.size) / len(cell)
        return (
            float(np.abs(found - self.marginals).max()),
            0.5 * float(np.abs(share - self.table.ravel()).sum()),
        )
