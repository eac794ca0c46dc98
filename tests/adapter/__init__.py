"""NumPyro and Pyro behind one interface, so that a test is written once.

Of distributions: parameters go in and values come out as NumPy arrays; static parameters (a count,
a flag) are plain Python values. Of programs: the host's primitives and handlers. Functions under
test take and return arrays of the host.
"""

from __future__ import annotations

import pytest

from tests.adapter.base import Host, called, is_static
from tests.adapter.on_numpyro import NumPyro
from tests.adapter.on_pyro import Pyro

__all__ = ["HOSTS", "Host", "both", "called", "compiled_slowly", "is_static"]

HOSTS = {"numpyro": NumPyro(), "pyro": Pyro()}
both = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
compiled_slowly = pytest.mark.parametrize(
    "host",
    [pytest.param(HOSTS["numpyro"], marks=pytest.mark.long, id="numpyro"), HOSTS["pyro"]],
    ids=lambda host: host.name,
)
"""The same where what the hosts share is tested, and NumPyro takes seconds to compile it."""
