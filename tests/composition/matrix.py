"""The table: what users have, a row each, and what the library does, a column each.

The rows' programs are in ``on_numpyro`` and ``on_pyro``; the tests run every cell, and
``python -m tests.composition.matrix --write`` puts the table into docs/composition.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
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


_NETWORK = "the same network by hand; the running means of the host's ELBO"
_GUIDE = "the same guide by hand"

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
        ("REBAR", "discrete_elbo"),
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
    _auto("AutoMultivariateNormal", "Coupled"),
    _auto("AutoLowRankMultivariateNormal", "Coupled"),
    _auto("AutoDelta", "VIMCO"),
    Row(
        "optax",
        "an optax chain with a schedule, in place of `numpyro.optim`",
        "steps as the chain clips and schedules them",
        ("ScoreFunction",),
    ),
    Row(
        "stable_update",
        "`svi.run(stable_update=True)`",
        "a step that data which are not finite leave undone",
        ("ScoreFunction",),
    ),
    Row(
        "forward_mode",
        "`svi.run(forward_mode_differentiation=True)`",
        "what reverse mode gives",
        ("REBAR",),
    ),
    Row("sharding", "data on a `jax.sharding.Mesh`", "the same on plain data", ("ScoreFunction",)),
)

_KINDS = ("ScoreFunction", "REBAR", "VIMCO", "relax")

PYRO = (
    Row("pyro_module", "`pyro.module` with BatchNorm", _NETWORK, (*ELBOS, "relax", "to_arviz")),
    Row("PyroModule", "`PyroModule` with BatchNorm", _NETWORK, (*_KINDS, "recommend")),
    Row(
        "guide_list",
        "`AutoGuideList` of `AutoNormal`, `AutoDiscrete` and a guide by hand",
        _GUIDE,
        (*_KINDS, "gradient_stats"),
        _AUTO_COUPLED,
    ),
    _auto("AutoNormal", *_KINDS),
    _auto("AutoMultivariateNormal", "REBAR", "discrete_elbo", "Coupled"),
    _auto("AutoLowRankMultivariateNormal", "VIMCO"),
    _auto("AutoDelta", "REBAR", "relax"),
    Row(
        "plain_loop",
        "a loop over `differentiable_loss` and `torch.optim`",
        _NETWORK,
        (*_KINDS, "RELAX"),
    ),
    Row("ELBOModule", "the loss as a module, `elbo(model, guide)`", _NETWORK, (*_KINDS, "RELAX")),
    Row("torch_compile", "networks under `torch.compile`", _NETWORK, ("ScoreFunction", "REBAR")),
    Row(
        "compiled_step",
        "`fit(compile=True)`, and `JitTrace_ELBO` for relax",
        _NETWORK,
        ("DisARM", "REBAR", "relax"),
    ),
    Row("ddp", "`DistributedDataParallel` around the loss as a module", _NETWORK, _KINDS),
)

ROWS: dict[str, tuple[Row, ...]] = {"numpyro": NUMPYRO, "pyro": PYRO}


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


def table(host: str) -> str:
    """Returns the table of a host, and the ways out of what is refused, as the page has them."""
    head = ["what you have", "the ELBOs", *(f"`{tool}`" for tool in TOOLS), "an ELBO gives"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    ways_out: list[str] = []

    def number(refusal: Refusal) -> int:
        text = refusal.way_out
        if text not in ways_out:
            ways_out.append(text)
        return ways_out.index(text) + 1

    for row in ROWS[host]:
        refused = [name for name in ELBOS if name in row.refused]
        left = ", ".join(f"`{name}_ELBO` ({number(row.refused[name])})" for name in refused)
        elbos = f"all but {left}" if left else "all"
        tools = [f"no ({number(row.refused[t])})" if t in row.refused else "yes" for t in TOOLS]
        lines.append(f"| {' | '.join([row.what, elbos, *tools, row.checked])} |")
    notes = [f"({i}) Refused by name: {text}." for i, text in enumerate(ways_out, 1)]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


PAGE = Path(__file__).parents[2] / "docs" / "composition.md"
_MARKED = "<!-- table: {host}, made by tests/composition/matrix.py -->\n"


def parts(host: str, text: str) -> tuple[str, str, str]:
    """Returns what a page has before a host's table, the table, and the rest."""
    mark = _MARKED.format(host=host)
    start = text.index(mark) + len(mark)
    end = text.index("<!-- end -->", start)
    return text[:start], text[start:end], text[end:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    write, text = parser.parse_args().write, PAGE.read_text(encoding="utf-8")
    for host in ROWS:
        before, _, after = parts(host, text)
        text = f"{before}\n{table(host)}\n{after}"
    if write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print("\n".join(table(host) for host in ROWS))


if __name__ == "__main__":
    main()
