"""Makes the tables of docs/accuracy.md: `python -m models.studies.accuracy`."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.studies.accuracy.binary import ising, noisy_or, spike_and_slab
from models.studies.accuracy.change_point import coal
from models.studies.accuracy.galaxies import galaxies
from models.studies.accuracy.hidden_markov import hidden_markov
from models.studies.accuracy.hosts import HOSTS
from models.studies.accuracy.latent_classes import lsat, votes
from models.studies.accuracy.measure import of_guide, of_sampler
from models.studies.accuracy.problem import Problem
from models.studies.accuracy.table import KINDS, problems, table

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "skills": lsat,
    "votes": votes,
    "galaxies": galaxies,
    "geyser": hidden_markov,
    "diabetes": spike_and_slab,
    "diagnosis": noisy_or,
    "coal": coal,
    "grid": ising,
}
FOLDER = Path(__file__).parents[3] / "docs" / "benchmarks"
SAMPLER = "sampler"
MINUTES = 1.0
"""About what one posterior takes, of one core."""


def replace(path: Path, text: str) -> None:
    """Writes a file as a whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def write(kept: dict[str, Any], folder: Path) -> None:
    """Writes what is kept, and the page's tables of it."""
    kept = {name: kept[name] for name in PROBLEMS if name in kept}
    replace(folder / "accuracy.json", json.dumps(kept, indent=1) + "\n")
    replace(folder / "accuracy_problems.md", problems(kept) + "\n")
    replace(folder / "accuracy.md", table(kept) + "\n")


def quickest(fits: dict[str, Any]) -> float | None:
    """Returns the seconds of the quickest guide with its resampling, of those not refused."""
    took = [
        found["seconds"] + found["psis"]["seconds"] for found in fits.values() if "psis" in found
    ]
    return min(took, default=None)


def main() -> None:
    """Measure what is not measured yet, write the tables after each, and print them."""
    parser = argparse.ArgumentParser(description="Posteriors against exact ones.")
    parser.add_argument("--only", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--hosts", nargs="+", choices=list(HOSTS), default=list(HOSTS))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where what is kept lies")
    parser.add_argument("--again", action="store_true", help="measure what is kept, too")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "accuracy.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def missing(name: str, *parts: str) -> bool:
        found = {} if options.again else kept.get(name, {})
        for part in parts:
            found = found.get(part, {})
        return not found

    wanted = [
        (name, *parts)
        for name in options.only
        for parts in [*[(h, k) for h in options.hosts for k in KINDS], (SAMPLER,)]
        if missing(name, *parts)
    ]
    # The sampler has as much time as a guide took.
    wanted.sort(key=lambda each: each[-1] == SAMPLER)
    if wanted:
        minutes = MINUTES * len(wanted)
        print(f"{len(wanted)} posteriors, about {minutes:.0f} minutes of one core", flush=True)
    made: dict[str, Problem] = {}
    for name, *parts in wanted:
        if name not in made:
            made[name] = PROBLEMS[name]()
        problem, begin = made[name], time.process_time()
        row = kept.setdefault(name, {})
        row |= {"about": problem.about, "exact": problem.exact}
        if parts == [SAMPLER]:
            took = quickest(row.get("pyro", {}))
            if took is None:
                continue
            row[SAMPLER] = of_sampler(problem, took)
        else:
            host, kind = parts
            row.setdefault(host, {})[kind] = of_guide(problem, HOSTS[host](), kind)
        write(kept, options.folder)
        print(f"{name}, {', '.join(parts)}: {time.process_time() - begin:.0f} s", flush=True)
    print(table(kept))


if __name__ == "__main__":
    main()
