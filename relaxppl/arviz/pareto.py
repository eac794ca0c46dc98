"""The Pareto k-hat of a fit: how well the guide's draws could stand for the posterior's."""

from __future__ import annotations

from typing import Any

import numpy as np

from relaxppl.arviz.tree import is_inference_data, require


def pareto_k(data: Any) -> float:
    """Returns the shape k-hat of the generalised Pareto tail of the importance weights p/q.

    Below 0.5 the draws are as good as the posterior's once weighted, above 0.7 they are not to be
    trusted, weighted or not.

    :param data: what ``to_arviz`` returned.
    :returns: k-hat; negative infinity where all weights are equal, as those of an exact guide.
    :raises ImportError: if ArviZ is not installed.
    :raises ValueError: if the weights are absent; the message says why.

    Yao et al., 2018 (arXiv:1802.02538); Vehtari et al., 2024 (arXiv:1507.02646).
    """
    arviz, _ = require()
    stats = data["sample_stats"]
    if "log_weight" not in stats:
        reason = stats.attrs.get("no_log_weight", "it was not made by to_arviz")
        raise ValueError(f"pareto_k: sample_stats has no log_weight: {reason}")
    weights = stats["log_weight"]
    if np.ptp(weights.values) <= 1e-5 * max(1.0, np.abs(weights.values).max()):
        return float("-inf")
    if is_inference_data(arviz):
        return float(arviz.psislw(weights.values.reshape(-1).astype(np.float64))[1])
    # That of 1.x takes the negative: it is written for leave-one-out, of log likelihoods.
    return float((-weights.astype(np.float64)).azstats.psislw()[1])
