"""The table: what users have, a row each, and what the library does, a column each.

The rows' programs are in ``on_numpyro`` and ``on_pyro``; the tests run every cell, and
``python -m tests.composition.matrix --write`` puts the table into docs/composition.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from relaxppl.estimators.choice import ESTIMATORS

ELBOS = tuple(estimator.__name__ for estimator in ESTIMATORS.values())
TOOLS = ("relax", "discrete_elbo", "gradient_stats", "to_arviz", "recommend")
COLUMNS = ELBOS + TOOLS


class Refusal(NamedTuple):
    """A cell that does not work.

    :param error: what is raised.
    :param message: a pattern of what it says.
    :param way_out: for the page.
    """

    error: type[Exception]
    message: str
    way_out: str


class Row(NamedTuple):
    """Something that users have.

    :param name: of its program in the tests.
    :param what: for the page.
    :param checked: what its cells of ELBOs are compared with, for the page.
    :param quick: the columns that `make test` runs; `make test-all` runs all.
    :param refused: by column.
    """

    name: str
    what: str
    checked: str
    quick: tuple[str, ...]
    refused: Mapping[str, Refusal] = {}


_NETWORK = "the gradient of the same network written by hand; the running means of the host's ELBO"
_GUIDE = "the gradient of the same guide written by hand"

_AUTO_COUPLED = {
    "Coupled": Refusal(
        NotImplementedError,
        "'coupled' does not support.*Choose one of",
        "it takes counts, and these sites are bits; the sites of `AutoDiscrete` that are counts "
        "have a law of finitely many values, which `LocalExpectation_ELBO` sums",
    )
}


def _auto(name: str, *quick: str) -> Row:
    return Row(name, f"`AutoDiscrete(continuous={name})`", _GUIDE, quick, _AUTO_COUPLED)


NUMPYRO = (
    Row(
        "nnx_module",
        "`nnx_module` with BatchNorm",
        _NETWORK,
        ("REBAR", "discrete_elbo", "to_arviz"),
    ),
    Row("eqx_module", "`eqx_module` with BatchNorm", _NETWORK, ("REBAR", "gradient_stats")),
    Row("flax_module", "`flax_module` with BatchNorm", _NETWORK, ("REBAR",)),
    Row(
        "guide_list",
        "`AutoGuideList` of `AutoNormal`, `AutoDiscrete` and a guide by hand",
        _GUIDE,
        ("DisARM",),
        _AUTO_COUPLED,
    ),
    _auto("AutoNormal", "DisARM"),
    _auto("AutoMultivariateNormal", "relax"),
    _auto("AutoLowRankMultivariateNormal", "Coupled"),
    _auto("AutoDelta", "VIMCO"),
    Row(
        "optax",
        "an optax chain with a schedule, in place of `numpyro.optim`",
        "steps as long as the chain clips and schedules them",
        ("ScoreFunction",),
    ),
    Row(
        "stable_update",
        "`svi.run(stable_update=True)`",
        "the plain step; data that are not finite change nothing",
        ("ScoreFunction",),
    ),
    Row(
        "forward_mode",
        "`svi.run(forward_mode_differentiation=True)`",
        "reverse mode",
        ("REBAR",),
    ),
    Row("sharding", "data on a `jax.sharding.Mesh`", "the gradient of one device", ("REBAR",)),
)

ROWS: dict[str, tuple[Row, ...]] = {"numpyro": NUMPYRO}


def cells(host: str) -> list[Any]:
    """Returns a test's parameters (row, column); those that are not quick are long."""
    found = []
    for row in ROWS[host]:
        for column in COLUMNS:
            marks = () if column in row.quick else (pytest.mark.long,)
            found.append(pytest.param(row, column, marks=marks, id=f"{row.name}-{column}"))
    return found


def check(case: Any, row: Row, column: str) -> None:
    """Runs a cell."""
    refusal = row.refused.get(column)
    run = getattr(case, column) if column in TOOLS else lambda: case.elbo(column)
    if refusal is None:
        run()
        return
    with pytest.raises(refusal.error, match=refusal.message):
        run()
