"""ArviZ's object out of arrays: ``InferenceData`` on ArviZ 0.x, ``DataTree`` on ArviZ 1.x."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from relaxppl.common.arviz.labels import Labels, plain

DRAWN = (
    "posterior",
    "posterior_predictive",
    "log_likelihood",
    "sample_stats",
    "prior",
    "prior_predictive",
)
"""Groups whose variables have the dimensions chain and draw, in the order of the file."""

GROUPS = (*DRAWN, "observed_data", "constant_data")


def require() -> tuple[Any, Any]:
    """Returns the modules arviz and xarray.

    :raises ImportError: naming the extra, if one is not installed.
    """
    try:
        return importlib.import_module("arviz"), importlib.import_module("xarray")
    except ImportError as error:
        raise ImportError(
            f'to_arviz needs ArviZ ({error}): pip install "relaxppl[arviz]"'
        ) from error


def is_inference_data(arviz: Any) -> bool:
    """Returns whether this ArviZ keeps its groups in an ``InferenceData``.

    :param arviz: the module. Its version decides, since 1.x answers to the old name too.
    """
    return int(str(arviz.__version__).split(".")[0]) < 1


def build(
    groups: Mapping[str, Mapping[str, np.ndarray]],
    sources: Mapping[str, str],
    labels: Labels,
    attrs: Mapping[str, Any],
) -> Any:
    """Returns the groups as ArviZ's object, the arrays not copied.

    :param groups: arrays by group and variable; those of ``DRAWN`` begin with chain and draw.
    :param sources: the site that a variable comes from, where it is not named as the site.
    :param labels: names of dimensions.
    :param attrs: of the whole and of every group.
    :returns: an ``arviz.InferenceData`` or an ``xarray.DataTree``.
    """
    arviz, xarray = require()
    made = {}
    for group in GROUPS:
        if not groups.get(group):
            continue
        lead = ("chain", "draw") if group in DRAWN else ()
        variables = {}
        for name, array in groups[group].items():
            dims = labels.of(name, sources.get(name, name), array.shape[len(lead) :])
            variables[plain(name)] = ((*lead, *dims), array)
        dataset = xarray.Dataset(variables, attrs=dict(attrs))
        sizes = {str(dim): size for dim, size in dataset.sizes.items()}
        made[group] = dataset.assign_coords(labels.coords(sizes, sizes))
    labels.check_coords_used()
    if is_inference_data(arviz):
        return arviz.InferenceData(attrs=dict(attrs), **made)
    tree = xarray.DataTree.from_dict(made)
    tree.attrs = dict(attrs)
    return tree
