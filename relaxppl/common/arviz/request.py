"""What a call of ``to_arviz`` asks for, checked before any program runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from relaxppl.common.arviz.correct import KINDS, proposals


@dataclass(frozen=True)
class Request:
    """What to draw and how to label it.

    :param num_draws: draws of the guide, or of what corrects it.
    :param batch_size: how many draws are made at a time; None decides by their size.
    :param posterior_predictive: whether observed sites are drawn anew.
    :param log_likelihood: whether the log density of each observation is kept.
    :param prior: whether to draw from the model alone, or how often; True is as often as the guide.
    :param correct: None, "psis" or "mh": how draws of the guide are made draws of the posterior.
    :param coords: labels of dimensions, by dimension.
    :param dims: names of the dimensions of a variable that no plate names, by variable.
    :param constant_data: arrays by name; None takes the arrays among the model's arguments.
    :param weighs: what needs the weights of the draws, for the message where they have none.
    :param particles: draws of each row's sites for one draw of the sites above, to correct them.
    :raises TypeError: for a count that is no whole number.
    :raises ValueError: for a count below 1, or a correction that there is not.
    """

    num_draws: int = 1000
    batch_size: int | None = None
    posterior_predictive: bool = True
    log_likelihood: bool = True
    prior: bool | int = False
    correct: str | None = None
    coords: Mapping[str, Any] = field(default_factory=dict)
    dims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    constant_data: Mapping[str, Any] | None = None
    weighs: str | None = None
    particles: int = 16

    def __post_init__(self) -> None:
        _check_count("num_draws", self.num_draws)
        _check_count("particles", self.particles)
        if self.batch_size is not None:
            _check_count("batch_size", self.batch_size)
        if self.correct is not None and self.correct not in KINDS:
            allowed = ", ".join(map(repr, KINDS))
            raise ValueError(f"to_arviz: correct must be None, {allowed}, got {self.correct!r}")
        if not isinstance(self.prior, bool):
            _check_count("prior", self.prior)

    @property
    def needs_weights(self) -> str | None:
        """What needs the weights of the draws, or None."""
        return f"to_arviz: correct={self.correct!r}" if self.correct else self.weighs

    @property
    def guide_draws(self) -> int:
        """How many draws of the guide are made."""
        return proposals(self.correct, self.num_draws)

    @property
    def prior_draws(self) -> int:
        """How many draws of the prior are asked for."""
        return self.num_draws * self.prior if isinstance(self.prior, bool) else int(self.prior)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"to_arviz: {name} must be a whole number of at least 1, got {value!r}")
    if value < 1:
        raise ValueError(f"to_arviz: {name} must be at least 1, got {value}")
