"""A small Pyro program whose bound is known, and what exact bounds are written with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro
import torch
from torch.nn.functional import softplus

Tensors = dict[str, torch.Tensor]


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


SEEN: dict[str, Any] = {}
"""The rows of the guide's last subsample."""


@dataclass
class Case:
    name: str
    initial: Tensors
    """Each (rows, *event): rows is 1, or the size of the inner plate."""
    program: Callable[[Callable[[str], torch.Tensor], Any], Any]
    """From a function that gives a parameter, and per-site infer options, to model and guide."""
    exact: Callable[..., torch.Tensor]
    """The negative bound from the parameters of one repetition, and the subsample's rows."""
    depth: int = 1
    """Levels of discrete sites."""
    subsampled: bool = False
    infer: dict[str, dict[str, str]] = field(default_factory=dict)
    """Sites whose estimator must be chosen for them where the default one cannot run."""

    def build(self, n: int, infer: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Returns the model and the guide with n repetitions."""

        def param(name: str) -> torch.Tensor:
            return pyro.param(name, lambda: self.initial[name].expand(n, *self.initial[name].shape))

        model, guide = self.program(param, infer or {})

        def repeated(fn: Any) -> Any:
            def wrapped() -> Any:
                with pyro.plate("repetitions", n, dim=-2):
                    return fn()

            return wrapped

        return repeated(model), repeated(guide)

    def gradient(self) -> tuple[float, Tensors]:
        """Returns the exact negative bound and its gradient, on the guide's last subsample."""
        options = dict(SEEN) if self.subsampled else {}
        leaves = {name: x.clone().requires_grad_() for name, x in self.initial.items()}
        value = self.exact(**leaves, **options)
        grads = torch.autograd.grad(value, list(leaves.values()))
        return value.item(), dict(zip(leaves, grads, strict=True))


def bits(size: int) -> list[torch.Tensor]:
    return [tensor(*b) for b in itertools.product((0.0, 1.0), repeat=size)]


def bernoulli(logits: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (b * logits - softplus(logits)).sum()


def normal(x: Any, loc: torch.Tensor, scale: float) -> torch.Tensor:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def expectation(weighted: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Returns -sum q (log p - log q) of pairs (log q, log p)."""
    return -sum(log_q.exp() * (log_p - log_q) for log_q, log_p in weighted)
