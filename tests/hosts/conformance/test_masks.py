"""Masks: what they hide counts for nothing in values, gradients and divergences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.adapter import Host
from tests.common.divergences.pairs import WITH_RULE
from tests.hosts.conformance.rows import DENSITY, over, value
from tests.relaxations.case import Case, Params, reference_log_prob, reference_samples


def keep(case: Case) -> np.ndarray:
    return np.arange(case.batch_shape[-1]) % 2 == 0


@pytest.mark.compiles_each
@over(DENSITY)
def test_what_is_masked_counts_for_nothing(host: Host, case: Case):
    points, kept = reference_samples(case, 2, 2), keep(case)
    full, weights = reference_log_prob(case, points), np.array([[1.0], [2.0]])
    # NumPyro promises that rows padded with anything stay out of values and gradients.
    hidden = kept.reshape(kept.shape + (1,) * len(case.event_shape))
    may_pad = host.name == "numpyro" and case.name != "FiniteCount"
    padded = np.where(hidden, points, np.nan) if may_pad else points

    def run(given, x, mask, weights):
        def total(given):
            log_prob = host.build(case.name, {**given, **case.static}).mask(mask).log_prob(x)
            return (log_prob * weights).sum(), log_prob

        return host.with_gradient(total)(given)

    run = host.compiled(run)
    found = []
    for x, mask, w in (padded, kept, weights), (points, kept | True, weights * kept):
        inputs = value(host, case, x), host.array(mask, "bool"), host.array(w)
        (_, log_prob), grads = run(host.arrays(case.arrays), *inputs)
        np.testing.assert_allclose(host.numpy(log_prob), full * mask, rtol=1e-8)
        found.append(grads)
    for name, masked in found[0].items():
        np.testing.assert_allclose(masked, found[1][name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.compiles_each
@over(DENSITY)
def test_masks_around_events_and_expansions(host: Host, case: Case):
    points, kept = reference_samples(case, 2, 2), keep(case)
    full = reference_log_prob(case, points)

    def run(given, x, mask):
        masked = host.build(case.name, {**given, **case.static}).mask(mask)
        return {
            "event": masked.expand((2, *case.batch_shape)).to_event(1).log_prob(x),
            "none": masked.mask(False).log_prob(x),
            "no event": masked.to_event(1).mask(False).log_prob(x),
        }

    wanted = {
        "event": (full * kept).sum(-1),
        "none": 0 * full,
        "no event": 0 * full.sum(-1),
    }
    given = host.arrays(case.arrays), value(host, case, points), host.array(kept, "bool")
    for what, found in host.compiled(run)(*given).items():
        assert tuple(found.shape) == wanted[what].shape, what
        np.testing.assert_allclose(host.numpy(found), wanted[what], rtol=1e-8, err_msg=what)


RULED = WITH_RULE | {"FiniteCount"}
LOCATION = ("logits", "loc", "initial_logits")


def location_of(host: Host, case: Case) -> Params:
    return {n: v for n, v in host.arrays(case.arrays).items() if n in LOCATION}


def pair(host: Host, case: Case, others: Params, location: Params) -> tuple[Any, Any]:
    """Two of a class with all but the location in common."""
    given = {**others, **location}
    moved = {n: v + host.array(0.2 * np.arange(1, 1 + v.shape[-1])) for n, v in location.items()}
    return host.build(case.name, given), host.build(case.name, {**given, **moved})


@over([case for case in DENSITY if case.name in RULED])
def test_divergences_through_masks_events_and_expansions(host: Host, case: Case):
    kl, kept = host.rx.kl_divergence, keep(case)
    wide = (2, *case.batch_shape)
    ways = {
        "itself": lambda d, mask: d,
        "masked": lambda d, mask: d.mask(mask),
        "event": lambda d, mask: d.expand(wide).to_event(1).mask(mask[:2]),
        "none": lambda d, mask: d.mask(False),
    }

    # Outside of the compiled program, where equal values are known to be equal.
    others = host.arrays(case.params)

    def run(location, mask):
        return {
            what: kl(*(wrap(d, mask) for d in pair(host, case, others, location)))
            for what, wrap in ways.items()
        }

    found = host.compiled(run)(location_of(host, case), host.array(kept, "bool"))
    plain = host.numpy(found["itself"])
    assert plain.shape == case.batch_shape
    assert (plain > 0).all()
    wanted = {"masked": plain * kept, "event": plain.sum(-1) * kept[:2], "none": 0 * plain}
    for what, right in wanted.items():
        np.testing.assert_allclose(found[what], right, rtol=1e-9, err_msg=what)


@over([case for case in DENSITY if case.name not in RULED])
def test_without_a_rule_every_wrapping_is_refused(host: Host, case: Case):
    p, q = pair(host, case, host.arrays(case.params), location_of(host, case))
    for wrap in (lambda d: d, lambda d: d.mask(True), lambda d: d.to_event(1)):
        with pytest.raises(NotImplementedError):
            host.rx.kl_divergence(wrap(p), wrap(q))
