"""The example in README.md runs as it stands and finds what the exact posterior finds."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

README = Path(__file__).parent.parent / "README.md"


def test_first_example(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= 11
    with jax.enable_x64(False):
        scope: dict[str, Any] = {}
        exec(blocks[0], scope)
    numbers = re.findall(r"[0-9.]+", capsys.readouterr().out.splitlines()[-1])
    printed = np.array([float(number) for number in numbers])
    y = np.asarray(scope["y"])
    outlier = 0.1 * stats.norm.pdf(y, 0.0, 10.0)
    inlier = 0.9 * stats.norm.pdf(y, 0.0, 1.0)
    np.testing.assert_allclose(printed, outlier / (outlier + inlier), atol=0.05)
