"""Every public distribution class of the package has its row here, and so all of the suite."""

from __future__ import annotations

import inspect

import numpyro.distributions
import pytest
import torch.distributions

from tests.adapter import HOSTS, Host
from tests.hosts.conformance.rows import ROWS
from tests.relaxations.cases import name_of

BASES = {
    "numpyro": numpyro.distributions.Distribution,
    "pyro": torch.distributions.Distribution,
}


def public(host: Host) -> set[str]:
    """The names of the distribution classes that the host's module exports."""
    named = {name: getattr(host.rx, name) for name in host.rx.__all__}
    base = BASES[host.name]
    return {n for n, c in named.items() if inspect.isclass(c) and issubclass(c, base)}


@pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
def test_every_public_class_has_a_row(host: Host):
    assert public(host) == {case.name for case in ROWS}


def test_every_row_has_a_batch_that_varies():
    # Without one a test of batches would pass for a class that has none.
    assert all(len(case.batch_shape) == 1 and case.batch_shape[0] > 1 for case in ROWS)
