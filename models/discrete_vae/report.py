"""What a run leaves behind: printed lines, pictures, metrics and the posterior as netCDF."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from models.common.figures import image_grid, image_rows, loss_curve
from models.common.outputs import versions, write_metrics, written_together
from models.data import Digits, baseline_bound
from models.discrete_vae.latents import LAWS
from models.discrete_vae.result import Result

FILES = ("reconstructions.png", "samples.png", "loss.png", "metrics.json", "posterior.nc")
SHOWN_COLUMNS = 12


def summarise(asked: Mapping[str, Any], digits: Digits, result: Result) -> dict[str, Any]:
    """The numbers of a run, for the metrics file and for the printed lines.

    :param asked: the run's options, by name.
    :param digits: the images.
    :param result: what came of it.
    :returns: a flat dictionary that JSON can hold; bounds are in nats per image.
    """
    baseline = baseline_bound(digits.train, digits.test)
    error = result.test_bound_error
    return {
        **asked,
        "data": digits.source,
        "binarisation": "each pixel drawn once, Bernoulli(grey level), fixed seed",
        "training_images": len(digits.train),
        "held_out_images": len(digits.test),
        "training_bound": result.training_bound,
        "discrete_test_bound": result.test_bound,
        "discrete_test_bound_mc_error": error if np.isfinite(error) else None,
        "discrete_test_bound_passes": len(result.test_bounds),
        "baseline_test_bound": baseline,
        "gain_over_baseline": result.test_bound - baseline,
        **learned_correlation(result),
        "median_step_ms": 1e3 * result.step_seconds,
        "training_seconds": result.train_seconds,
        "versions": versions("numpy", "numpyro", "jax", "pyro-ppl", "torch", "xarray", "h5netcdf"),
    }


def learned_correlation(result: Result) -> dict[str, float]:
    """The largest correlation that the guide learned, in size, or nothing."""
    factors = result.weights["encoder"].get("factors")
    if factors is None:
        return {}
    covariance = np.eye(len(factors)) + factors @ factors.T
    scale = np.sqrt(np.diag(covariance))
    return {
        "largest_correlation": float(np.abs(np.tril(covariance / scale / scale[:, None], -1)).max())
    }


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """The printed end of a run."""
    error = metrics["discrete_test_bound_mc_error"]
    spread = "" if error is None else f" +- {error:.2f} (Monte Carlo)"
    tail = max(1, metrics["steps"] // 10)
    # Relaxed values with the KL of discrete ones bound no evidence.
    label = "training objective" if LAWS[metrics["distribution"]].mixed else "training bound"
    return [
        f"{label:<21}{metrics['training_bound']:9.2f} nats per image "
        f"({metrics['distribution']}, mean of the last {tail} steps)",
        f"discrete test bound  {metrics['discrete_test_bound']:9.2f} nats per image{spread}, "
        f"{metrics['held_out_images']} held out",
        f"independent pixels   {metrics['baseline_test_bound']:9.2f} nats per image, "
        "the same held-out images",
        f"gain                 {metrics['gain_over_baseline']:9.2f} nats per image",
        f"median step          {metrics['median_step_ms']:9.2f} ms",
    ]


def write(out: Path, metrics: Mapping[str, Any], digits: Digits, result: Result) -> None:
    """Write every file of `FILES` into a folder, together.

    :param out: the folder.
    :param metrics: as `summarise` made them.
    :param digits: the images.
    :param result: what came of the run.
    :raises BadArgumentError: the folder cannot be written.
    """
    name = f"{metrics['distribution']}, {metrics['backend']}"
    with written_together(out) as folder:
        shown = slice(0, min(SHOWN_COLUMNS, len(result.reconstructions)))
        image_rows(
            folder / "reconstructions.png",
            {"held out": digits.test[shown], "reconstructed": result.reconstructions[shown]},
            f"Held-out digits and their reconstructions ({name})",
        )
        image_grid(folder / "samples.png", result.samples, f"Digits drawn from the model\n({name})")
        loss_curve(
            folder / "loss.png",
            result.losses,
            f"Training loss ({name})",
            "negative ELBO per image (nats)",
            {
                "independent pixels, held out": -metrics["baseline_test_bound"],
                "discrete bound, held out": -metrics["discrete_test_bound"],
            },
        )
        write_metrics(folder / "metrics.json", metrics)
        write_posterior(folder / "posterior.nc", metrics, digits, result)


def write_posterior(path: Path, metrics: Mapping[str, Any], digits: Digits, result: Result) -> None:
    """Write draws of the discrete codes of held-out images as an ArviZ netCDF file.

    Beside them stand the images, their reconstructions, and images drawn from the model.

    The draws come independently from the guide, so the one chain of the file needs no diagnosis.
    The groups are written with xarray, whose layout both lines of ArviZ read.

    :param path: the file.
    :param metrics: its plain entries become attributes.
    :param digits: the images.
    :param result: holds the draws.
    """
    draws = result.latent_draws
    labels = ("latent", "category")[: draws.ndim - 2]
    count = draws.shape[1]
    attributes = {
        key: value for key, value in metrics.items() if isinstance(value, str | int | float)
    } | {"inference_library": f"relaxppl.{metrics['backend']}", "created_by": metrics["command"]}

    def dataset(variables: Mapping[str, Any]) -> xr.Dataset:
        made = xr.Dataset(dict(variables), attrs=attributes)
        return made.assign_coords({dim: np.arange(made.sizes[dim]) for dim in map(str, made.dims)})

    groups = {
        "posterior": dataset({"code": (("chain", "draw", "image", *labels), draws[None])}),
        "observed_data": dataset({"pixels": (("image", "pixel"), digits.test[:count])}),
        "constant_data": dataset(
            {
                "guide_probability": (("image", *labels), result.latent_probs),
                "reconstruction": (("image", "pixel"), result.reconstructions),
                "digit": (("image",), digits.test_labels[:count]),
            }
        ),
        "prior_predictive": dataset(
            {"pixel_probability": (("chain", "draw", "pixel"), result.samples[None])}
        ),
    }
    for index, (group, data) in enumerate(groups.items()):
        data.to_netcdf(
            path,
            mode="w" if index == 0 else "a",
            group=group,
            engine="h5netcdf",
            encoding={name: {"zlib": True} for name in data.data_vars},
        )
