"""What may not be is refused by a ValueError naming it; validation off checks nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.adapter import HOSTS, Host, is_static
from tests.relaxations.case import Bad, Case, element
from tests.relaxations.cases import CASES, both, name_of

BAD = [(host, case, bad) for host, case in both(CASES) for bad in case.bad]


def change(case: Case, bad: Bad) -> dict:
    first = element(case, case.params, (0,) * len(case.batch_shape))
    params = {**first, **bad.change}
    return {
        n: v if is_static(v) else np.asarray(v, float) for n, v in params.items() if v is not None
    }


def label(value) -> str:
    if isinstance(value, Bad):
        shapes = (f"{n}{'' if v is None else np.shape(v)}" for n, v in value.change.items())
        return "+".join(shapes).replace(" ", "")
    return name_of(value)


def own(host: Host, case: Case) -> bool:
    """Whether the class is ours, not one of the host's that is right and only re-exported."""
    return getattr(host.rx, case.name).__module__.startswith("relaxppl")


OURS = [(h, c, b) for h, c, b in BAD if own(h, c)]


@pytest.mark.parametrize(("host", "case", "bad"), OURS, ids=label)
def test_bad_parameter_is_named(host: Host, case: Case, bad: Bad):
    with pytest.raises(ValueError) as error:
        host.make(case.name, change(case, bad))
    for name in re.split(", | and ", bad.names):
        assert re.search(rf"\b{name}\b", str(error.value)), str(error.value)
    assert case.name in str(error.value)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_refusal_says_what_was_given(host: Host):
    for given, said in (({"probs": 0.5, "logits": 0.1}, "probs and logits"), ({}, "none")):
        with pytest.raises(ValueError, match=f"exactly one of probs, logits; got {said}$"):
            host.make("StraightThroughBernoulli", {n: np.array(v) for n, v in given.items()})


@pytest.mark.parametrize(
    ("host", "case", "bad"), [b for b in OURS if not b[2].structural], ids=label
)
def test_without_validation_no_value_is_checked(host: Host, case: Case, bad: Bad):
    assert host.make(case.name, change(case, bad), validate=False) is not None


@pytest.mark.parametrize(("host", "case"), both(CASES), ids=name_of)
def test_values_outside_the_support_are_refused(host: Host, case: Case):
    dist = host.make(case.name, case.params, validate=True)
    if host.name == "pyro" and case.density:
        with pytest.raises(ValueError, match="support"):
            dist.log_prob(host.array(np.full(case.batch_shape + case.event_shape, np.nan)))
    else:
        # NumPyro warns; what lies outside must not count as inside.
        outside = host.array(np.full(case.batch_shape + case.event_shape, np.nan))
        inside = dist.support.check if host.name == "pyro" else dist.support
        assert not host.numpy(inside(outside)).any()
