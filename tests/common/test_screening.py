"""How recommend spends a bounded time, by a clock that only what is measured moves."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyro
import pytest

from relaxppl.common.diagnostics import Draws, Moments
from relaxppl.common.recommend import screening
from tests.adapter import compiled_slowly


class Fake:
    """A sampler of gradients with a known variance, after a setup that takes its time.

    :param clock: a list of one number, the time.
    :param each: the seconds of one gradient.
    :param setup: those before the first.
    :param variance: of a gradient.
    """

    evaluations = 1.0

    def __init__(
        self, clock: list[float], each: float, setup: float = 0.0, variance: float = 1.0
    ) -> None:
        self.clock, self.each, self.setup, self.variance = clock, each, setup, variance
        self.learned = 0

    def draw(self, count: int) -> Moments:
        self.clock[0] += self.setup + count * self.each
        self.setup = 0.0
        deviation = {"q": np.array(self.variance * max(count - 1, 1))}
        return Moments(count, {"q": np.array(0.0)}, deviation, 0.0, 0.0)

    def tune(self, steps: int) -> None:
        self.clock[0] += steps * self.each
        self.learned += steps


def spend(seconds: float, fakes: dict[str, dict[str, float]], **options: Any) -> Any:
    clock = [0.0]
    budget = screening.Budget(seconds, lambda: clock[0])
    made = {name: Fake(clock, **fake) for name, fake in fakes.items()}
    makers = {name: (lambda name=name: made[name]) for name in fakes}
    found = screening.screen(makers, budget, 100, 1000, **options)
    at = clock[0]
    screening.refine(found.draws, budget, 1000)
    return found, at, clock[0], made


def test_all_are_screened_before_the_best_get_more() -> None:
    fakes = {
        "bad": {"each": 0.01, "variance": 100.0},
        "good": {"each": 0.01},
        "near": {"each": 0.01, "variance": 2.0},
    }
    found, screened, spent, made = spend(10.0, fakes)
    assert screened < 3.0
    assert 8.0 < spent <= 10.0
    counts = {name: draws.count for name, draws in found.draws.items()}
    assert counts["bad"] < 50
    assert counts["good"] > 200
    assert counts["near"] > 200
    assert not found.failures
    # What is learned may take a part of the time only.
    assert {fake.learned for fake in made.values()} == {40}


def test_nothing_is_begun_that_would_not_end_in_time() -> None:
    fakes = {name: {"each": 0.001, "setup": 3.0} for name in "abcdef"}
    found, _, spent, _ = spend(9.0, fakes)
    assert list(found.draws) == ["a", "b"]
    assert found.failures == dict.fromkeys("cdef", screening.OUT_OF_TIME)
    assert spent <= 9.0
    found, _, spent, _ = spend(20.0, fakes)
    assert list(found.draws) == list("abcde")
    assert spent <= 20.0


def test_a_first_that_warms_up_does_not_shut_the_others_out() -> None:
    fakes = {name: {"each": 0.001, "setup": 4.0 if name == "a" else 0.1} for name in "abcd"}
    found, _, spent, _ = spend(5.0, fakes)
    assert list(found.draws) == list("abcd")
    assert spent <= 5.0


def test_two_are_measured_however_long_they_take() -> None:
    fakes = {name: {"each": 0.001, "setup": 30.0} for name in "abc"}
    found, _, spent, _ = spend(5.0, fakes)
    assert list(found.draws) == ["a", "b"]
    assert 60.0 < spent < 61.0
    # Slow gradients are drawn as rarely as a variance allows, and nothing learns.
    found, _, spent, made = spend(5.0, {name: {"each": 2.0} for name in "abc"})
    assert [draws.count for draws in found.draws.values()] == [2, 2]
    assert [fake.learned for fake in made.values()] == [0, 0, 0]


def test_what_is_compiled_already_is_not_left_out() -> None:
    fakes = {name: {"each": 0.001, "setup": 0.0 if name == "c" else 4.0} for name in "abcd"}
    found, _, spent, _ = spend(10.0, fakes, ready=("c",))
    assert list(found.draws) == ["a", "b", "c"]
    assert spent <= 10.0


@pytest.mark.parametrize(("seconds", "optimised"), [(10.0, False), (100.0, True)])
def test_optimised_where_there_is_time_for_it(seconds: float, optimised: bool) -> None:
    clock = [0.0]
    budget = screening.Budget(seconds, lambda: clock[0])
    quick, slow = (
        {name: (lambda setup=setup: Fake(clock, 0.001, setup)) for name in "abc"}
        for setup in (1.0, 4.0)
    )
    found = screening.screen(quick, budget, 0, 10, optimising=slow)
    assert found.optimised is optimised
    assert set(found.draws) == set("abc")
    assert set(map(round, found.setup.values())) == {4 if optimised else 1}


def test_what_fails_counts_as_nothing_and_says_why() -> None:
    clock = [0.0]

    def broken() -> Any:
        error = ValueError("no\nmore")
        error.add_note("This was raised at 'z'.\nAnd so on.")
        error.add_note("-----\nof the backend")
        raise error

    budget = screening.Budget(1.0, lambda: clock[0])
    makers = {"a": broken, "b": lambda: Fake(clock, 0.1, 5.0), "c": lambda: Fake(clock, 0.1)}
    found = screening.screen(makers, budget, 0, 10)
    assert list(found.draws) == ["b", "c"]
    assert found.failures == {"a": "no This was raised at 'z'."}


def test_without_variance_the_others_are_told_apart_all_the_same() -> None:
    clock = [0.0]
    budget = screening.Budget(10.0, lambda: clock[0])
    drawn = {}
    for name, variance in (("exact", 0.0), ("good", 1.0), ("bad", 50.0)):
        drawn[name] = Draws(name, Fake(clock, 0.01, 0.0, variance), lambda: clock[0])
        drawn[name].draw(2)
    screening.refine(drawn, budget, 1000)
    assert drawn["exact"].count == drawn["good"].count > 100
    assert drawn["bad"].count == 2


@compiled_slowly
def test_a_real_program_keeps_its_time(host: Any, monkeypatch: Any) -> None:
    """Given half as much again as the two losses take that are always measured."""
    pyro.clear_param_store()
    # What others do on this machine is not its to keep.
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    x = host.array([[1.0, -0.5, 0.3], [0.2, 0.8, -1.0]])

    def model() -> None:
        b = host.sample("b", host.dist.Bernoulli(host.array([0.3, 0.6, 0.5])).to_event(1))
        host.sample("y", host.dist.Normal(x @ b, 0.5).to_event(1), obs=host.array([0.5, 0.9]))

    def guide() -> None:
        logits = host.lib.param("logits", host.array([0.1, 0.0, -0.2]))
        host.sample("b", host.dist.Bernoulli(logits=logits).to_event(1))

    begin = time.perf_counter()
    host.rx.recommend(model, guide, seconds=1e-3, num_draws=2, tune=0)
    # What is spent once, whatever the limit, is small beside three seconds on a slow machine too.
    seconds = max(1.5 * (time.perf_counter() - begin), 3.0)
    begin = time.perf_counter()
    found = host.rx.recommend(model, guide, seconds=seconds, num_draws=10_000_000, tune=10)
    spent = time.perf_counter() - begin
    assert spent < 1.2 * seconds
    assert {"REBAR_ELBO()", "ScoreFunction_ELBO()"} <= set(found.ranking)
    said = str(found)
    assert "REBAR_ELBO(): measured below; its first gradient took" in said
    assert f"of {seconds:g} s were spent" in said
