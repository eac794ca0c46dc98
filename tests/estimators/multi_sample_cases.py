"""Programs for both hosts whose bound of K draws is known: every tuple of K draws is enumerated.

Each program runs in an outer plate of ``n`` repetitions (dimension -2) with its own copy of each
parameter, (n, rows or 1, *event), so that one evaluation gives n independent gradients. The tables
are written by hand, in JAX for both hosts; nothing in them is relaxppl's.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.nn import log_softmax

from tests.estimators.multi_sample_case import SEEN, Case, Row, mass, normal, observe, scaled

# A vector of two, and two that depend on it in a plate: what is latent outside of the plate makes
# it one bound.


def levels_program(host: Any, param: Any) -> Any:
    dist = host.dist

    def model() -> None:
        a = host.sample("a", dist.Bernoulli(logits=param("prior")).to_event(1))
        with host.plate("inner", 2, dim=-1):
            b = host.sample("b", dist.Bernoulli(logits=0.5 * a[..., 0] - 0.2))
        loc = a[..., 0, 0] * b[..., 0] - 0.7 * a[..., 0, 1] * b[..., 1] + b[..., 0] * b[..., 1]
        observe(host, "x", loc[..., None], 0.5, 1.1)

    def guide() -> None:
        a = host.sample("a", dist.Bernoulli(logits=param("qa")).to_event(1))
        with host.plate("inner", 2, dim=-1):
            logits = (2.0 * a[..., 0] - a[..., 1] - 0.3) * param("weight")
            host.sample("b", dist.Bernoulli(logits=logits))

    return model, guide


def levels_table(p: Any, held: Any, rows: Any) -> list[Row]:
    a, b = np.moveaxis(np.array(list(itertools.product([0.0, 1.0], repeat=4))), 1, 0).reshape(
        2, 2, -1
    )
    logits = (2.0 * a[0] - a[1] - 0.3) * p["weight"][:, None]
    log_q = mass(p["qa"][0][:, None], a).sum(0) + mass(logits, b).sum(0)
    log_p = mass(p["prior"][0][:, None], a).sum(0) + mass(0.5 * a[0] - 0.2, b).sum(0)
    loc = a[0] * b[0] - 0.7 * a[1] * b[1] + b[0] * b[1]
    return [Row(log_q, log_q, log_p + normal(1.1, loc, 0.5))]


LEVELS = Case(
    {
        "qa": np.array([[0.3, -0.5]]),
        "weight": np.array([1.1, -0.8]),
        "prior": np.array([[0.1, 0.4]]),
    },
    levels_program,
    levels_table,
)


# A one-hot and an integer that depends on it, in a subsampled plate; a term beside the plate that
# nothing latent reaches.

SIZE, BATCH = 3, 2
DATA, CENTRES = np.array([1.2, -0.4, 0.6]), np.array([1.0, -0.8, 0.3])
SHIFTS, LINK = np.array([0.5, -0.5]), np.array([[0.5, 0.0], [0.0, 0.9]])


def plate_program(host: Any, param: Any) -> Any:
    dist = host.dist

    def model() -> None:
        prior = param("prior")
        observe(host, "beside", prior[..., 0], 1.0, 0.3)
        with host.plate("data", SIZE, subsample_size=BATCH, dim=-1) as rows:
            z = host.sample("z", host.rx.OneHotCategorical(logits=prior))
            k = host.sample("k", dist.Categorical(logits=z[..., :2] @ host.array(LINK)))
            loc = (z @ host.array(CENTRES)) * (1.0 + host.array(SHIFTS)[k])
            host.sample("x", dist.Normal(loc, 0.7), obs=host.array(DATA)[rows])

    def guide() -> None:
        with host.plate("data", SIZE, subsample_size=BATCH, dim=-1) as rows:
            SEEN["rows"] = rows
            z = host.sample("z", host.rx.OneHotCategorical(logits=param("q")[:, rows] + 1.5))
            host.sample("k", dist.Categorical(logits=z[..., :2] * param("qk")))

    return model, guide


def plate_table(p: Any, held: Any, rows: Any) -> list[Row]:
    out = []
    j, k = (np.array(x) for x in zip(*itertools.product(range(3), range(2)), strict=True))
    z = np.eye(3)[j]
    for i in rows:  # Traced.
        log_q = log_softmax(p["q"][i])[j] + log_softmax(z[:, :2] * p["qk"][0])[np.arange(6), k]
        log_p = log_softmax(p["prior"][0])[j] + log_softmax(z[:, :2] @ LINK)[np.arange(6), k]
        loc = (z @ CENTRES) * (1.0 + SHIFTS[k])
        out.append(Row(log_q, log_q, log_p + normal(jnp.asarray(DATA)[i], loc, 0.7), SIZE / BATCH))
    return out


PLATE = Case(
    {
        "q": np.array([[0.5, -0.3, 0.1], [0.0, 0.7, -0.6], [0.2, 0.2, -0.9]]),
        "qk": np.array([[0.7, -0.4]]),
        "prior": np.array([[0.3, 0.0, -0.2]]),
    },
    plate_program,
    plate_table,
    plates=("data",),
    rest=lambda p: normal(0.3, p["prior"][0, 0], 1.0),
    subsampled=True,
)


# Normals before, between and beside two Bernoullis.


def mixed_program(host: Any, param: Any) -> Any:
    dist = host.dist

    def model() -> None:
        u = host.sample("u", dist.Normal(param("mean"), 1.0))
        a = host.sample("a", dist.Bernoulli(logits=0.5 * u))
        y = host.sample("y", dist.Normal(a - 0.4, 1.0))
        b = host.sample("b", dist.Bernoulli(logits=0.3 * y))
        observe(host, "x", a - 0.9 * a * b + 0.8 * y * b + 0.3 * u, 0.6, 0.9)

    def guide() -> None:
        u = host.sample("u", dist.Normal(param("qu"), 0.7))
        a = host.sample("a", dist.Bernoulli(logits=param("qa") + 0.6 * u))
        y = host.sample("y", dist.Normal(param("qy") * (1.5 * a - 0.5), 0.5))
        host.sample("b", dist.Bernoulli(logits=param("qb") * y + 0.4 * a))

    return model, guide


def mixed_table(p: Any, held: Any, rows: Any, points: int = 7) -> list[Row]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    weights = np.log(weights / weights.sum())
    grid = itertools.product([0.0, 1.0], [0.0, 1.0], range(points), range(points))
    a, b, i, j = (np.array(x) for x in zip(*grid, strict=True))
    i, j = i.astype(int), j.astype(int)
    p = {name: x[0] for name, x in p.items()}
    loc = p["qy"] * (1.5 * a - 0.5)
    u, y = held(p["qu"] + 0.7 * nodes[i]), held(loc + 0.5 * nodes[j])
    discrete = mass(p["qa"] + 0.6 * u, a) + mass(p["qb"] * y + 0.4 * a, b)
    log_q = discrete + normal(u, p["qu"], 0.7) + normal(y, loc, 0.5)
    log_p = normal(u, p["mean"], 1.0) + mass(0.5 * u, a) + normal(y, a - 0.4, 1.0)
    log_p = log_p + mass(0.3 * y, b)
    log_p = log_p + normal(0.9, a - 0.9 * a * b + 0.8 * y * b + 0.3 * u, 0.6)
    return [Row(weights[i] + weights[j] + discrete, log_q, log_p)]


MIXED = Case(
    {name: np.array([x]) for name, x in
     {"qu": 0.4, "qa": -0.3, "qy": 0.9, "qb": 0.8, "mean": -0.6}.items()},
    mixed_program,
    mixed_table,
)  # fmt: skip


# One integer, and a parameter that both programs have.


def integer_program(host: Any, param: Any) -> Any:
    dist = host.dist

    def model() -> None:
        k = host.sample("k", dist.Categorical(logits=0.5 * param("q")))
        observe(host, "x", host.array([1.0, -0.5, 0.2, 1.6])[k] * param("slope"), 0.6, 0.8)

    def guide() -> None:
        host.sample("k", dist.Categorical(logits=param("q")))

    return model, guide


def integer_table(p: Any, held: Any, rows: Any) -> list[Row]:
    log_q = log_softmax(p["q"][0])
    loc = np.array([1.0, -0.5, 0.2, 1.6]) * p["slope"][0]
    return [Row(log_q, log_q, log_softmax(0.5 * p["q"][0]) + normal(0.8, loc, 0.6))]


INTEGER = Case(
    {"q": np.array([[0.4, -0.2, 0.7, -0.9]]), "slope": np.array([0.8])},
    integer_program,
    integer_table,
)


# Masked in one of four elements on both sides, and scaled in the guide; what sees all is not.

MASK = np.array([True, True, False, True])


def masked_program(host: Any, param: Any) -> Any:
    dist = host.dist

    def model() -> None:
        with host.plate("inner", 4, dim=-1):
            with host.mask(MASK):
                b = host.sample("b", dist.Bernoulli(logits=param("theta")))
            observe(host, "x", b * param("theta") - 0.5 * b, 0.8, 0.7)

    def guide() -> None:
        with host.plate("inner", 4, dim=-1), host.mask(MASK), scaled(host, 1.5):
            host.sample("b", dist.Bernoulli(logits=1.4 * param("theta") + param("q")))

    return model, guide


def masked_table(p: Any, held: Any, rows: Any) -> list[Row]:
    out, b = [], np.array([0.0, 1.0])
    for i in range(4):
        log_q = mass(1.4 * p["theta"][i] + p["q"][i], b)
        likelihood = normal(0.7, b * p["theta"][i] - 0.5 * b, 0.8)
        log_p = MASK[i] * mass(p["theta"][i], b) + likelihood
        out.append(Row(log_q, 1.5 * MASK[i] * log_q, log_p))
    return out


MASKED = Case(
    {"theta": np.array([0.6, -0.5, 0.9, 1.2]), "q": np.array([-0.4, 0.3, 0.1, -0.9])},
    masked_program,
    masked_table,
    plates=("inner",),
)

CASES = {
    "levels": LEVELS, "plate": PLATE, "mixed": MIXED, "integer": INTEGER, "masked": MASKED
}  # fmt: skip
