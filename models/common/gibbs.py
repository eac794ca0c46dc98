"""A Gibbs sampler for the stick-breaking mixture, against which the program holds its guide."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def components_in_use(
    y: Array, components: int, seed: int, chains: int = 20, sweeps: int = 1500
) -> Array:
    """How many components have a point, in the posterior of the program's model.

    Sticks are Beta(1, 1), locations Normal(20, 10) and scales LogNormal(0, 0.7). Components, sticks
    and locations are drawn from their exact conditionals, scales by a step of Metropolis (the
    blocked sampler of Ishwaran and James, 2001).

    :param y: the data, shape (n,).
    :param components: at most how many.
    :param seed: of the draws.
    :param chains: how many run beside each other, from the prior.
    :param sweeps: of each, of which the first third is left out.
    :returns: the number after each sweep, shape (chains, sweeps kept).
    """
    shape, used, rng = (chains, components), [], np.random.default_rng(seed)
    broken = rng.beta(1.0, 1.0, (chains, components - 1))
    loc, log_scale = rng.normal(20.0, 10.0, shape), rng.normal(0.0, 0.7, shape)
    for _ in range(sweeps):
        log_weight = np.zeros(shape)
        log_weight[:, :-1] += np.log(broken)
        log_weight[:, 1:] += np.cumsum(np.log1p(-broken), -1)
        z = (y[None, :, None] - loc[:, None]) * np.exp(-log_scale)[:, None]
        score = (log_weight - log_scale)[:, None] - 0.5 * z**2
        of = (score + rng.gumbel(size=score.shape)).argmax(-1)[..., None] == np.arange(components)
        count = of.sum(1)
        used.append((count > 0).sum(-1))
        after = np.cumsum(count[:, ::-1], -1)[:, ::-1]
        broken = np.clip(rng.beta(1.0 + count[:, :-1], 1.0 + after[:, 1:]), 1e-12, 1 - 1e-12)
        precision = count * np.exp(-2 * log_scale) + 1e-2
        pull = (of * y[:, None]).sum(1) * np.exp(-2 * log_scale) + 20.0 * 1e-2
        loc = pull / precision + rng.standard_normal(shape) / np.sqrt(precision)
        squares = (of * (y[None, :, None] - loc[:, None]) ** 2).sum(1)

        def log_density(s: Array, n: Array = count, squares: Array = squares) -> Array:
            return -n * s - 0.5 * squares * np.exp(-2 * s) - 0.5 * (s / 0.7) ** 2

        step = log_scale + 0.5 * rng.standard_normal(shape)
        gain = log_density(step) - log_density(log_scale)
        log_scale = np.where(np.log(rng.random(shape)) < gain, step, log_scale)
    return np.array(used[sweeps // 3 :]).T
