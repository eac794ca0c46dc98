"""Settings of every test: float64 on both hosts, one thread, fixed seeds.

float64 is a property of a JAX process. Tests that are about float32 say so in the arrays that they
make; processes that a test starts begin with JAX's own default.
"""

from __future__ import annotations

import gc
import os

from tests.xla import QUICK

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Set XLA_FLAGS, to nothing if need be, to run them as a user's program would be compiled.
os.environ.setdefault("XLA_FLAGS", QUICK)

import jax
import numpy as np
import pytest
import torch

jax.config.update("jax_enable_x64", True)
# Where in a program an operation stands is only for messages of the compiler.
jax.config.update("jax_traceback_in_locations_limit", 0)
jax.devices()  # Reads the flags; the processes that tests start are to have the defaults again.
if os.environ["XLA_FLAGS"] == QUICK:
    del os.environ["XLA_FLAGS"]
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds():
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def pytest_addoption(parser):
    parser.addoption(
        "--all", action="store_true", help="run what `make test` leaves out for its time too"
    )


def _classes(params):
    """The classes of a test's parameters; a pair of two kinds or of the host's own has none."""
    if "case" in params:
        return {params["case"].name}
    pair = params["pair"]
    return {pair.p} & {pair.q}


def pytest_collection_modifyitems(config, items):
    """Leaves out what is marked long, and all but the first of a class's sets of parameters.

    Of what compiles a program for each class it leaves a class of each kind. Tests that are named
    one by one run whatever they are.
    """
    if config.getoption("--all") or any("::" in arg for arg in config.args):
        return
    from tests.relaxations.case import Case  # With JAX as it is set below.
    from tests.relaxations.cases import ONE_OF_EACH_KIND

    first = {}
    kept, left = [], []
    for item in items:
        params = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        repeats = bool(item.get_closest_marker("compiles_each")) and not (
            getattr(params.get("host"), "name", None) == "pyro"
            or _classes(params) & ONE_OF_EACH_KIND
        )
        case = params.pop("case", None)
        if isinstance(case, Case):
            others = tuple(str(value) for value in params.values())
            key = (item.path, item.originalname, case.name, case.density, others)
            repeats |= first.setdefault(key, case.label) != case.label
        (left if repeats or item.get_closest_marker("long") else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def pytest_collection_finish():
    # What is imported stays: to look through it for garbage again and again takes a tenth of the
    # time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
