"""Runs again everything behind the tables and figures of the gallery's pages.

A run that is done is not run again until all are, and a study that was cut off goes on where it
was.

    python -m models.studies.gallery
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.common.cli import OneLineParser, RunFailedError, launch, output_folder
from models.studies.kept import chosen

RUNS: dict[str, tuple[str, float]] = {
    name: (command, float(minutes))
    for name, minutes, command in (
        line.split(maxsplit=2)
        for line in Path(__file__).with_name("runs.txt").read_text().splitlines()
        if not line.startswith("#")
    )
}
"""Name to its command, and the minutes that it takes on one core with nothing beside it."""


def plan(names: Sequence[str], done: Sequence[str]) -> str:
    """What will run, and how long it takes."""
    left = [name for name in names if name not in done]
    lines = [f"{name:<28}{RUNS[name][1]:>5g} min" for name in left]
    before = f", {len(names) - len(left)} done before" if len(left) < len(names) else ""
    total = sum(RUNS[name][1] for name in left)
    return "\n".join([*lines, f"{len(left)} runs, about {total:g} minutes on one core{before}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not done yet; returns 0, 2 for a bad argument, 1 for a run that failed."""
    parser = OneLineParser(prog="studies.gallery", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", default=["all"], metavar="NAME", help="some of " + ", ".join(RUNS))
    add("--plan", action="store_true", help="say what would run, and stop")
    keep = "folder of what is done, until all is"
    add("--keep", type=output_folder, default=Path("out/gallery"), metavar="DIR", help=keep)

    def body(options: Any, given: list[str]) -> None:
        names, file = chosen("--only", options.only, list(RUNS)), options.keep / "done.json"
        done = json.loads(file.read_text()) if file.exists() else []
        print(plan(names, done), flush=True)
        if options.plan:
            return
        options.keep.mkdir(parents=True, exist_ok=True)
        # More threads than free cores make torch's small steps many times slower.
        environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ)
        for name in names:
            if name in done:
                continue
            command = [sys.executable, "-m", *shlex.split(RUNS[name][0])]
            kept = options.keep / f"{name}.json"
            if ".studies." in command[2]:
                command += ["--keep", str(kept)]
            print(f"{name}: {RUNS[name][0]}", flush=True)
            if subprocess.run(command, env=environment, check=False).returncode:
                raise RunFailedError(f"{name} failed; its own line stands above")
            done.append(name)
            file.write_text(json.dumps(done))
            kept.unlink(missing_ok=True)
        if set(done) >= set(RUNS):
            file.unlink(missing_ok=True)

    return launch(parser, argv, body)


if __name__ == "__main__":
    sys.exit(main())
