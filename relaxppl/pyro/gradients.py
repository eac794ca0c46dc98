"""Draws of a loss's gradient at fixed parameters, the parameter store left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyro
import pyro.poutine as poutine
import torch
from pyro.poutine.util import site_is_subsample
from torch.distributions import transform_to

from relaxppl.common.diagnostics import Moments, check_params
from relaxppl.common.naming import is_learned
from relaxppl.estimators.elbo import EstimatorELBO
from relaxppl.pyro.elbo.engine import DiscreteELBO
from relaxppl.pyro.elbo.kept import left_alone
from relaxppl.pyro.random_state import rewound

Leaves = dict[str, torch.Tensor]


class Borrowed:
    """The parameters of a model and a guide, at given values until the end of the context.

    :param discrete: the guide's discrete latent sites.
    :param state: the parameter store's state, with the values in it.
    """

    def __init__(self, discrete: list[str], state: Any) -> None:
        self.discrete, self.state = discrete, state


@contextmanager
def borrowed(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: dict[str, Any] | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    seed: int,
) -> Iterator[Borrowed]:
    """Sets the parameters for a while; the store, all gradients and the random state come back.

    :param model: the model.
    :param guide: the guide.
    :param params: constrained values by name; None for those of the store.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param seed: of the draws inside.
    :raises ValueError: if params does not fit.
    """
    store = pyro.get_param_store()

    def run() -> Any:
        trace = poutine.trace(guide).get_trace(*args, **kwargs)
        poutine.replay(model, trace=trace)(*args, **kwargs)
        return trace

    with ExitStack() as stack:
        stack.enter_context(rewound())
        stack.enter_context(store.scope(store.get_state()))
        torch.manual_seed(seed)
        with torch.no_grad():
            stack.enter_context(left_alone(run))
        with poutine.trace(param_only=True) as capture, torch.no_grad():
            guide_trace = run()
        nodes = {n: s for n, s in capture.trace.nodes.items() if s["type"] == "param"}
        if params is not None:
            check_params(
                {n: tuple(torch.as_tensor(x).shape) for n, x in params.items()},
                {n: tuple(s["value"].shape) for n, s in nodes.items()},
            )
        leaves = {n: s["value"].unconstrained() for n, s in nodes.items()}
        before = {n: (x.detach().clone(), x.grad) for n, x in leaves.items()}
        for leaf in leaves.values():
            leaf.grad = None  # Or the caller's would be added to in place.
        discrete = [
            n
            for n, s in guide_trace.nodes.items()
            if s["type"] == "sample"
            and not s["is_observed"]
            and not site_is_subsample(s)
            and not getattr(s["fn"], "has_rsample", False)
        ]
        try:
            with torch.no_grad():
                constraints = store.get_state()["constraints"]
                for name, value in (params or {}).items():
                    if name in leaves:
                        _set(leaves[name], value, constraints[name])
            state = store.get_state()
            for name, value in (params or {}).items():
                if is_learned(name) and name not in nodes:
                    with store.scope({"params": {}, "constraints": {}}) as extra:
                        store[name] = torch.as_tensor(value)
                    state["params"].update(extra["params"])
                    state["constraints"].update(extra["constraints"])
            yield Borrowed(discrete, state)
        finally:
            with torch.no_grad():
                for name, (value, grad) in before.items():
                    leaves[name].copy_(value)
                    leaves[name].grad = grad


def _set(leaf: torch.Tensor, value: Any, constraint: Any) -> None:
    leaf.copy_(transform_to(constraint).inv(torch.as_tensor(value).to(leaf)))


class GradientSampler:
    """Draws gradients, and lets the ELBO learn its own parameters.

    :param elbo: the loss.
    :param model: the model.
    :param guide: the guide.
    :param lent: the parameters.
    :param args: positional arguments of model and guide.
    :param kwargs: keyword arguments of model and guide.
    :param rate: the step size at which the ELBO learns.
    """

    def __init__(
        self,
        elbo: Any,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        lent: Borrowed,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rate: float = 0.02,
    ) -> None:
        self.elbo = copy.copy(elbo)
        if isinstance(elbo, EstimatorELBO):
            self.elbo.prepare(guide)
            self.elbo.expects_training = False
        self.model, self.guide = _Counted(model), guide
        self.args, self.kwargs, self.rate = args, kwargs, rate
        # The ELBOs' own parameters have the same names: each keeps its own.
        self.discrete = lent.discrete
        self._state = {key: dict(value) for key, value in lent.state.items()}
        self._given = set(lent.state["params"])
        self._adam: dict[str, tuple[torch.Tensor, torch.Tensor, int]] = {}
        self._runs = 0

    @property
    def evaluations(self) -> float:
        """Evaluations of the model for one gradient."""
        if not self._runs:
            self.draw(1)
        self.model.calls = 0
        self.draw(1)
        elbo = self.elbo
        together = elbo.num_particles if elbo.vectorize_particles else 1
        if isinstance(elbo, DiscreteELBO):
            together = elbo.together
        runs = -(-elbo.num_particles // together)
        return self.model.calls * elbo.num_particles / runs

    def tune(self, steps: int) -> None:
        """Lets the ELBO learn what the caller's params did not give, for some steps."""
        for _ in range(steps):
            with self._gradient() as (_, leaves):
                own = {n: x for n, x in leaves.items() if is_learned(n) and n not in self._given}
                store = pyro.get_param_store()
                averages = any(n.endswith(".average") and n not in self._given for n in store)
                if not own and not averages:
                    return
                with torch.no_grad():
                    for name, leaf in own.items():
                        self._adam_step(name, leaf)

    def _adam_step(self, name: str, leaf: torch.Tensor) -> None:
        # torch's own Adam takes seconds to import what it does not use.
        if leaf.grad is None:
            return
        zero = torch.zeros_like(leaf)
        first, second, step = self._adam.get(name, (zero, zero, 0))
        first, second = 0.9 * first + 0.1 * leaf.grad, 0.99 * second + 0.01 * leaf.grad**2
        step += 1
        self._adam[name] = first, second, step
        size = (first / (1.0 - 0.9**step)) / ((second / (1.0 - 0.99**step)).sqrt() + 1e-8)
        leaf -= self.rate * size

    def draw(self, count: int) -> Moments:
        """Draws gradients in the unconstrained parameters of the model and the guide."""
        mean: Leaves = {}
        deviation: Leaves = {}
        loss_mean = loss_deviation = 0.0
        for i in range(1, count + 1):
            with self._gradient() as (loss, leaves):
                for name, leaf in leaves.items():
                    if is_learned(name):
                        continue
                    gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                    gradient = gradient.detach().double()
                    if name not in mean:
                        mean[name] = torch.zeros_like(gradient)
                        deviation[name] = torch.zeros_like(gradient)
                    gap = gradient - mean[name]
                    mean[name] += gap / i
                    deviation[name] += gap * (gradient - mean[name])
            gap = loss - loss_mean
            loss_mean += gap / i
            loss_deviation += gap * (loss - loss_mean)
        self._runs += count
        return Moments(
            count,
            {n: x.cpu().numpy() for n, x in mean.items()},
            {n: x.cpu().numpy() for n, x in deviation.items()},
            loss_mean,
            loss_deviation,
        )

    @contextmanager
    def _gradient(self) -> Iterator[tuple[float, Leaves]]:
        store = pyro.get_param_store()
        with store.scope(self._state):
            with poutine.trace(param_only=True) as capture:
                loss = self.elbo.loss_and_grads(self.model, self.guide, *self.args, **self.kwargs)
            leaves = {
                n: s["value"].unconstrained()
                for n, s in capture.trace.nodes.items()
                if s["type"] == "param"
            }
            try:
                yield float(loss), leaves
            finally:
                for leaf in leaves.values():
                    leaf.grad = None


class _Counted:
    """A model that counts its runs."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self.model, self.calls = model, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.model(*args, **kwargs)
