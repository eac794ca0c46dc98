"""The check of unbiasedness sees the mistakes that estimators like these are known for."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import relaxppl.numpyro as rx
from relaxppl.estimators import laws, reach
from relaxppl.numpyro.elbo import structure
from relaxppl.relaxations import relaxed_one_hot
from tests.hosts.elbo.numpyro_cases import PLATE, TWO_LEVELS, VECTOR
from tests.hosts.elbo.unbiased import measure


def detach_conditional(monkeypatch):
    """z~ detached from the logits."""
    pull = laws.Draw.pull
    monkeypatch.setattr(
        laws.Draw, "pull", lambda self, free, conditional: pull(self, free, 0.0 * conditional)
    )


def unnormalised_logits(monkeypatch):
    """The latents given a class from logits whose exponentials do not sum to one."""
    law = relaxed_one_hot.Concrete
    original = law.latent_given_hard

    def wrong(self, hard, noise):
        other = law(temperature=self.temperature, logits=self.logits)
        other.__dict__["log_probs"] = self.logits
        return original(other, hard, noise)

    monkeypatch.setattr(law, "latent_given_hard", wrong)


def all_levels_at_once(monkeypatch):
    """Every site relaxed in one evaluation, dependent or not."""
    monkeypatch.setattr(reach, "levels", lambda sites, names: [tuple(names)] if names else [])


def downstream_kept(monkeypatch):
    """The sites below a level keep the values drawn from its hard values."""
    monkeypatch.setattr(structure.Structure, "downstream", lambda self, names: frozenset())


MUTATIONS = [
    (detach_conditional, VECTOR),
    # The others are seen on Pyro, and the last with DisARM below.
    pytest.param(unnormalised_logits, PLATE, marks=pytest.mark.long),
    (all_levels_at_once, TWO_LEVELS),
    pytest.param(downstream_kept, TWO_LEVELS, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("mutate", "case"), MUTATIONS, ids=lambda x: getattr(x, "__name__", ""))
def test_mutation_is_seen(monkeypatch, mutate, case):
    mutate(monkeypatch)
    assert measure(rx.REBAR_ELBO(temperature=0.6, learn=False), case).worst > 6


def test_dropped_downstream_is_seen_by_disarm(monkeypatch):
    downstream_kept(monkeypatch)
    assert measure(rx.DisARM_ELBO(), TWO_LEVELS, draws=20_000).worst > 6


def test_dropped_score_term_is_seen(monkeypatch):
    from relaxppl.estimators import score

    monkeypatch.setattr(score, "surrogate", lambda log_prob, advantage: jnp.zeros(()))
    assert measure(rx.ScoreFunction_ELBO(), VECTOR, draws=20_000).worst > 6
