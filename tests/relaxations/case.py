"""What a reference case is, and how the batch of one is compared with unbatched laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tests.adapter import is_static
from tests.relaxations.laws import Discrete, Law

Params = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """Parameters that must be refused.

    :param change: replaces the case's parameters; None removes one.
    :param names: what the error must name.
    :param structural: whether the error is one of shapes or of missing arguments, raised even with
        validation off.
    """

    change: Params
    names: str
    structural: bool = False


@dataclass(frozen=True)
class Case:
    """A class at given parameters.

    :param name: the class.
    :param label: distinguishes the cases of a class.
    :param params: its arguments; arrays are batched, static ones plain Python values.
    :param law: the reference, from the parameters of one element of the batch.
    :param ranks: the event rank of each parameter that has one.
    :param surrogate: of straight-through samples, (noise (n, *noise_event), **element) to the
        value (n, *event) whose gradient the sample carries.
    :param held: whether the surrogate holds something at the parameters given as its ``centre``.
    :param gives: which of mean, variance, entropy, cdf and icdf it must give; others it may refuse.
    :param extremes: float32 parameters at the ends of what is allowed, each a broadcast batch.
    :param bad: parameters that must be refused.
    :param density: whether it has a log_prob.
    :param whole: whether values are of an integer type.
    :param reparameterized: whether gradients reach the parameters through a sample.
    """

    name: str
    label: str
    params: Params
    law: Callable[..., Law]
    ranks: dict[str, int] = field(default_factory=dict)
    surrogate: Callable | None = None
    held: bool = False
    gives: frozenset[str] = frozenset({"mean", "variance"})
    extremes: tuple[Params, ...] = ()
    bad: tuple[Bad, ...] = ()
    density: bool = True
    reparameterized: bool = True
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.label}"

    @property
    def arrays(self) -> Params:
        return {n: np.asarray(v, float) for n, v in self.params.items() if not is_static(v)}

    @property
    def static(self) -> Params:
        return {n: v for n, v in self.params.items() if is_static(v)}

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return batch_shape(self, self.params)

    @cached_property
    def first_law(self) -> Law:
        """The reference of the first element of the batch."""
        return next(iter(elements(self)))[1]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.first_law.event_shape

    @property
    def discrete(self) -> bool:
        """Whether the law is a finite list of values."""
        return isinstance(self.first_law, Discrete)


def batch_shape(case: Case, params: Params) -> tuple[int, ...]:
    shapes = [
        np.shape(v)[: np.ndim(v) - case.ranks.get(n, 0)]
        for n, v in params.items()
        if not is_static(v)
    ]
    return np.broadcast_shapes(*shapes)


def element(case: Case, params: Params, index: tuple[int, ...]) -> Params:
    """The parameters of one element of the batch."""
    batch = batch_shape(case, params)

    def pick(name, value):
        if is_static(value):
            return value
        value = np.asarray(value, float)
        event = value.shape[value.ndim - case.ranks.get(name, 0) :]
        return np.broadcast_to(value, batch + event)[index]

    return {n: pick(n, v) for n, v in params.items()}


def elements(case: Case, params: Params | None = None) -> Iterator[tuple[tuple[int, ...], Law]]:
    """The index and the law of every element of the batch."""
    params = case.params if params is None else params
    for index in np.ndindex(batch_shape(case, params)):
        yield index, case.law(**element(case, params, index))


def reference_log_prob(case: Case, x: np.ndarray, params: Params | None = None) -> np.ndarray:
    """The reference log density of values (n, *batch, *event), (n, *batch)."""
    out = np.empty(x.shape[: x.ndim - len(case.event_shape)])
    for index, law in elements(case, params):
        out[(slice(None), *index)] = law.log_prob(x[(slice(None), *index)])
    return out


def reference_samples(case: Case, seed: int, n: int, params: Params | None = None) -> np.ndarray:
    """Independent draws from the references, (n, *batch, *event)."""
    rng = np.random.default_rng(seed)
    params = case.params if params is None else params
    out = np.empty((n, *batch_shape(case, params), *case.event_shape))
    for index, law in elements(case, params):
        out[(slice(None), *index)] = law.sample(rng, n)
    return out
