"""Runs the discrete VAE on both hosts and puts the two side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.common.cli import (
    OneLineParser,
    RunFailedError,
    add_out,
    launch,
    positive_int,
    require,
    seed_int,
)

HOSTS = ("numpyro", "pyro")
PICTURE = "hosts.png"


def table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The two runs as a table.

    :param metrics: host to its metrics file.
    :returns: a header and a line for each host.
    """
    rows = [f"{'host':<9}{'discrete test bound':>21}{'over baseline':>15}{'train':>10}"]
    for host, found in metrics.items():
        gain = found["discrete_test_bound"] - found["baseline"]
        rows.append(
            f"{host:<9}{found['discrete_test_bound']:>16.2f} nats{gain:>+10.2f} nats"
            f"{found['seconds']:>8.1f} s"
        )
    return "\n".join(rows)


def picture(out: Path) -> None:
    """Draw each host's reconstructions of the same held-out digits, and its own new digits."""
    import xarray as xr

    from models.common.figures import image_rows
    from models.common.outputs import written_together

    def read(host: str, group: str, name: str) -> Any:
        with xr.open_dataset(out / host / "posterior.nc", group=group, engine="h5netcdf") as data:
            return data[name].values

    rows = {"held out": read(HOSTS[0], "observed_data", "pixels")}
    for host in HOSTS:
        probs = read(host, "posterior", "probs").mean((0, 1))
        rows |= {
            f"{host}, reconstructed": probs,
            f"{host}, new": read(host, "prior", "probs")[0, :12, 0],
        }
    with written_together(out) as folder:
        image_rows(folder / PICTURE, rows, "A discrete VAE, the same on both hosts")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    :param argv: its arguments; None for those of the process.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """
    parser = OneLineParser(prog="demo", description="Fit the discrete VAE on both hosts.")
    add_out(parser, "demo", "folder for the pictures, the metrics and the posteriors")
    parser.add_argument("--steps", type=positive_int, default=600, help="for each host")
    parser.add_argument("--seed", type=seed_int, default=0, help="of each host's run")

    def body(options: Any, given: list[str]) -> None:
        require(("matplotlib", "xarray", "h5netcdf"), "models", "this program")
        # More threads than free cores make torch's small steps many times slower.
        environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ)
        shared = ["--steps", str(options.steps), "--seed", str(options.seed)]
        # A process of its own each, at the same time: neither host sees the other.
        runs: dict[str, subprocess.Popen[bytes]] = {}
        for host in HOSTS:
            module, out = f"models.{host}.discrete_vae", str(options.out / host)
            command = [sys.executable, "-m", module, *shared, "--out", out]
            # Two bars would write over each other.
            quiet = ["--quiet"] if runs else []
            runs[host] = subprocess.Popen([*command, *quiet], env=environment)
        failed = [host for host, run in runs.items() if run.wait()]
        if failed:
            raise RunFailedError(f"the run on {failed[0]} failed; its own line stands above")
        metrics = {
            host: json.loads((options.out / host / "metrics.json").read_text()) for host in HOSTS
        }
        picture(options.out)
        print(f"\n{table(metrics)}\n\npicture: {options.out / PICTURE}")

    return launch(parser, argv, body)


if __name__ == "__main__":
    sys.exit(main())
