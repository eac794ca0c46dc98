"""Runs a program of the gallery on both hosts, for the picture and the numbers of its page.

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

HOSTS = ("numpyro", "pyro")
PROGRAMS = sorted(path.stem for path in (Path(__file__).parents[1] / "numpyro").glob("[!_]*.py"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a program twice; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = OneLineParser(prog="studies.both", description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=PROGRAMS, help="what to run, with its own defaults")
    parser.add_argument("--steps", help="of each host's run")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    keep = "file beside whose name a host's run is kept, until both are done"
    parser.add_argument("--keep", type=Path, metavar="FILE", help=keep)
    add_out(parser, "both", "folder for the pictures and the metrics")

    def body(options: Any, given: list[str]) -> None:
        command = re.sub(r" --keep \S+", "", command_line("models.studies.both", given))
        metrics: dict[str, Any] = {"command": command}
        extra = ["--steps", options.steps] if options.steps else []
        extra += ["--quiet"] if options.quiet else []
        # More threads than free cores make torch's small steps many times slower.
        environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ)
        kept = options.keep.with_suffix("") if options.keep else None
        place = nullcontext(kept) if kept else tempfile.TemporaryDirectory()
        with place as made, written_together(options.out) as folder:
            for host in HOSTS:
                module, out = f"models.{host}.{options.program}", Path(made) / host
                run = [sys.executable, "-m", module, *extra, "--out", str(out)]
                done = (out / "metrics.json").exists()
                if not done and subprocess.run(run, env=environment, check=False).returncode:
                    raise RunFailedError(f"{module} failed; its own line stands above")
                found = json.loads((out / "metrics.json").read_text())
                del found["command"]
                metrics[host] = found
                for picture in out.glob("*.png"):
                    shutil.copy(picture, folder / f"{host}.png")
            write_metrics(folder / "metrics.json", metrics)
        if kept:
            shutil.rmtree(kept)
        print(f"written to {options.out}: numpyro.png, pyro.png, metrics.json")

    return launch(parser, argv, body)


if __name__ == "__main__":
    sys.exit(main())
