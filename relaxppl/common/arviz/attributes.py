"""What an ArviZ object says of its origin: versions, host, estimator, relaxation, temperature."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

import relaxppl
from relaxppl.common.naming import TEMPERATURE
from relaxppl.common.relax.watching import Watched
from relaxppl.estimators.elbo import temperature_of
from relaxppl.ops import as_numpy


def attributes(
    host: str,
    packages: tuple[str, ...],
    loss: Any,
    params: Mapping[str, Any],
    relaxed: Mapping[str, Watched],
    written: Mapping[str, Any],
    discrete: Iterable[str],
) -> dict[str, str]:
    """Returns attributes that netCDF and zarr can hold.

    ``relaxation`` and ``temperature`` are JSON objects with a key for each site that has one.

    :param host: "numpyro" or "pyro".
    :param packages: the installed packages whose versions matter.
    :param loss: the loss that trained the guide, or None where it is not known.
    :param params: trained parameters by name.
    :param relaxed: the sites that ``relax`` relaxed.
    :param written: the distributions of sites that are written with a relaxed one.
    :param discrete: the sites that the guide draws discrete, which an ELBO may relax.
    """
    kinds = {name: site.name for name, site in relaxed.items()}
    temperatures = {name: _numbers(site.temperature) for name, site in relaxed.items()}
    for name, fn in written.items():
        kinds[name] = type(fn).__name__
        if getattr(fn, "temperature", None) is not None:
            temperatures[name] = _numbers(fn.temperature)
    temperature = temperature_of(loss)
    if temperature is not None:
        temperatures.update(dict.fromkeys(discrete, _numbers(temperature)))
    for name, value in params.items():
        if name.endswith(TEMPERATURE):
            temperatures[name.removesuffix(TEMPERATURE)] = _numbers(value)
    made = {
        "created_at": datetime.now(UTC).isoformat(),
        "creation_library": "relaxppl",
        "creation_library_version": relaxppl.__version__,
        "inference_library": packages[0],
        "inference_library_version": importlib.metadata.version(packages[0]),
        "host": host,
        "versions": json.dumps({name: importlib.metadata.version(name) for name in packages}),
    }
    if loss is not None:
        made["estimator"] = type(loss).__name__
    if kinds:
        made["relaxation"] = json.dumps(kinds)
    if temperatures:
        made["temperature"] = json.dumps(temperatures)
    return made


def _numbers(value: Any) -> Any:
    array = as_numpy(value)
    array = array.astype(np.float64).round(6)
    equal = array.size > 0 and bool(np.all(array == array.flat[0]))
    return array.flat[0].item() if equal else array.tolist()
