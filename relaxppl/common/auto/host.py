"""What ``AutoDiscrete`` takes from a host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from relaxppl.common.sites import Sites


@dataclass(frozen=True)
class Host:
    """A host's statements and the classes of the guide's laws.

    :param runtime: the host itself, for its statements and its distributions.
    :param sites: says of what kind a discrete site is.
    :param one_hot: the class of one-hot vectors.
    :param sequence: the joint law of variables that are drawn one after the other.
    :param chain: that of variables each of which sees the one before alone.
    :param biject_to: from a support to the map of the whole line onto it.
    :param sum_rightmost: sums an array over as many dimensions from the right as are given.
    """

    runtime: Any
    sites: Sites
    one_hot: Callable[..., Any]
    sequence: Callable[..., Any]
    chain: Callable[..., Any]
    biject_to: Callable[[Any], Any]
    sum_rightmost: Callable[[Any, int], Any]

    @cached_property
    def laws(self) -> Mapping[str, Callable[..., Any]]:
        """The classes of the guide's laws, by the kind of a site."""
        return {
            "binary": self.runtime.distributions.Bernoulli,
            "one-hot": self.one_hot,
            "integer": self.runtime.distributions.Categorical,
            "count": self.sites.finite_count,
        }
