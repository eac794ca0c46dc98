"""docs/composition.md has the table that the tests run."""

from __future__ import annotations

import pytest

from relaxppl.common.public import NAMES
from tests.composition import matrix


@pytest.mark.parametrize("host", matrix.ROWS)
def test_page_and_table_are_equal(host: str) -> None:
    text = matrix.PAGE.read_text(encoding="utf-8")
    assert matrix.parts(host, text)[1].strip() == matrix.table(host).strip()


def test_every_elbo_is_a_column_and_every_column_is_run() -> None:
    assert {f"{name}_ELBO" for name in matrix.ELBOS} == {n for n in NAMES if n.endswith("_ELBO")}
    assert set(matrix.TOOLS) <= set(NAMES)
    for rows in matrix.ROWS.values():
        assert len({row.name for row in rows}) == len(rows)
        assert all(row.quick and set(row.quick) <= set(matrix.COLUMNS) for row in rows)
        assert all(set(row.refused) <= set(matrix.COLUMNS) for row in rows)
    for host in matrix.ROWS:
        cells = {parameters.id for parameters in matrix.cells(host)}
        assert len(cells) == len(matrix.ROWS[host]) * len(matrix.COLUMNS)
