"""The rows of the classes made from a Gaussian vector."""

from __future__ import annotations

import numpy as np

from tests.relaxations import references as ref
from tests.relaxations.case import Bad, Case, Params
from tests.relaxations.facts import (
    BAD_TEMPERATURE,
    NAN,
    ROW_BATCH,
    SIX,
    TEMPERATURES,
    VECTOR,
    once,
)

COLUMN = np.array(TEMPERATURES)[:, None]
SCALES = np.array([1e-6, 1e-2, 1.0, 1e2, 1e6])
MOMENTS = frozenset({"mean", "variance", "entropy"})


def _bad_positive_vector(name: str, size: int) -> tuple[Bad, ...]:
    low = np.ones(size)
    low[0] = -1.0
    return (
        Bad({name: low}, name),
        Bad({name: np.zeros(size)}, name),
        Bad({name: np.stack([np.ones(size), low])}, name),
    )


def correlated() -> list[Case]:
    two = np.array([[1.0, 0.6], [0.6, 1.0]])
    three = np.array([[1.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 1.0]])
    batch = np.stack([two, [[1.0, -0.4], [-0.4, 1.0]]])
    pair = np.array([[0.3, -0.8], [1.1, 0.2]])
    facts: Params = {
        "law": ref.correlated,
        "ranks": {**VECTOR, "correlation_matrix": 2, "scale_tril": 2},
        "extremes": (
            {
                "temperature": COLUMN,
                "logits": np.array([[88.0, -88.0], [30.0, 0.0], [-88.0, -88.0]]),
                "correlation_matrix": np.array([[1.0, 0.999], [0.999, 1.0]]),
            },
            {
                "temperature": COLUMN,
                "probs": np.array([[1.0, 0.0], [0.5, 1e-30], [0.3, 1.0]]),
                "correlation_matrix": np.array([[1.0, -0.999], [-0.999, 1.0]]),
            },
        ),
        "bad": (
            *BAD_TEMPERATURE,
            Bad({"logits": np.array([0.1, NAN])}, "logits"),
            Bad({"logits": None, "probs": np.array([0.1, 1.2])}, "probs"),
            Bad({"logits": None}, "probs, logits", structural=True),
            Bad({"probs": np.array([0.1, 0.2])}, "probs and logits", structural=True),
            Bad({"correlation_matrix": [[1.0, 1.5], [1.5, 1.0]]}, "correlation_matrix"),
            Bad({"correlation_matrix": [[2.0, 0.5], [0.5, 2.0]]}, "correlation_matrix"),
            Bad({"correlation_matrix": [[1.0, 0.5], [0.4, 1.0]]}, "correlation_matrix"),
            Bad({"correlation_matrix": np.stack([two, 2 * two])}, "correlation_matrix"),
            Bad({"correlation_matrix": three}, "correlation_matrix", structural=True),
            Bad({"correlation_matrix": None}, "correlation_matrix", structural=True),
            Bad({"scale_tril": np.eye(2)}, "scale_tril", structural=True),
            Bad({"correlation_matrix": None, "scale_tril": 2 * np.eye(2)}, "scale_tril"),
            Bad({"correlation_matrix": None, "scale_tril": two}, "scale_tril"),
        ),
    }
    name = "CorrelatedRelaxedBernoulli"
    temperature = np.array([0.7, 1.3])
    cases = [
        Case(
            name,
            "matrix",
            {"temperature": temperature, "logits": pair, "correlation_matrix": batch},
            **facts,
        ),
        Case(
            name,
            "tril",
            {
                "temperature": temperature,
                "probs": np.array([[0.3, 0.6], [0.8, 0.5]]),
                "scale_tril": np.linalg.cholesky(two),
            },
            **facts,
        ),
        Case(
            name,
            "three",
            {
                "temperature": np.array([0.9]),
                "logits": np.array([0.5, -0.7, 1.0]),
                "correlation_matrix": three,
            },
            **facts,
        ),
    ]
    return once(cases)


def invertible_gaussian() -> list[Case]:
    facts: Params = {
        "law": ref.invertible_gaussian,
        "ranks": {"loc": 1, "scale": 1},
        "gives": MOMENTS,
        "extremes": (
            {
                "temperature": COLUMN,
                "loc": np.array([[0.0, 0.0], [88.0, -88.0], [-88.0, -88.0]])[:, None, None],
                "scale": SCALES[:, None] * np.ones(2),
            },
        ),
        "bad": BAD_TEMPERATURE
        + _bad_positive_vector("scale", 2)
        + (
            Bad({"loc": np.array([NAN, 0.0])}, "loc"),
            Bad({"delta": -1.0}, "delta"),
            Bad({"delta": 0.0}, "delta"),
            Bad({"loc": 0.3}, "loc", structural=True),
        ),
    }
    name = "InvertibleGaussian"
    loc = np.array([[0.3, -0.5], [1.0, 0.2]])
    scale = np.array([[0.8, 1.2], [0.5, 0.7]])
    cases = [
        Case(
            name,
            "delta",
            {
                "temperature": np.array([0.5, 1.3]),
                "loc": loc,
                "scale": scale,
                "delta": np.array([1.0, 0.4]),
            },
            **facts,
        ),
        Case(
            name,
            "binary",
            {"temperature": np.array([0.8]), "loc": loc[:, :1], "scale": scale[:, :1]},
            **facts,
        ),
        Case(
            name,
            "five",
            {"temperature": 0.9, "loc": SIX[:, :4], "scale": np.array([[0.5, 1.0, 1.5, 0.7]])},
            **facts,
        ),
    ]
    return once(cases)


def logistic_normal() -> list[Case]:
    name = "LogisticNormalSoftmax"
    tril = np.array([[[0.8, 0, 0], [0.3, 0.6, 0], [-0.2, 0.4, 0.9]], 0.7 * np.eye(3)])
    covariance = tril @ np.swapaxes(tril, -1, -2)
    factor = np.array([[[0.5], [-0.3], [0.8]], [[0.1], [0.6], [0.2]]])
    scale = np.array([[0.5, 0.9, 0.7], [0.3, 1.1, 0.6]])
    not_definite = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    zeros = np.zeros(3)
    common: Params = {
        "ranks": {
            "loc": 1,
            "scale": 1,
            "scale_tril": 2,
            "covariance_matrix": 2,
            "cov_factor": 2,
            "cov_diag": 1,
        },
    }
    base_bad = (
        Bad({"loc": np.array([NAN, 0.0, 0.0])}, "loc"),
        Bad({"loc": 0.1}, "loc", structural=True),
    )
    bad: dict[str, tuple[Bad, ...]] = {
        "scale": (
            *_bad_positive_vector("scale", 3),
            Bad({"scale": None}, "scale", structural=True),
            Bad({"scale_tril": np.eye(3)}, "scale_tril", structural=True),
        ),
        "scale_tril": (
            Bad({"scale_tril": -np.eye(3)}, "scale_tril"),
            Bad({"scale_tril": np.ones((3, 3))}, "scale_tril"),
            Bad({"scale_tril": np.eye(2)}, "scale_tril", structural=True),
        ),
        "covariance_matrix": (
            Bad({"covariance_matrix": not_definite}, "covariance_matrix"),
            Bad({"covariance_matrix": np.stack([np.eye(3), not_definite])}, "covariance_matrix"),
        ),
        "low_rank": (
            Bad({"cov_diag": -np.ones(3)}, "cov_diag"),
            Bad({"cov_diag": None}, "cov_diag", structural=True),
        ),
    }
    extremes: dict[str, Params] = {
        "scale": {
            "loc": np.array([zeros, [88.0, -88.0, 0.0]])[:, None],
            "scale": SCALES[:, None] * np.ones(3),
        },
        "scale_tril": {"loc": zeros, "scale_tril": SCALES[:, None, None] * np.eye(3)},
        "covariance_matrix": {
            "loc": zeros,
            "covariance_matrix": SCALES[:, None, None] ** 2 * np.eye(3),
        },
        "low_rank": {
            "loc": zeros,
            "cov_factor": SCALES[:, None, None] * np.ones((3, 1)),
            "cov_diag": SCALES[:, None] ** 2 * np.ones(3),
        },
    }
    params: dict[str, Params] = {
        "scale": {"scale": scale},
        "scale_tril": {"scale_tril": tril},
        "covariance_matrix": {"covariance_matrix": covariance},
        "low_rank": {"cov_factor": factor, "cov_diag": scale},
    }
    cases = [
        Case(
            name,
            label,
            {"loc": ROW_BATCH, **given},
            ref.logistic_normal,
            bad=base_bad + bad[label],
            extremes=(extremes[label],),
            gives=MOMENTS if label == "scale" else frozenset(),
            **common,
        )
        for label, given in params.items()
    ]
    six = {"loc": SIX, "scale": np.array([0.5, 1.0, 0.8, 0.6, 1.2, 0.9])}
    return [*cases, Case(name, "six", six, ref.logistic_normal, gives=MOMENTS, **common)]
