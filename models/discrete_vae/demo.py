"""Runs the discrete VAE on both hosts and puts the two side by side."""

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
    output_folder,
    positive_int,
    require,
    run,
    seed_int,
)
from models.discrete_vae.cli import DEFAULT_STEPS, NEEDED
from models.discrete_vae.latents import KINDS

PROG = "discrete_vae.demo"
HOSTS = ("numpyro", "pyro")
COLUMNS = 12
PICTURE = "hosts.png"


def table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The two runs as a table.

    :param metrics: host to its metrics file.
    :returns: a header and a line for each host.
    """
    rows = [f"{'host':<9}{'discrete test bound':>21}{'over baseline':>15}{'step':>11}{'train':>10}"]
    for host, found in metrics.items():
        rows.append(
            f"{host:<9}{found['discrete_test_bound']:>16.2f} nats"
            f"{found['gain_over_baseline']:>+10.2f} nats"
            f"{found['median_step_ms']:>8.2f} ms{found['training_seconds']:>8.1f} s"
        )
    return "\n".join(rows)


def picture(out: Path) -> None:
    """Draw each host's reconstructions of the same held-out digits, and its own new digits."""
    import xarray as xr

    from models.common.figures import image_rows
    from models.common.outputs import written_together

    rows: dict[str, Any] = {}
    samples: dict[str, Any] = {}
    for host in HOSTS:
        file = out / host / "posterior.nc"
        with xr.open_dataset(file, group="observed_data", engine="h5netcdf") as data:
            rows["held out"] = data["pixels"].values[:COLUMNS]
        with xr.open_dataset(file, group="constant_data", engine="h5netcdf") as data:
            rows[f"{host}, reconstructed"] = data["reconstruction"].values[:COLUMNS]
        with xr.open_dataset(file, group="prior_predictive", engine="h5netcdf") as data:
            samples[f"{host}, new"] = data["pixel_probability"].values[0, :COLUMNS]
    with written_together(out) as folder:
        image_rows(folder / PICTURE, rows | samples, "A discrete VAE, the same on both hosts")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    :param argv: its arguments; None for those of the process.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """
    parser = OneLineParser(prog=PROG, description="Fit the discrete VAE on both hosts.")
    parser.add_argument("--out", type=output_folder, default=Path("out/demo"), help="folder")
    parser.add_argument("--latent", choices=tuple(KINDS), default="bernoulli", help="the code")
    parser.add_argument("--steps", type=positive_int, default=DEFAULT_STEPS, help="for each host")
    parser.add_argument("--seed", type=seed_int, default=0, help="of each host's run")
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)

    def body() -> None:
        require(NEEDED, "models", "this program")
        # More threads than free cores make torch's small steps many times slower.
        environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ)
        shared = ["--latent", options.latent, "--steps", options.steps, "--seed", options.seed]
        for host in HOSTS:
            # A process of its own each: neither host sees the other.
            arguments = ["--backend", host, *shared, "--out", options.out / host]
            command = [sys.executable, "-m", "models.discrete_vae", *map(str, arguments)]
            if subprocess.run(command, check=False, env=environment).returncode:
                raise RunFailedError(f"the run on {host} failed; its own line stands above")
        metrics = {
            host: json.loads((options.out / host / "metrics.json").read_text()) for host in HOSTS
        }
        picture(options.out)
        print(f"\n{table(metrics)}\n\npicture: {options.out / PICTURE}")

    return run(PROG, body)


if __name__ == "__main__":
    sys.exit(main())
