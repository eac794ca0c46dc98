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

from relaxppl.estimators import score
from relaxppl.estimators.plan import Options, Plan, make_plan, unprepared
from relaxppl.pyro.elbo.laws import unmasked
from relaxppl.pyro.elbo.local import Pathwise, Tensors, antithetic, reward
from relaxppl.pyro.elbo.parameters import Own, average_baseline, network_baseline
from relaxppl.pyro.elbo.program import Program
from relaxppl.pyro.elbo.structure import Site
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
        own = Own()
        every = self.options.variance_every
        tangents = every == 1 or float(torch.rand(())) * every < 1.0
        bound: Any = 0.0
        for program in programs:
            for term in program.terms:
                if not term.held:
                    bound = bound + term.value.sum()
            for name, h in self._local(program, own, tangents).items():
                law = program.sites[name].law
                assert law is not None
                bound = bound + (h.detach() * law.logits).sum()
        bound = bound + self._score_terms(programs, own)
        surrogate = (own.surrogate - bound) / self.num_particles
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

    def _local(self, program: Program, own: Own, tangents: bool) -> Tensors:
        plan = self._plan(program)
        local = antithetic(program, plan.of("disarm"))
        if plan.soft or plan.networks:
            pathwise = Pathwise(program, plan, self.options, own, self.learning, tangents)
            local.update(pathwise.gradients())
        return local

    def _score_terms(self, programs: list[Program], own: Own) -> Any:
        """Returns the terms of the sites whose gradient is a score function's."""
        total: Any = 0.0
        drawn: dict[tuple[str, str], list[tuple[Program, Site]]] = {}
        for program in programs:
            plan = self._plan(program)
            for choice in ("score", "rloo"):
                for name in plan.of(choice):
                    pair = program, program.sites[name]
                    drawn.setdefault((choice, name), []).append(pair)
        for (choice, _), pairs in drawn.items():
            log_probs = [unmasked(site.fn).log_prob(site.value) for _, site in pairs]
            log_prob = torch.stack(log_probs)
            rewards = torch.stack([reward(p, s).expand(log_prob.shape[1:]) for p, s in pairs])
            if choice == "rloo":
                # A site that one draw alone reaches has no other to compare with.
                alone = len(pairs) == 1 and not self._vectorized
                baseline = 0.0 if alone else self._leave_one_out(rewards)
            else:
                baseline = self._baseline(pairs[0][1], rewards, own)
            total = total + score.surrogate(log_prob, rewards - baseline).sum()
        return total

    def _leave_one_out(self, rewards: torch.Tensor) -> torch.Tensor:
        # In a vectorised run the draws lie along the outermost plate.
        axis = -int(self.max_plate_nesting) if self._vectorized else 0
        return score.leave_one_out(rewards.movedim(axis, 0)).movedim(0, axis)

    def _baseline(self, site: Site, rewards: torch.Tensor, own: Own) -> Any:
        options = self.options
        if options.baseline is None:
            return 0.0
        if options.baseline == "average":
            return average_baseline(site, rewards, options.decay)
        return network_baseline(own, site, rewards, options.hidden)
