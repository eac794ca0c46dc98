"""Runs a program of the gallery on both hosts, for the picture and the numbers of its page.

Every method that is named runs with every seed; of several seeds the means are given, and their
95 % intervals.

python -m models.studies.both latent_skills
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from models.common.cli import OneLineParser, RunFailedError, add_out, command_line, launch
from models.common.outputs import write_metrics, written_together
from models.common.program import plain
from models.studies.kept import interval

HOSTS = ("numpyro", "pyro")
PROGRAMS = sorted(path.stem for path in (Path(__file__).parents[1] / "numpyro").glob("[!_]*.py"))


def run(module: str, out: Path, options: Sequence[str]) -> dict[str, Any]:
    """What a program finds, read from its metrics; a run that has left its own is not run again."""
    # More threads than free cores make torch's small steps many times slower.
    environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ)
    # Other seeds compile the same again; XLA says at each, at length, that it was compiled before.
    environment["JAX_COMPILATION_CACHE_DIR"] = str(out.parent / "compiled")
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    command, file = ["-m", module, *options, "--out", str(out)], out / "metrics.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    if found.get("command") != " ".join(["python", *command]):
        if subprocess.run([sys.executable, *command], env=environment, check=False).returncode:
            raise RunFailedError(f"{module} failed; its own line stands above")
        found = json.loads(file.read_text())
    return {k: v for k, v in found.items() if k != "command"}


def together(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each number that runs with different seeds found, its mean and the interval of that."""
    found: dict[str, Any] = {}
    for name in (k for k, v in runs[0].items() if isinstance(v, float)):
        each = [one[name] for one in runs]
        mean, half = interval(each)
        found[name] = {"mean": mean, "half_width": half, "each": each}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a program twice; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = OneLineParser(prog="studies.both", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("program", choices=PROGRAMS, help="what to run, with its own defaults")
    add("--hosts", nargs="+", choices=HOSTS, default=HOSTS, help="where to run it")
    add("--steps", help="of each run")
    add("--method", nargs="+", metavar="NAME", help="run each of these, the picture by the first")
    add("--seeds", nargs="+", default=["0"], metavar="SEED", help="of the runs of each method")
    add("--quiet", action="store_true", help="no progress bar")
    keep = "file beside whose name the runs are kept, until all are done"
    add("--keep", type=Path, metavar="FILE", help=keep)
    add_out(parser, "both", "folder for the pictures and the metrics")

    def body(options: Any, given: list[str]) -> None:
        command = re.sub(r" --keep \S+", "", command_line("models.studies.both", given))
        metrics: dict[str, Any] = {"command": command}
        extra = ["--steps", options.steps] if options.steps else []
        extra += ["--quiet"] if options.quiet else []
        kept = options.keep.with_suffix("") if options.keep else None
        place = nullcontext(kept) if kept else tempfile.TemporaryDirectory()
        with place as made, written_together(options.out) as folder:
            for host in options.hosts:
                module = f"models.{host}.{options.program}"
                found: dict[Any, Any] = {}
                for method in options.method or [None]:
                    which, runs = ["--method", method] if method else [], []
                    for seed in options.seeds:
                        out = Path(made) / "-".join([host, *which[1:], seed])
                        runs.append(run(module, out, [*which, "--seed", seed, *extra]))
                        for picture in () if found or runs[1:] else out.glob("*.png"):
                            shutil.copy(picture, folder / f"{host}.png")
                    found[method] = together(runs) if len(runs) > 1 else runs[0]
                metrics[host] = found if options.method else found[None]
            write_metrics(folder / "metrics.json", plain(metrics))
        if kept:
            shutil.rmtree(kept)
        pictures = ", ".join(f"{host}.png" for host in options.hosts)
        print(f"written to {options.out}: {pictures}, metrics.json")

    return launch(parser, argv, body)


if __name__ == "__main__":
    sys.exit(main())
