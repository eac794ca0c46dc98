"""How the cost of a step grows: the sweeps, the exponents and the tables, for either host.

One thing is varied at a time in a program whose arithmetic is linear in each of them: chains of
binary latents of which each has its own observation, elementwise throughout. An exponent is then
what the estimator itself costs; no matrix product hides it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks import table

BASE = "TraceGraph"
ESTIMATORS = (BASE, "score", "RLOO", "DisARM", "REBAR", "RELAX")


class Case(NamedTuple):
    """The sizes of one program."""

    latents: int = 100
    """Binary latents in a site."""
    sites: int = 1
    """Chains that do not depend on each other."""
    levels: int = 1
    """Sites in a chain, each of which depends on the one before."""
    particles: int = 1
    rows: int = 1
    """The size of the plate around all sites."""


class Sweep(NamedTuple):
    """One thing varied."""

    title: str
    field: str
    """The field of the case that varies."""
    sizes: tuple[int, ...]
    base: Case
    """The sizes of everything else."""
    estimators: tuple[str, ...] = ESTIMATORS
    on_gpu: tuple[int, ...] = ()
    """Further sizes where there is a GPU."""

    def cases(self, gpu: bool) -> dict[int, Case]:
        """Returns the programs by size."""
        sizes = self.sizes + (self.on_gpu if gpu else ())
        return {size: self.base._replace(**{self.field: size}) for size in sizes}


SWEEPS = {
    "latents": Sweep(
        "Binary latents in one site",
        "latents",
        (100, 1_000, 10_000, 100_000),
        Case(),
        on_gpu=(1_000_000,),
    ),
    "sites": Sweep(
        "Independent sites",
        "sites",
        (1, 4, 16, 64),
        Case(),
        # RLOO is the score function with one more draw, and compiling takes minutes here.
        (BASE, "score", "DisARM", "REBAR", "RELAX"),
    ),
    "levels": Sweep("Levels of dependent sites", "levels", (1, 2, 3, 4), Case(latents=10_000)),
    "particles": Sweep(
        "Particles, vectorised",
        "particles",
        (1, 4, 16, 64),
        Case(latents=1_000),
        (BASE, "score", "RLOO", "DisARM", "REBAR"),
    ),
    "rows": Sweep(
        "Rows of a plate",
        "rows",
        (10, 100, 1_000, 10_000),
        Case(latents=10),
        (BASE, "score", "DisARM", "REBAR", "RELAX"),
        on_gpu=(100_000,),
    ),
}
QUICK = {
    "levels": SWEEPS["levels"]._replace(sizes=(1, 2), base=Case(4), estimators=(BASE, "REBAR"))
}


class Contender(NamedTuple):
    """One estimator on one program, ready to run."""

    run: Callable[[int], None]
    """Takes so many steps and waits for the last."""
    memory: Callable[[], int]
    """Measures the peak bytes of a step."""
    compiling: float | None = None
    """Seconds."""


class Host(NamedTuple):
    """What a host's script hands over."""

    name: str
    start: Callable[[str, Case, Any], Contender]
    """Makes an estimator's contender for a case on a device."""
    cpu: Any
    gpu: Any
    """The two devices, or None."""


class Measured(NamedTuple):
    """What was measured of one estimator at one size."""

    seconds: np.ndarray
    """Of one step, by turn."""
    bytes: float
    compiling: float | None


Found = dict[str, dict[int, Measured]]
"""What was measured in a sweep, by estimator and size."""


def exponents(sizes: Iterable[float], values: Iterable[float]) -> tuple[float, float]:
    """Returns the slope of log value on log size over all points, and over the last two."""
    x, y = (np.log(np.array(list(z), float)) for z in (sizes, values))
    return float(np.polyfit(x, y, 1)[0]), float((y[-1] - y[-2]) / (x[-1] - x[-2]))


def particles_of(estimator: str, case: Case) -> int:
    """Returns how many draws an estimator takes: RLOO has nothing to compare one with."""
    return max(case.particles, 2) if estimator == "RLOO" else case.particles


def take_turns(
    contenders: Mapping[str, Contender], turns: int, clock: Callable[[], float], seconds: float
) -> dict[str, np.ndarray]:
    """Returns the seconds of one step by contender and turn.

    :param seconds: how long a contender's turn lasts, in as many steps as that takes, at most 200.
    """
    counts = {}
    for name, contender in contenders.items():
        contender.run(3)
        begin = clock()
        contender.run(1)
        counts[name] = math.ceil(np.clip(seconds / max(clock() - begin, 1e-6), 1, 200))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            begin = clock()
            contender.run(counts[name])
            times[name].append((clock() - begin) / counts[name])
    return {name: np.array(of) for name, of in times.items()}


def measure(host: Host, sweep: Sweep, gpu: bool, turns: int, seconds: float) -> Found:
    """Returns what was measured in a sweep."""
    found: Found = {name: {} for name in sweep.estimators}
    clock = time.perf_counter if gpu else time.process_time
    for size, case in sweep.cases(gpu).items():
        ready = {
            name: host.start(name, case, host.gpu if gpu else host.cpu)
            for name in sweep.estimators
            if sweep.field != "particles" or particles_of(name, case) == size
        }
        times = take_turns(ready, turns, clock, seconds)
        for name, contender in ready.items():
            peak, compiling = contender.memory(), contender.compiling
            found[name][size] = Measured(times[name], peak, compiling)
    return found


QUANTITIES: dict[str, Callable[[Measured], Any]] = {
    "time": lambda m: float(np.median(m.seconds)),
    "peak memory": lambda m: m.bytes,
    "compile time": lambda m: m.compiling,
}


def known(found: Found) -> list[str]:
    """Returns the quantities that this host has: nothing is compiled on Pyro."""
    some = next(iter(found[BASE].values()))
    return [name for name, value in QUANTITIES.items() if value(some) is not None]


def slopes(of: Mapping[int, Measured], quantity: str) -> tuple[float, float]:
    """Returns the exponents of one estimator's quantity."""
    return exponents(of, map(QUANTITIES[quantity], of.values()))


def section(sweep: Sweep, found: Found) -> str:
    """Returns the tables of one sweep."""
    rest = {n: v for n, v in sweep.base._asdict().items() if n != sweep.field}
    lines = [f"#### {sweep.title}", f"With {', '.join(f'{n} {v:,}' for n, v in rest.items())}."]
    sizes = found[BASE]

    def cell(name: str, size: int, quantity: str) -> str:
        if size not in found[name]:
            return ""
        measured = found[name][size]
        if quantity == "peak memory":
            return f"{measured.bytes / 1e6:.3g}"
        if quantity == "compile time":
            return f"{measured.compiling:.2f}"
        if name == BASE:
            return f"{1e3 * np.median(measured.seconds):.3g}"
        return table.spread(measured.seconds / sizes[size].seconds)

    said = {
        "time": f"Time of a step: {BASE}'s in ms, the others' over it, median (least-most).",
        "peak memory": "Peak memory of a step, MB.",
        "compile time": "Time to compile, s.",
    }
    header = ["", *(f"{size:,}" for size in sizes), "exponent", "of the last two"]
    for quantity in known(found):
        rows = []
        for name, of in found.items():
            ends = [f"{slope:.2f}" for slope in slopes(of, quantity)]
            rows.append([name, *(cell(name, size, quantity) for size in sizes), *ends])
        lines += [said[quantity], table.markdown(header, rows)]
    return "\n\n".join(lines)


def summary(results: Mapping[str, Found]) -> str:
    """Returns the tables of the exponents between the two largest sizes, one for each quantity."""
    tables = []
    for quantity in known(next(iter(results.values()))):
        rows = []
        for name in ESTIMATORS:
            each = [found.get(name) for found in results.values()]
            if any(each):
                rows.append([name, *(of and f"{slopes(of, quantity)[1]:.2f}" for of in each)])
        tables.append(table.markdown([quantity, *results], rows))
    return "\n\n".join(tables)


def report(host: Host, sweeps: Mapping[str, Sweep], gpu: bool, turns: int, seconds: float) -> str:
    """Runs the sweeps on one device and returns their part of the page."""
    # What runs first in a process pays for more than itself.
    host.start(BASE, Case(), host.gpu if gpu else host.cpu).run(1)
    results = {}
    for name, sweep in sweeps.items():
        results[name] = measure(host, sweep, gpu, turns, seconds)
    clock = "wall time, to the end of the last step" if gpu else "processor time on one thread"
    return "\n\n".join(
        [
            f"### {host.name} on {'the GPU' if gpu else 'the CPU'}",
            "An exponent is the slope of log cost on log size: by least squares over all sizes, "
            "and between the last two, where fixed costs weigh least. The latter of each sweep, "
            f"first of all; time is {clock}.",
            summary(results),
            *(section(sweeps[name], found) for name, found in results.items()),
        ]
    )


def main(host: Host, name: str, description: str) -> None:
    """Runs what the command line asks for, prints the tables and keeps them if asked to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sweeps", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.02, help="of an estimator's turn")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"to docs/benchmarks/{name}.md, of a GPU alone {name}_gpu.md",
    )
    options = parser.parse_args()
    if options.device == "gpu" and host.gpu is None:
        parser.error(f"--device gpu: {host.name} sees none")
    chosen = QUICK if options.quick else {n: SWEEPS[n] for n in options.sweeps}
    how = chosen, options.turns, options.seconds
    print(text := pages(host, options.device, *how))
    if options.write:
        table.write(f"{name}_gpu" if options.device == "gpu" else name, text)


def pages(host: Host, device: str, sweeps: Mapping[str, Sweep], turns: int, seconds: float) -> str:
    """Returns the part of each device asked for: auto, cpu or gpu."""
    parts = []
    if device != "gpu":
        parts.append(report(host, sweeps, False, turns, seconds))
    if device != "cpu" and host.gpu is not None:
        parts.append(report(host, sweeps, True, turns, seconds))
    if host.gpu is None:
        parts.append(f"{host.name} saw no GPU here; where it sees one, the same sweeps run there.")
    return "\n\n".join(parts)
