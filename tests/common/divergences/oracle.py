"""KL divergences by the definition: a sum or a trapezoid over the hosts' own log densities."""

from __future__ import annotations

from typing import Any

import numpy as np


def divergence(host: Any, p: Any, q: Any, space: str, temperature: Any) -> np.ndarray:
    """KL(p | q) of two batches of distributions, (batch,).

    :param space: support, unit, real, simplex or log_simplex (three classes).
    :param temperature: of p, (batch,) or a scalar: the spread of its latent is its inverse.
    """
    if space == "support":
        values = p.enumerate_support()
        log_p, log_q = host.numpy(p.log_prob(values)), host.numpy(q.log_prob(values))
        return np.sum(np.exp(log_p) * (log_p - log_q), axis=0)
    scale = 1.0 / np.broadcast_to(np.asarray(temperature), p.batch_shape)
    if space in ("unit", "real"):
        step, nodes = 0.2, np.arange(-40.0, 40.0, 0.2)
        y = nodes[:, None] * scale
        value, log_jacobian, cell = y, 0.0, step * scale
        if space == "unit":
            value = 1.0 / (1.0 + np.exp(-y))
            log_jacobian = -np.logaddexp(0, y) - np.logaddexp(0, -y)
            # A value that rounds to 0 or 1 has no density; its mass is below 1e-16 here.
            inside = np.abs(y) < 34
            value = np.where(inside, value, 0.5)
            cell = cell * inside
    else:
        step, nodes = 0.45, np.arange(-24.0, 24.0, 0.45)
        grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 1, 2)
        u = np.concatenate([grid * scale[:, None], np.zeros((len(grid), len(scale), 1))], axis=-1)
        log_x = u - np.logaddexp.reduce(u, axis=-1, keepdims=True)
        value, log_jacobian = log_x, 0.0
        cell = (step * scale) ** 2
        if space == "simplex":
            value, log_jacobian = np.exp(log_x), log_x.sum(-1)
    arg = host.array(value)
    log_p = host.numpy(p.log_prob(arg)) + log_jacobian
    log_q = host.numpy(q.log_prob(arg)) + log_jacobian
    return np.sum(cell * np.exp(log_p) * (log_p - log_q), axis=0)
