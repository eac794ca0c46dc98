"""Settings of every test: float64 on both hosts, one thread, fixed seeds.

``RELAXPPL_TEST_HOSTS`` names the hosts of an environment without both; its make target sets it.

float64 is a property of a JAX process. Tests that are about float32 say so in the arrays that they
make; processes that a test starts begin with JAX's own default.
"""

from __future__ import annotations

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time of these tests is XLA's: compilation that does not optimise is several times
# faster. Set XLA_FLAGS, to nothing if need be, to run them as a user's program would be compiled.
_QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", _QUICK)

import jax
import numpy as np
import pytest

if "pyro" in os.environ.get("RELAXPPL_TEST_HOSTS", "numpyro,pyro").split(","):
    import torch
else:
    torch = None

jax.config.update("jax_enable_x64", True)
jax.devices()  # Reads the flags; the processes that tests start are to have the defaults again.
if os.environ["XLA_FLAGS"] == _QUICK:
    del os.environ["XLA_FLAGS"]
if torch is not None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds():
    np.random.seed(0)  # noqa: NPY002
    if torch is not None:
        torch.manual_seed(0)


def pytest_collection_finish():
    # What is imported stays: to look through it for garbage again and again takes a tenth of the
    # time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
