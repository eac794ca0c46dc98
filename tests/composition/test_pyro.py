"""Every cell of the table on Pyro."""

from __future__ import annotations

from typing import Any

import pyro
import pytest
import torch
import torch.distributed

from tests.composition.matrix import cells, check
from tests.composition.pyro_case import case


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("group") / "file"
    torch.distributed.init_process_group("gloo", f"file://{file}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("row", "column"), cells("pyro"))
@pytest.mark.usefixtures("group")
def test_cell(row: Any, column: str) -> None:
    try:
        check(case(row.name), row, column)
    finally:
        pyro.clear_param_store()
