"""The class that the five unbiased ELBOs are made from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pyro.infer
import pyro.poutine as poutine
import torch
from pyro.infer.util import torch_backward, torch_item
from pyro.poutine.messenger import Messenger
from pyro.util import warn_if_nan

from relaxppl.estimators.gradients import LocalGradients, Scored, score_surrogate, scored
from relaxppl.estimators.plan import Options, Plan, make_plan, unprepared
from relaxppl.pyro.elbo.parameters import Learned
from relaxppl.pyro.elbo.program import Program
from relaxppl.pyro.elbo.verify import verify

_VERIFIED = frozenset({0, *(10**k for k in range(1, 9))})
"""At which gradients of an ELBO the dependencies are verified."""


class DiscreteELBO(pyro.infer.ELBO):
    """An unbiased ELBO for guides with discrete sites; see the five subclasses.

    The bound is evaluated at the guide's own discrete draws, so the reported loss is an unbiased
    estimate of the negative ELBO; the estimator only decides the gradient of the discrete sites.

    :param options: the estimator and its settings.
    :param num_particles: how many draws the estimate averages over.
    :param max_plate_nesting: as of the host's ELBOs.
    :param vectorize_particles: as of the host's ELBOs.
    """

    def __init__(
        self,
        options: Options,
        num_particles: int = 1,
        max_plate_nesting: float = float("inf"),
        vectorize_particles: bool = False,
    ) -> None:
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=vectorize_particles,
        )
        self.options = options
        self._prepared = False
        self._gradients = 0
        self._told: set[str] = set()

    def prepare(self, guide: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the guide to hand to SVI, and turns on what the estimator learns by default.

        Pyro optimises every parameter that a step touches, the estimator's own included, so the
        guide comes back unchanged.

        :param guide: the guide.
        :returns: the same guide. The estimator's parameters are ``{site}.estimator.*`` and
            ``{site}.baseline.*``.
        """
        self._prepared = True
        return guide

    @property
    def learning(self) -> bool:
        """Whether temperatures and factors are learned."""
        return self._prepared if self.options.learn is None else self.options.learn

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """Returns an unbiased estimate of the negative ELBO."""
        with torch.no_grad():
            loss = self._loss(self._programs(model, guide, args, kwargs))
        loss = torch_item(loss)
        warn_if_nan(loss, "loss")
        return loss

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns the loss as a tensor whose gradient is the unbiased estimate, ()."""
        loss, surrogate = self._loss_and_surrogate(model, guide, args, kwargs)
        return loss + (surrogate - surrogate.detach())

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """Returns the loss, and adds its gradient to the parameters' ``grad``."""
        loss, surrogate = self._loss_and_surrogate(model, guide, args, kwargs)
        torch_backward(surrogate, retain_graph=self.retain_graph)
        loss = torch_item(loss)
        warn_if_nan(loss, "loss")
        return loss

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        program = Program(model, guide, args, kwargs, self.max_plate_nesting)
        program.run()
        return program.model_trace, program.guide_trace

    @property
    def _vectorized(self) -> bool:
        return self.vectorize_particles and self.num_particles > 1

    def _programs(self, model: Any, guide: Any, args: Any, kwargs: Any) -> list[Program]:
        if isinstance(poutine.unwrap(guide), Messenger):
            raise NotImplementedError(
                f"{type(self).__name__} takes a guide that is a function or a module, got the "
                f"messenger {type(poutine.unwrap(guide)).__name__}"
            )
        if self._vectorized:
            if self.max_plate_nesting == float("inf"):
                self._guess_max_plate_nesting(model, guide, args, kwargs)
            model = self._vectorized_num_particles(model)
            guide = self._vectorized_num_particles(guide)
        programs: list[Program] = []
        shared: dict[str, Any] = {}
        for _ in range(1 if self._vectorized else self.num_particles):
            program = Program(
                model,
                guide,
                args,
                kwargs,
                self.max_plate_nesting,
                self.options.exact_kl,
                dict(shared),
                self._told,
            )
            program.run()
            if self._plan(program).of("rloo"):
                # Draws are only comparable on the same data.
                shared = program.shared
            programs.append(program)
        return programs

    def _plan(self, program: Program) -> Plan:
        return make_plan(
            (site.candidate for site in program.sites.values()), self.options, self.num_particles
        )

    def _loss(self, programs: list[Program]) -> torch.Tensor | float:
        values = [term.value.detach().sum() for p in programs for term in p.terms]
        return -sum(values) / self.num_particles

    def _loss_and_surrogate(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        programs = self._programs(model, guide, args, kwargs)
        if self._gradients in _VERIFIED:
            verify(programs[0])
        self._gradients += 1
        self._warn_unprepared(self._plan(programs[0]))
        every = self.options.variance_every
        tangents = every == 1 or float(torch.rand(())) * every < 1.0
        learned = Learned(tangents)
        bound: Any = 0.0
        for program in programs:
            for term in program.terms:
                if not term.held:
                    bound = bound + term.value.sum()
            plan = self._plan(program)
            local = LocalGradients(
                program, plan, self.options, learned, lambda name: self.learning, tangents
            )
            bound = bound + local.surrogate()
        bound = bound + self._score_surrogate(programs, learned)
        surrogate = (learned.surrogate - bound) / self.num_particles
        return self._loss(programs), torch.as_tensor(surrogate)

    def _warn_unprepared(self, plan: Plan) -> None:
        text = unprepared(plan, self.options)
        if (
            plan.soft
            and self.options.learn is None
            and not self._prepared
            and text not in self._told
        ):
            self._told.add(text)
            warnings.warn(f"{type(self).__name__}: {text}", stacklevel=2)

    def _score_surrogate(self, programs: list[Program], learned: Learned) -> Any:
        """Returns a sum with the gradients of the sites that a score function serves."""
        drawn: dict[tuple[str, str], list[Scored]] = {}
        for program in programs:
            plan = self._plan(program)
            for choice in ("score", "rloo"):
                for name in plan.of(choice):
                    found = scored(program, program.sites[name])
                    drawn.setdefault((choice, name), []).append(found)
        # In a vectorised run the draws lie along the outermost plate.
        axis = -int(self.max_plate_nesting) if self._vectorized else 0
        total: Any = 0.0
        for (choice, name), draws in drawn.items():
            together = Scored(
                *(
                    None if part[0] is None else torch.stack(part)
                    for part in zip(*draws, strict=True)
                )
            )
            total = total + score_surrogate(choice, name, together, self.options, learned, axis)
        return total
