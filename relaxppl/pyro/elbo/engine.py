"""The class that the five unbiased ELBOs are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pyro.infer
import pyro.poutine as poutine
import torch
from pyro.infer.util import torch_backward, torch_item
from pyro.poutine.messenger import Messenger
from pyro.util import warn_if_nan

from relaxppl.estimators import score
from relaxppl.pyro.elbo.local import Pathwise, Settings, Tensors, antithetic, check, reward
from relaxppl.pyro.elbo.parameters import Own, average_baseline, network_baseline
from relaxppl.pyro.elbo.program import Program, Site


class UnbiasedELBO(pyro.infer.ELBO):
    """An ELBO whose gradient is unbiased for the discrete sites of a guide.

    The bound is evaluated at the guide's own discrete draws, so the reported loss is an unbiased
    estimate of the negative ELBO; the estimator only decides the gradient of the discrete sites.
    """

    estimator: ClassVar[str]
    """The estimator of a site that does not choose one."""

    def __init__(
        self,
        num_particles: int = 1,
        max_plate_nesting: float = float("inf"),
        vectorize_particles: bool = False,
        *,
        exact_kl: bool = False,
        learn: bool | None = None,
        variance_every: int = 1,
        retain_graph: bool | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=vectorize_particles,
            retain_graph=retain_graph,
        )
        if variance_every < 1:
            raise ValueError(f"variance_every must be at least 1, got {variance_every}")
        self.exact_kl = exact_kl
        self.learn = learn
        self.variance_every = variance_every
        self.settings = Settings(**settings)
        self._prepared = False

    def prepare(self, guide: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the guide to hand to SVI, and turns on what the estimator learns by default.

        Pyro optimises every parameter that a step touches, the estimator's own included, so the
        guide comes back unchanged.
        """
        self._prepared = True
        return guide

    @property
    def learning(self) -> bool:
        return self._prepared if self.learn is None else self.learn

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
        for _ in range(1 if self._vectorized else self.num_particles):
            shared = {}
            if programs and any(self._choice(s) == "rloo" for s in programs[0].sites.values()):
                # Draws are only comparable on the same data.
                shared = programs[0].shared
            program = Program(
                model, guide, args, kwargs, self.max_plate_nesting, self.exact_kl, dict(shared)
            )
            program.run()
            programs.append(program)
        return programs

    def _choice(self, site: Site) -> str:
        return site.infer.get("estimator", self.estimator)

    def _loss(self, programs: list[Program]) -> torch.Tensor | float:
        values = [term.value.detach().sum() for p in programs for term in p.terms]
        return -sum(values) / self.num_particles

    def _loss_and_surrogate(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        programs = self._programs(model, guide, args, kwargs)
        own = Own(self.learning)
        scored = Own(True)
        tangents = self.variance_every == 1 or float(torch.rand(())) < 1.0 / self.variance_every
        bound: Any = 0.0
        for program in programs:
            for term in program.terms:
                if not term.held:
                    bound = bound + term.value.sum()
            for name, h in self._local(program, own, tangents).items():
                law = program.sites[name].law
                assert law is not None
                bound = bound + (h.detach() * law.logits).sum()
        bound = bound + self._score_terms(programs, scored)
        surrogate = (own.surrogate + scored.surrogate - bound) / self.num_particles
        if not isinstance(surrogate, torch.Tensor):
            surrogate = torch.tensor(surrogate)
        return self._loss(programs), surrogate

    def _local(self, program: Program, own: Own, tangents: bool) -> Tensors:
        by: dict[str, list[str]] = {}
        for name, site in program.sites.items():
            check(site, self._choice(site), type(self).__name__)
            by.setdefault(self._choice(site), []).append(name)
        soft, free = by.get("rebar", []), []
        for name in by.get("relax", []):
            law = program.sites[name].law
            assert law is not None
            kind = self.settings.control_variate if law.relaxable else "network"
            soft = [*soft, name] if kind in ("both", "rebar") else soft
            free = [*free, name] if kind in ("both", "network") else free
        local = antithetic(program, by.get("disarm", []))
        if soft or free:
            pathwise = Pathwise(program, soft, free, self.settings, own, tangents)
            local.update(pathwise.gradients())
        return local

    def _score_terms(self, programs: list[Program], own: Own) -> Any:
        """Returns the terms of the sites whose gradient is a score function's."""
        total: Any = 0.0
        names = dict.fromkeys(name for program in programs for name in program.sites)
        for name in names:
            sites = [(p, p.sites[name]) for p in programs if name in p.sites]
            choice = self._choice(sites[0][1])
            if choice not in ("score", "rloo"):
                continue
            rewards = [reward(program, site).expand(site.log_prob.shape) for program, site in sites]
            stacked = torch.stack(rewards)
            if choice == "rloo":
                baseline = self._leave_one_out(name, stacked)
            else:
                baseline = self._baseline(sites[0][1], stacked, own)
            advantage = stacked - baseline
            log_prob = torch.stack([site.log_prob for _, site in sites])
            total = total + score.surrogate(log_prob, advantage).sum()
        return total

    def _leave_one_out(self, name: str, rewards: torch.Tensor) -> torch.Tensor:
        if self.num_particles < 2:
            raise ValueError(
                f"site '{name}': rloo compares draws and needs num_particles of at least 2, got "
                f"{self.num_particles}"
            )
        # In a vectorised run the draws lie along the outermost plate.
        axis = -int(self.max_plate_nesting) if self._vectorized else 0
        return score.leave_one_out(rewards.movedim(axis, 0)).movedim(0, axis)

    def _baseline(self, site: Site, rewards: torch.Tensor, own: Own) -> Any:
        if self.settings.baseline is None:
            return 0.0
        if self.settings.baseline == "average":
            return average_baseline(site, rewards, self.settings.decay)
        return network_baseline(own, site, rewards, self.settings.hidden)
