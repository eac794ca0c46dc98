"""The exact posterior of an ordering behind rankings, by sums over sets and not over orderings."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def ordering_given_pairs(ahead: Array, agreement: Array) -> tuple[Array, Array]:
    """Exact law of an ordering with mass exp(-agreement * upsets), prior to which all are alike.

    An upset is a pair in a ranking that the ordering has the other way round. What the next place
    costs depends on which items come before, and not on their order: the sum over n! orderings is
    one over 2^n sets, forward and backward.

    :param ahead: in how many rankings item i is before item j, shape (n, n).
    :param agreement: positive, shape (points,).
    :returns: the probability of each item (row) at each place (column), shape (points, n, n), and
        the log of the mean over orderings of exp(-agreement * upsets), (points,).
    """
    items = len(ahead)
    bits, sets = 1 << np.arange(items), np.arange(2**items)
    inside = sets[:, None] & bits != 0
    # Who comes next has an upset with each item that is left, wherever that one was ahead.
    upsets = np.where(inside, np.inf, (~inside).astype(float) @ ahead)
    cost = agreement[:, None, None] * upsets
    forward = np.full((len(agreement), 2**items), -np.inf)
    backward = forward.copy()
    forward[:, 0] = backward[:, -1] = 0.0
    of_size = [sets[inside.sum(-1) == size] for size in range(items + 1)]
    for row in of_size[1:]:
        before = row[:, None] & ~bits
        terms = forward[:, before] - cost[:, before, np.arange(items)]
        forward[:, row] = np.logaddexp.reduce(np.where(inside[row], terms, -np.inf), -1)
    total, places = forward[:, -1], []
    for row in of_size[-2::-1]:
        terms = backward[:, row[:, None] | bits] - cost[:, row]
        backward[:, row] = np.logaddexp.reduce(terms, -1)
        at = np.exp(forward[:, row, None] + terms - total[:, None, None])
        places.append(at.sum(1))
    return np.stack(places[::-1], -1), total - np.log(np.arange(1, items + 1)).sum()


def rankings_posterior(
    ahead: Array, places: Array, log_prior: Array, grid: Array
) -> tuple[Array, Array, float]:
    """The exact posterior of groups' orderings, and of how far rankings agree with them.

    A ranking r of an ordering s has probability exp(-agreement * upsets) / Z, where Z, for m who
    are ranked, is the product over j = 1, ..., m of (1 - exp(-j * agreement)) / (1 -
    exp(-agreement)) (Mallows, 1957, Biometrika 44; Fligner and Verducci, 1986, JRSS B 48).

    :param ahead: of each group, in how many rankings item i is before j, shape (groups, n, n).
    :param places: how many rankings have at least 1, ..., n items, shape (groups, n).
    :param log_prior: log density of the agreement at the grid, shape (points,).
    :param grid: of agreements, evenly spaced, shape (points,).
    :returns: the probability of each item at each place, shape (groups, n, n); that of each point
        of the grid, (points,); the log evidence.
    """
    found = [ordering_given_pairs(group, grid) for group in ahead]
    stages = np.log1p(-np.exp(-grid[:, None] * np.arange(1, ahead.shape[-1] + 1)))
    constant = (stages - stages[:, :1]) @ places.sum(0)
    joint = log_prior + sum(fit for _, fit in found) - constant + np.log(grid[1] - grid[0])
    evidence = np.logaddexp.reduce(joint)
    weight = np.exp(joint - evidence)
    return np.array([np.tensordot(weight, at, 1) for at, _ in found]), weight, float(evidence)


def fewest_upsets(ahead: Array) -> NDArray[np.int64]:
    """The least number of upsets that an ordering of each group can have, by the same sums.

    :param ahead: shape (groups, n, n).
    :returns: shape (groups,).
    """
    # So strict an agreement leaves the best orderings alone in the sum.
    strict, items = np.array([40.0]), np.arange(1, ahead.shape[-1] + 1)
    fit = [ordering_given_pairs(group, strict)[1][0] for group in ahead]
    return np.rint(-(np.array(fit) + np.log(items).sum()) / strict).astype(np.int64)


def upsets_of(orders: NDArray[np.int64], ahead: Array) -> Array:
    """How often a ranking has a pair the other way round, for draws of orderings.

    :param orders: the items' indices, the first place first, shape (draws, groups, n).
    :param ahead: shape (groups, n, n).
    :returns: shape (draws, groups).
    """
    group = np.arange(len(ahead))[:, None, None]
    return np.tril(ahead[group, orders[..., :, None], orders[..., None, :]], -1).sum((-1, -2))


def places_of(orders: NDArray[np.int64]) -> Array:
    """How often each item has each place in draws of orderings.

    :param orders: the items' indices, the first place first, shape (draws, groups, n).
    :returns: shape (groups, n, n), items by places.
    """
    return (orders[..., None, :] == np.arange(orders.shape[-1])[:, None]).mean(0)
