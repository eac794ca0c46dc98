"""Mistakes that are in print, made on purpose: each must show as bias in the same measurement."""

from __future__ import annotations

import pytest

import relaxppl.pyro as rx
from relaxppl.estimators import base, laws, reach
from relaxppl.pyro.elbo.laws import law_of
from relaxppl.pyro.elbo.program import Program
from relaxppl.relaxations.categorical import OneHot
from tests.hosts.elbo.pyro_cases import PLATE, THREE_LEVELS, TWO_LEVELS, VECTOR
from tests.hosts.elbo.pyro_unbiased import measure

COUPLED = [True, False]


def assert_biased(case, **options):
    outcome = measure(rx.REBAR_ELBO(temperature=0.6, **options), case, case.infer)
    assert outcome.worst > 6


@pytest.mark.parametrize("coupled", COUPLED)
def test_detached_conditional_latent(monkeypatch, coupled):
    pull = laws.Draw.pull
    detached = lambda self, free, conditional: pull(self, free, 0.0 * conditional)  # noqa: E731
    monkeypatch.setattr(laws.Draw, "pull", detached)
    assert_biased(VECTOR, coupled=coupled)


@pytest.mark.parametrize("coupled", COUPLED)
def test_unnormalised_logits(monkeypatch, coupled):
    # Pyro hands normalised logits on: shift them, and take them as they are.
    unnormalised = property(lambda self: self.logits)
    monkeypatch.setattr(OneHot, "log_probs", unnormalised)
    monkeypatch.setattr(
        "relaxppl.pyro.elbo.structure.law_of",
        lambda fn: type(law_of(fn))(law_of(fn).logits + 1.5),
    )
    assert_biased(PLATE, coupled=coupled)


def test_shifted_logits_alone_do_no_harm(monkeypatch):
    monkeypatch.setattr(
        "relaxppl.pyro.elbo.structure.law_of",
        lambda fn: type(law_of(fn))(law_of(fn).logits + 1.5),
    )
    assert measure(rx.REBAR_ELBO(temperature=0.6), PLATE, PLATE.infer).worst < 4


@pytest.mark.parametrize("case", [TWO_LEVELS, THREE_LEVELS], ids=lambda c: c.name)
def test_all_levels_relaxed_at_once(monkeypatch, case):
    monkeypatch.setattr(reach, "levels", lambda sites, names: [tuple(names)])
    assert_biased(case)


@pytest.mark.parametrize("case", [TWO_LEVELS, THREE_LEVELS], ids=lambda c: c.name)
def test_downstream_of_a_level_held(monkeypatch, case):
    monkeypatch.setattr(Program, "downstream", lambda self, names: frozenset())
    assert_biased(case)


def test_downstream_of_a_level_left_hard(monkeypatch):
    soft = laws.Draw.soft

    def hard(self, temperature, law=None):
        value = soft(self, temperature, law)
        return value if law is None else (value > 0.5).to(value)

    monkeypatch.setattr(laws.Draw, "soft", hard)
    assert_biased(TWO_LEVELS)


def test_disarm_with_downstream_held(monkeypatch):
    monkeypatch.setattr(Program, "downstream", lambda self, names: frozenset())
    assert measure(rx.DisARM_ELBO(), TWO_LEVELS).worst > 6


def test_baseline_that_sees_its_own_draw(monkeypatch):
    monkeypatch.setattr(
        "relaxppl.estimators.rloo.leave_one_out", lambda costs, axis: costs.mean(axis)
    )
    assert measure(rx.RLOO_ELBO(), VECTOR).worst > 6


def test_cost_of_other_terms_only(monkeypatch):
    """Leaving a site's own log q out of its downstream cost is a bias too."""
    reward = base.reward

    def without_own(program, site):
        own = [term for term in program.terms if term.guide and term.name == site.name]
        own_part = base.reduce_to(own, site.frames, site.law.logits)
        return reward(program, site) - own_part.detach()

    monkeypatch.setattr(base, "reward", without_own)
    assert measure(rx.ScoreFunction_ELBO(), VECTOR).worst > 6
