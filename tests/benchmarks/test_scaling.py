"""The scaling benchmarks: known growth comes out as its exponent, and the programs run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import pytest
import torch

from relaxppl.pyro.elbo import engine
from tests.benchmarks import bench_scaling_numpyro, bench_scaling_pyro, scaling


def tables(page: str) -> list[list[list[str]]]:
    """Returns the cells of each table of a page."""
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    return [
        [[c.strip() for c in line.strip("|").split("|")] for line in (head, *rest)]
        for head, _, *rest in blocks
    ]


def test_exponents_of_a_power_law_and_of_one_above_a_constant() -> None:
    sizes = np.array([1.0, 4.0, 16.0, 64.0])
    assert scaling.exponents(sizes, 3.0 * sizes**1.7) == pytest.approx((1.7, 1.7))
    whole, last = scaling.exponents(sizes, 1.0 + sizes**2)
    # By hand: log(4097 / 257) / log 4; the slope over all weighs points by -3, -1, 1, 3.
    assert last == pytest.approx(np.log(4097 / 257) / np.log(4))
    logs = np.log([2.0, 17.0, 257.0, 4097.0])
    assert whole == pytest.approx((logs @ [-3, -1, 1, 3]) / 10 / np.log(4))


@pytest.mark.parametrize("compiles", [True, False])
def test_the_page_of_a_host_whose_growth_is_known(
    compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of size^1.5 ms, twice as long where not the base's, at size bytes, compiled size^2."""
    now = 0.0

    def start(name: str, case: scaling.Case, device: Any) -> scaling.Contender:
        assert device == "a processor"
        size, factor = max(case), 1.0 if name == scaling.BASE else 2.0

        def run(steps: int) -> None:
            nonlocal now
            now += steps * factor * 1e-3 * size**1.5

        return scaling.Contender(run, lambda: size, size**2.0 if compiles else None)

    monkeypatch.setattr(scaling.time, "process_time", lambda: now)
    host = scaling.Host("Known", start, "a processor", None)
    particles = scaling.SWEEPS["particles"]._replace(base=scaling.Case(1))
    page = scaling.pages(host, "auto", {"particles": particles}, 3, 0.1)
    found = tables(page)
    exponents = ["1.50", "1.00", "2.00"][: 2 + compiles]
    assert len(found) == 2 * len(exponents)
    for table, exponent in zip(found, exponents, strict=False):
        assert table[0][1:] == ["particles"]
        assert [row[0] for row in table[1:]] == list(particles.estimators)
        assert {row[1] for row in table[1:]} == {exponent}
    times = {row[0]: row[1:] for row in found[len(exponents)]}
    assert times[""] == ["1", "4", "16", "64", "exponent", "of the last two"]
    assert times[scaling.BASE] == ["1", "8", "64", "512", "1.50", "1.50"]
    twice = "2.00 (2.00-2.00)"
    assert times["DisARM"] == [twice] * 4 + ["1.50", "1.50"]
    # One draw has no others to leave out.
    assert times["RLOO"] == ["", twice, twice, twice, "1.50", "1.50"]
    assert "saw no GPU" in page


def test_the_sweeps_of_a_gpu_go_further() -> None:
    latents = scaling.SWEEPS["latents"]
    assert max(latents.cases(gpu=False)) == 100_000
    assert latents.cases(gpu=True)[1_000_000] == scaling.Case(latents=1_000_000)


@pytest.mark.long
@pytest.mark.parametrize("module", [bench_scaling_numpyro, bench_scaling_pyro])
def test_a_host_runs_at_tiny_sizes(module: Any) -> None:
    page = scaling.pages(module.host(), "cpu", scaling.QUICK, 2, 0.0)
    pyro.clear_param_store()
    found = tables(page)
    numpyro = module is bench_scaling_numpyro
    assert len(found) == (6 if numpyro else 4)
    for table in found[len(found) // 2 :]:
        assert table[0] == ["", "1", "2", "exponent", "of the last two"]
        assert [row[0] for row in table[1:]] == [scaling.BASE, "REBAR"]
        figures = [float(cell.split()[0]) for row in table[1:] for cell in row[1:]]
        assert np.all(np.isfinite(figures))
        assert min(f for row in table[1:] for f in map(float, (row[1].split()[0],))) > 0


@pytest.mark.parametrize("estimator", [e for e in scaling.ESTIMATORS if e != scaling.BASE])
def test_a_pyro_step_stays_on_its_device(estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the device meta have no numbers, and do not mix with those of the processor."""
    monkeypatch.setattr(engine, "torch_item", lambda loss: 0.0)
    monkeypatch.setattr(engine, "warn_if_nan", lambda *args: None)
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    case = scaling.Case(latents=4, sites=2, levels=2, particles=2, rows=3)
    with pyro.validation_enabled(False):
        contender = bench_scaling_pyro.start(estimator, case, torch.device("meta"))
        contender.run(2)
    assert torch.get_default_device() == torch.device("cpu")
