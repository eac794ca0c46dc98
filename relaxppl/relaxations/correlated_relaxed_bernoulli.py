"""Correlated relaxed Bernoullis: binary Concrete variables under a Gaussian copula.

w ~ N(0, R), u = Phi(w), x_k = s((a_k + logit(u_k)) / T).
Lee, Imrie and van der Schaar, 2022 (ICLR), section 4.
"""

from __future__ import annotations

from typing import ClassVar

from relaxppl import ops
from relaxppl.moments.concrete import concrete_entropy, concrete_moment
from relaxppl.ops import Array
from relaxppl.ops.constants import LOG_2PI
from relaxppl.relaxations.base import OneOf, Parameter, Parameters
from relaxppl.relaxations.binary import Binary
from relaxppl.relaxations.cached import cached_property
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE, inside, logistic_log_density


class CorrelatedRelaxedBernoulli(Binary):
    """x_k = s((a_k + logit(Phi(w_k))) / T) with w ~ N(0, R): values on (0, 1)^D that correlate.

    Each coordinate has the law of RelaxedBernoulli(T, a_k); the dependence is a Gaussian copula
    with the correlation matrix R. With u_k = s(T logit(x_k) - a_k) and w = Phi^-1(u) the log
    density of the whole event is log N(w; 0, R) - sum_k log N(w_k; 0, 1) + sum_k [log T
    + log u_k + log(1 - u_k) - log x_k - log(1 - x_k)].

    The hard values [x_k > 1/2] are 1 with probabilities ``probs`` = s(a), the marginals; their
    joint law, the mass of an orthant under N(0, R), has no closed form.

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probabilities s(a), in [0, 1], (*batch_shape, D); or
    :param logits: their log odds a, (*batch_shape, D).
    :param correlation_matrix: R, positive definite with unit diagonal, (*batch_shape, D, D); or
    :param scale_tril: its lower Cholesky factor, whose rows have norm 1, (*batch_shape, D, D).
    :raises ValueError: for a parameter outside its constraint, both or neither of two
        alternatives, or sizes D that differ.

    Lee, Imrie and van der Schaar, 2022 (ICLR), section 4.
    """

    parameters: ClassVar[Parameters] = (
        TEMPERATURE,
        OneOf(
            (Parameter("probs", "unit_interval_vector", 1), Parameter("logits", "real_vector", 1))
        ),
        OneOf(
            (
                Parameter("correlation_matrix", "correlation_matrix", 2),
                Parameter("scale_tril", "correlation_cholesky", 2),
            )
        ),
    )
    support = "unit_interval_vector"
    event_rank = 1
    noise = "normal"

    @cached_property
    def scale_tril(self) -> Array:
        """The lower Cholesky factor of R."""
        return ops.cholesky(self.correlation_matrix)

    @cached_property
    def correlation_matrix(self) -> Array:
        """The correlation matrix R."""
        return ops.matmul(self.scale_tril, ops.transpose(self.scale_tril))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.__dict__["logits" if "logits" in self.__dict__ else "probs"].shape[-1:])

    def check(self) -> None:
        # While torch.jit.trace records, a size is a tensor: to a set, equal to itself alone.
        sizes = {
            p.name: tuple(int(n) for n in self.__dict__[p.name].shape[-p.event_rank :])
            for p in self.flat_parameters()
            if p.event_rank and p.name in self.__dict__
        }
        if len({n for shape in sizes.values() for n in shape}) > 1:
            got = " and ".join(f"{name} {shape}" for name, shape in sizes.items())
            raise ValueError(f"{type(self).__name__}: the sizes of the event differ: {got}")

    def rounded(self, value: Array) -> Array:
        return inside(value)

    def sample(self, noise: Array) -> Array:
        w = ops.matvec(self.scale_tril, noise)
        # logit(Phi(w)) from the smaller tail, which no normal draw makes underflow.
        negative = w < 0.0
        tail = ops.ndtr(ops.where(negative, w, -w))
        logit = ops.log(tail) - ops.log1p(-tail)
        latent = self.logits + ops.where(negative, logit, -logit)
        return inside(ops.sigmoid(latent / self.temperature[..., None]))

    def log_prob(self, value: Array) -> Array:
        value = inside(value)
        temperature = self.temperature[..., None]
        log_x, log_1mx = ops.log(value), ops.log1p(-value)
        logit = log_x - log_1mx
        marginal = logistic_log_density(logit, self.logits, temperature) - log_x - log_1mx
        w = normal_score(temperature * logit - self.logits)
        e = ops.solve_triangular(self.scale_tril, w)
        terms = marginal + 0.5 * (w * w - e * e) - ops.log(ops.diagonal(self.scale_tril))
        return ops.sum(terms, axis=-1)

    def mean(self) -> Array:
        return concrete_moment(self.logits, self.temperature[..., None], 1)

    def variance(self) -> Array:
        first = concrete_moment(self.logits, self.temperature[..., None], 1)
        return concrete_moment(self.logits, self.temperature[..., None], 2) - first**2

    def entropy(self) -> Array:
        """Returns the sum of the coordinates' entropies, plus log det(R) / 2."""
        alone = concrete_entropy(self.logits, self.temperature[..., None])
        return ops.sum(alone + ops.log(ops.diagonal(self.scale_tril)), axis=-1)

    def cdf(self, value: Array) -> Array:
        raise NotImplementedError(
            "CorrelatedRelaxedBernoulli has no cdf: it would need normal orthant probabilities; "
            "each coordinate alone has that of RelaxedBernoulli"
        )

    def icdf(self, probability: Array) -> Array:
        raise NotImplementedError(
            "CorrelatedRelaxedBernoulli has no quantiles: its event is a vector; "
            "each coordinate alone has those of RelaxedBernoulli"
        )


def normal_score(logit: Array) -> Array:
    """Returns w with Phi(w) = s(logit), by Newton's method on log Phi: no tail underflows.

    :param logit: of any shape.
    :returns: of the same shape, twice differentiable.
    """
    negative = logit < 0.0
    target = ops.log_sigmoid(ops.where(negative, logit, -logit))
    fixed = ops.stop_gradient(target)
    far = fixed < -30.0
    tail = -2.0 * ops.where(far, fixed, -30.0)
    start = -ops.sqrt(tail - LOG_2PI - ops.log(tail))
    w = ops.where(far, start, ops.ndtri(ops.exp(ops.where(far, -30.0, fixed))))
    for _ in range(2):
        w = ops.stop_gradient(_newton(w, fixed))
    # From a constant each further step makes one more derivative right.
    for _ in range(2):
        w = _newton(w, target)
    return ops.where(negative, w, -w)


def _newton(w: Array, target: Array) -> Array:
    log_cdf = ops.log_ndtr(w)
    return w - (log_cdf - target) * ops.exp(log_cdf + 0.5 * w * w + 0.5 * LOG_2PI)
