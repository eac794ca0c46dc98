"""The softmax of a Gaussian in R^K, with the law of its K - 1 differences.

Aitchison and Shen, 1980 (Biometrika 67), in a form that is symmetric in the coordinates.
"""

from __future__ import annotations

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import LOG_2PI
from relaxppl.relaxations.base import OneOf, Parameter, Relaxation
from relaxppl.relaxations.binary import smallest
from relaxppl.relaxations.cached import cached_property
from relaxppl.relaxations.gaussian_softmax import argmax_probs, softmax_moments


class LogisticNormalSoftmax(Relaxation):
    """x = softmax(y), y ~ N(loc, S) in R^K: a value on the simplex of K classes.

    softmax forgets a constant added to y, so the density is that of the differences y_i - y_K,
    divided by x_1 ... x_K. With P the inverse of S, r = log x - loc and r' = r minus the constant
    c = 1'Pr / 1'P1, it is

    log p(x) = -r''Pr' / 2 - (K-1)/2 log(2 pi) - log|S| / 2 - log(1'P1) / 2 - sum_k log x_k,

    the integral of N(r + c 1; 0, S) over c: no matrix of differences is formed, and a diagonal or
    low-rank S costs O(K) or O(K R^2). Moments, entropy and ``probs`` are quadratures where the
    coordinates of y are independent, and refused where they are not.

    :param loc: the mean of y, (*batch, K).
    :param scale: independent standard deviations, positive, (*batch, K); or
    :param scale_tril: the Cholesky factor of S, (*batch, K, K); or
    :param covariance_matrix: S, positive definite, (*batch, K, K); or
    :param cov_factor: W of S = W W' + diag(cov_diag), (*batch, K, R), with
    :param cov_diag: positive, (*batch, K).
    :raises ValueError: if K < 2 or shapes do not fit loc's K, if S is not positive definite or a
        scale not positive, or not exactly one parameterisation of S is given.

    Aitchison and Shen, 1980 (Biometrika 67, 261-272).
    """

    parameters = (
        Parameter("loc", "real_vector", 1),
        OneOf(
            (
                Parameter("scale", "positive_vector", 1),
                Parameter("scale_tril", "lower_cholesky", 2),
                Parameter("covariance_matrix", "positive_definite", 2),
                (
                    Parameter("cov_factor", "real_matrix", 2),
                    Parameter("cov_diag", "positive_vector", 1),
                ),
            )
        ),
    )
    support = "simplex"
    event_rank = 1
    noise = "normal"
    further = ("soft", "probs", "zero_sum_covariance", "zero_sum_variance")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (ops.size(self.loc),)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        extra = ops.size(self.cov_factor) if self._low_rank else 0
        return (ops.size(self.loc) + extra,)

    def check(self) -> None:
        size = ops.size(self.loc)
        if size < 2:
            raise ValueError(
                f"LogisticNormalSoftmax: loc needs a last dimension K >= 2, got shape "
                f"{tuple(self.loc.shape)}"
            )
        shapes = {
            "scale": (size,),
            "scale_tril": (size, size),
            "covariance_matrix": (size, size),
            "cov_factor": (size, None),
            "cov_diag": (size,),
        }
        for name, allowed in shapes.items():
            if name in self.__dict__:
                shape = tuple(self.__dict__[name].shape)
                event = shape[len(shape) - len(allowed) :]
                if any(a not in (None, b) for a, b in zip(allowed, event, strict=True)):
                    wanted = ", ".join("R" if a is None else str(a) for a in allowed)
                    raise ValueError(
                        f"LogisticNormalSoftmax: {name} must end in the dimensions ({wanted}), "
                        f"as loc has K = {size}; got shape {shape}"
                    )

    @property
    def _diagonal(self) -> bool:
        return "scale" in self.__dict__

    @property
    def _low_rank(self) -> bool:
        return "cov_factor" in self.__dict__

    @cached_property
    def scale_tril(self) -> Array:
        """The Cholesky factor of S, (*batch, K, K)."""
        if self._diagonal:
            return self.scale[..., None] * ops.like(self.scale, np.eye(ops.size(self.scale)))
        return ops.cholesky(self.covariance_matrix)

    @cached_property
    def covariance_matrix(self) -> Array:
        """The covariance S of y, (*batch, K, K); x itself has its own in ``variance``."""
        if self._low_rank:
            eye = ops.like(self.cov_diag, np.eye(ops.size(self.cov_diag)))
            product = ops.matmul(self.cov_factor, ops.transpose(self.cov_factor))
            return product + self.cov_diag[..., None] * eye
        return ops.matmul(self.scale_tril, ops.transpose(self.scale_tril))

    @property
    def hard_law(self) -> str | None:  # type: ignore[override]
        return "OneHotCategorical" if self._diagonal else None

    @property
    def zero_sum_covariance(self) -> Array:
        """The covariance C S C, C = I - 11'/K, of y less its mean over the coordinates.

        All of S that the softmax keeps; (*batch, K, K), singular along the vector of ones.
        """
        size = ops.size(self.loc)
        rows = ops.sum(self.covariance_matrix, axis=-1, keepdims=True) / size
        mean = ops.sum(rows, axis=-2, keepdims=True) / size
        return self.covariance_matrix - rows - ops.transpose(rows) + mean

    @property
    def zero_sum_variance(self) -> Array:
        """The diagonal of ``zero_sum_covariance``, (*batch, K)."""
        if not self._diagonal:
            return ops.diagonal(self.zero_sum_covariance)
        size = ops.size(self.loc)
        variance = self.scale**2
        total = ops.sum(variance, axis=-1, keepdims=True)
        return variance * (1.0 - 2.0 / size) + total / size**2

    def latent(self, noise: Array) -> Array:
        """Returns y of standard normal noise, (..., K)."""
        if self._diagonal:
            return self.loc + self.scale * noise
        if self._low_rank:
            size = ops.size(self.loc)
            own = ops.sqrt(self.cov_diag) * noise[..., :size]
            return self.loc + own + ops.matvec(self.cov_factor, noise[..., size:])
        return self.loc + ops.matvec(self.scale_tril, noise)

    def soft(self, latent: Array) -> Array:
        """Returns softmax(y), no coordinate of which is rounded to zero."""
        inside = ops.softmax(latent, axis=-1)
        return ops.at_least(inside, smallest(inside))

    def rounded(self, value: Array) -> Array:
        return ops.at_least(value, smallest(value))

    def sample(self, noise: Array) -> Array:
        return self.soft(self.latent(noise))

    @cached_property
    def _capacitance_tril(self) -> Array:
        """The Cholesky factor of I + W' diag(cov_diag)^-1 W."""
        scaled = self.cov_factor / self.cov_diag[..., None]
        product = ops.matmul(ops.transpose(self.cov_factor), scaled)
        return ops.cholesky(product + ops.like(product, np.eye(ops.size(product))))

    def _whiten(self, vector: Array) -> tuple[Array, Array | None]:
        """Returns u and w with vector' P vector = u'u - w'w; w is None when it is nothing."""
        if self._diagonal:
            return vector / self.scale, None
        if self._low_rank:
            # Woodbury: P = D^-1 - D^-1 W (I + W' D^-1 W)^-1 W' D^-1.
            through = ops.matvec(ops.transpose(self.cov_factor), vector / self.cov_diag)
            removed = ops.solve_triangular(self._capacitance_tril, through)
            return vector / ops.sqrt(self.cov_diag), removed
        return ops.solve_triangular(self.scale_tril, vector), None

    def _log_det(self) -> Array:
        if self._diagonal:
            return 2.0 * ops.sum(ops.log(self.scale), axis=-1)
        if self._low_rank:
            own = ops.sum(ops.log(self.cov_diag), axis=-1)
            return own + 2.0 * ops.sum(ops.log(ops.diagonal(self._capacitance_tril)), axis=-1)
        return 2.0 * ops.sum(ops.log(ops.diagonal(self.scale_tril)), axis=-1)

    def log_prob(self, value: Array) -> Array:
        log_x = ops.log(ops.clip(value, smallest(value), 1.0))
        residual = log_x - self.loc
        ones = self._whiten(ops.full_like(self.loc, 1.0))
        precision = _inner(ones, ones)
        shift = _inner(ones, self._whiten(residual)) / precision
        centred = self._whiten(residual - shift[..., None])
        constant = (ops.size(self.loc) - 1) * LOG_2PI + ops.log(precision)
        gaussian = -0.5 * (_inner(centred, centred) + constant + self._log_det())
        return gaussian - ops.sum(log_x, axis=-1)

    def _moments(self, what: str) -> tuple[Array, Array, Array]:
        self._need_independent(what)
        return softmax_moments(self.loc, self.scale)

    def _need_independent(self, what: str) -> None:
        if not self._diagonal:
            raise NotImplementedError(
                f"LogisticNormalSoftmax has {what} by quadrature only where it is given scale: "
                "dependent coordinates leave an integral over K - 1 dimensions. Average samples "
                "instead"
            )

    def mean(self) -> Array:
        return self._moments("a mean")[0]

    def variance(self) -> Array:
        mean, second, _ = self._moments("a variance")
        return ops.clip(second - mean**2, 0.0, None)

    def entropy(self) -> Array:
        mean_logsumexp = self._moments("an entropy")[2]
        size = ops.size(self.loc)
        # That of the K - 1 differences, and E sum_k log x_k. Their covariance has the determinant
        # |S| 1'P1.
        precision = ops.sum(1.0 / self.scale**2, axis=-1)
        differences = (size - 1) * (1.0 + LOG_2PI) + self._log_det()
        mean_log = ops.sum(self.loc, axis=-1) - size * mean_logsumexp
        return 0.5 * (differences + ops.log(precision)) + mean_log

    @property
    def probs(self) -> Array:
        """The probabilities of the discrete law behind it, P(x_i is the largest), (*batch, K)."""
        self._need_independent("probs")
        return argmax_probs(self.loc, self.scale)

    def harden(self, value: Array) -> Array:
        return ops.one_hot(ops.argmax(value, axis=-1), ops.size(value), value)


def _inner(a: tuple[Array, Array | None], b: tuple[Array, Array | None]) -> Array:
    """Returns a' P b of two whitened vectors."""
    product = ops.sum(a[0] * b[0], axis=-1)
    if a[1] is None or b[1] is None:
        return product
    return product - ops.sum(a[1] * b[1], axis=-1)
