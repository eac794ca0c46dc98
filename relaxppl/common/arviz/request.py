"""What a call of ``to_arviz`` asks for, checked before any program runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from relaxppl.common.arviz.correct import KINDS, proposals


@dataclass(frozen=True)
class Request:
    """What to draw and how to label it.

    :param num_draws: how many draws of the guide.
    :param batch_size: how many draws are made at a time; None chooses by the memory they take.
    :param posterior_predictive: whether observed sites are drawn anew for every draw.
    :param log_likelihood: whether to keep the log density of every observation, unscaled.
    :param prior: whether to draw from the model alone; a number for another number of draws.
    :param correct: None for draws of the guide as they are; "psis" for draws of the posterior,
        picked among ten times as many of the guide's by their Pareto smoothed weights; "mh" for
        four Markov chains over as many, with their ``acceptance_rate`` in ``sample_stats``. Where
        every site of both programs lies in the same plates, the elements of these are corrected
        one by one.
    :param coords: labels of dimensions, by dimension.
    :param dims: names of the dimensions of a site that are no plate's (or of all), by site.
    :param constant_data: arrays by name, in place of those among the arguments.
    :param weighs: what needs the weights of the draws, for the message where they have none.
    :param particles: how many draws are made of the sites of each row, for one draw of the sites
        above them, where a correction finds rows that are independent given what is above.
    :raises TypeError: for a count that is no whole number.
    :raises ValueError: for a count below 1, or a correction that there is not.
    """

    num_draws: int = 1000
    batch_size: int | None = None
    posterior_predictive: bool = True
    log_likelihood: bool = True
    prior: bool | int = False
    correct: str | None = None
    coords: Mapping[str, Any] | None = None
    dims: Mapping[str, Sequence[str]] | None = None
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
