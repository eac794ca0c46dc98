"""Many categorical variables in sequence: each one's logits are a function of those before it."""

from __future__ import annotations

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Relaxation


class Autoregressive(Relaxation):
    """One-hot rows x_1, ..., x_D, each drawn by logits that the rows before it move.

    With y = x - 1/K, the logits of x_d are

        logits_d + sum_{j<d} linear_{dj} y_j + out_d tanh(bias + sum_{j<d} into_j y_j):

    all D of them take one pass when the value is known, and a pass each when it is drawn.

    :param logits: (*batch, D, K).
    :param linear: (*batch, D K, D K), from the column's variable to the row's; only what lies below
        the diagonal of D by D blocks is used.
    :param into: (*batch, H, D K).
    :param bias: (*batch, H).
    :param out: (*batch, D K, H).

    Larochelle & Murray, 2011, The neural autoregressive distribution estimator; Germain et al.,
    2015 (arXiv:1502.03509).
    """

    parameters = (
        Parameter("logits", "real_matrix", 2),
        Parameter("linear", "real_matrix", 2),
        Parameter("into", "real_matrix", 2),
        Parameter("bias", "real_vector", 1),
        Parameter("out", "real_matrix", 2),
    )
    support = "discrete_one_hot_rows"
    event_rank = 2
    noise = "gumbel"
    discrete = True
    reparameterized = False

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (int(self.logits.shape[-2]), int(self.logits.shape[-1]))

    def given(self, value: Array) -> Array:
        """Returns the logits of each variable given the others before it, (..., D, K).

        :param value: (..., D, K).
        """
        depth, size = self.event_shape
        y = value - 1.0 / size
        flat = y.reshape((*y.shape[:-2], depth * size))
        block = np.arange(depth).repeat(size)
        below = ops.like(self.linear, block[:, None] > block[None, :])
        found = ops.matvec(self.linear * below, flat)
        before = np.arange(depth)[:, None] > block[None, :]
        seen = flat[..., None, :] * ops.like(flat, before)
        hidden = ops.matmul(seen, ops.transpose(self.into)) + self.bias[..., None, :]
        hidden = tanh(hidden)
        units = int(self.out.shape[-1])
        out = self.out.reshape((*self.out.shape[:-2], depth, size, units))
        found = found.reshape((*found.shape[:-1], depth, size))
        return self.logits + found + ops.sum(out * hidden[..., :, None, :], axis=-1)

    def sample(self, noise: Array) -> Array:
        depth, size = self.event_shape
        steps = ops.like(noise, np.eye(depth)[:, :, None])

        def step(value: Array, xs: tuple[Array, Array]) -> tuple[Array, Array]:
            at, noise = xs
            logits = ops.sum(at * self.given(value), axis=-2)
            row = ops.one_hot(ops.argmax(logits + noise, axis=-1), size, noise)
            return value + at * row[..., None, :], row

        shape = self.broadcast_shapes(tuple(noise.shape), (*self.batch_shape, depth, size))
        rows = ops.moveaxis(ops.broadcast_to(noise, shape), -2, 0)
        start = ops.zeros_like(ops.broadcast_to(noise, shape))
        value, _ = ops.scan(step, start, (steps, rows))
        return ops.stop_gradient(value)

    def log_prob(self, value: Array) -> Array:
        log_p = ops.log_softmax(self.given(value), axis=-1)
        return ops.sum(value * log_p, axis=(-2, -1))


def tanh(x: Array) -> Array:
    """Returns the hyperbolic tangent."""
    return 2.0 * ops.sigmoid(2.0 * x) - 1.0
