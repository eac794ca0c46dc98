"""Benchmarks whose parts are measured one by one, each in a process of its own, and kept.

A run that is cut off goes on from what it kept: ``--going-on FILE`` does no part of FILE again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = {
    "OMP_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""One thread, for each library that a process may import."""


class GoingOn:
    """The parts of a benchmark: those of an earlier run, and those still to be measured.

    :param parser: of the benchmark's options; ``--of`` and ``--going-on`` are added and all read.
    :param measure: from the options and the names of a part to what JSON can hold, in the part's
        own process.
    """

    def __init__(self, parser: argparse.ArgumentParser, measure: Callable[..., Any]) -> None:
        parser.add_argument("--of", nargs="+", help="a part's names; it is measured here")
        parser.add_argument("--going-on", help="a file of what is measured so far, not done again")
        self.options = parser.parse_args()
        if self.options.of:
            print(json.dumps(measure(self.options, *self.options.of)))
            sys.exit()
        self._kept = Path(self.options.going_on) if self.options.going_on else None
        exists = self._kept is not None and self._kept.exists()
        self._known = json.loads(self._kept.read_text()) if exists else {}

    def found(self, *names: Any) -> Any:
        """Returns what was measured of a part, now or in an earlier run."""
        part = [str(name) for name in names]
        key = " ".join(part)
        if key not in self._known:
            spec = sys.modules["__main__"].__spec__
            assert spec is not None  # or it was not run by python -m
            called = [sys.executable, "-m", spec.name, *sys.argv[1:], "--of", *part]
            env = {**os.environ, **THREADS}
            done = subprocess.run(called, env=env, stdout=subprocess.PIPE, text=True, check=True)
            self._known[key] = json.loads(done.stdout.splitlines()[-1])
            if self._kept:
                self._kept.write_text(json.dumps(self._known))
        return self._known[key]
