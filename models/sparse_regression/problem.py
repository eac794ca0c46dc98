"""Simulated regressions with correlated features, what the lasso finds, and how it is scored."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Selected = NDArray[np.bool_]

GATES = ("HardConcrete", "GaussianRelaxedBernoulli", "CorrelatedRelaxedBernoulli")
LASSOS = ("LassoCV", "LassoLarsIC (BIC)")


@dataclass(frozen=True)
class Problems:
    """One regression for each seed; features and responses are standardised.

    :param features: (runs, n, p).
    :param response: (runs, n).
    :param relevant: which features have a coefficient, (runs, p).
    """

    features: NDArray[np.float32]
    response: NDArray[np.float32]
    relevant: Selected

    @property
    def shape(self) -> tuple[int, int, int]:
        """Runs, observations and features."""
        runs, count, size = self.features.shape
        return runs, count, size

    def correlation_factor(self) -> NDArray[np.float32]:
        """Cholesky factors of the features' correlation, shrunk by a tenth to be definite."""
        _, count, size = self.shape
        correlation = np.swapaxes(self.features, 1, 2) @ self.features / count
        shrunk = 0.9 * correlation.astype(float) + 0.1 * np.eye(size)
        spread = np.sqrt(np.diagonal(shrunk, axis1=1, axis2=2))
        factor = np.linalg.cholesky(shrunk / (spread[:, :, None] * spread[:, None, :]))
        return factor.astype(np.float32)


def simulate(
    seed: int, runs: int, count: int, size: int, relevant: int, correlation: float
) -> Problems:
    """Draw regressions with noise of scale 1 and coefficients from 0.5 to 1.5 of either sign.

    :param seed: of the first run; the others follow.
    :param runs: how many.
    :param count: observations in each.
    :param size: features in each.
    :param relevant: how many features have a coefficient.
    :param correlation: that of features i and j is its power |i - j|.
    :returns: the problems.
    """
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    factor = np.linalg.cholesky(correlation**distance)
    features, responses, supports = [], [], []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        x = rng.standard_normal((count, size)) @ factor.T
        coefficients = np.zeros(size)
        chosen = rng.choice(size, relevant, replace=False)
        signs = rng.choice([-1.0, 1.0], relevant)
        coefficients[chosen] = signs * rng.uniform(0.5, 1.5, relevant)
        y = x @ coefficients + rng.standard_normal(count)
        features.append((x - x.mean(0)) / x.std(0))
        responses.append((y - y.mean()) / y.std())
        supports.append(coefficients != 0.0)
    return Problems(
        np.array(features, np.float32), np.array(responses, np.float32), np.array(supports)
    )


def lasso(problems: Problems, name: str) -> Selected:
    """The features to which scikit-learn's lasso gives a coefficient.

    :param problems: the regressions.
    :param name: one of `LASSOS`: the penalty by 5-fold cross-validation, or by the BIC.
    :returns: Shape (runs, p).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LassoCV, LassoLarsIC

    def fitted(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
        chosen = LassoCV(cv=5) if name == "LassoCV" else LassoLarsIC(criterion="bic")
        return chosen.fit(x, y).coef_

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pairs = zip(problems.features.astype(float), problems.response.astype(float), strict=True)
        return np.array([fitted(x, y) != 0.0 for x, y in pairs])


def score(selected: Selected, relevant: Selected) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each run; precision is 0 where nothing was selected.

    :param selected: (runs, p).
    :param relevant: (runs, p), at least one in each run.
    :returns: "precision", "recall" and "f1", each (runs,).
    """
    hits = (selected & relevant).sum(1)
    chosen, wanted = selected.sum(1), relevant.sum(1)
    return {
        "precision": hits / np.maximum(chosen, 1),
        "recall": hits / wanted,
        "f1": 2.0 * hits / (chosen + wanted),
    }
