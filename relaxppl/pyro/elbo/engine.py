"""The class that the unbiased ELBOs are made from, one an estimator."""

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

from relaxppl.common.docstring import documented_by
from relaxppl.estimators import kl_factor
from relaxppl.estimators.base import Estimator, Step
from relaxppl.estimators.choice import choose, unprepared
from relaxppl.estimators.elbo import EstimatorELBO
from relaxppl.estimators.multi_sample import (
    Rows,
    Weighted,
    objective_of,
    rows_of,
    value_of,
    weighted,
)
from relaxppl.estimators.site import Site
from relaxppl.pyro.elbo.kept import unwritten
from relaxppl.pyro.elbo.own_loop import OwnLoop
from relaxppl.pyro.elbo.parameters import Counter, Learned
from relaxppl.pyro.elbo.particles import PLATE, Batches, compared
from relaxppl.pyro.elbo.program import Program
from relaxppl.pyro.elbo.sleep import log_q
from relaxppl.pyro.elbo.summed_out import Summed
from relaxppl.pyro.elbo.verify import verify

VERIFIED = frozenset({0, *(10**k for k in range(1, 9))})
"""At which gradients of an ELBO the dependencies are verified."""


@documented_by(EstimatorELBO)
class DiscreteELBO(EstimatorELBO, OwnLoop, pyro.infer.ELBO):
    """An unbiased ELBO for guides with discrete sites; see its subclasses, one an estimator.
    :param max_plate_nesting: as of the host's ELBOs.
    """

    def __init__(
        self,
        num_particles: int | None = None,
        max_plate_nesting: float = float("inf"),
        vectorize_particles: bool | int = False,
        *,
        exact_kl: bool | str = False,
        **options: Any,
    ) -> None:
        particles = self._keep(num_particles, vectorize_particles, exact_kl, options)
        together = self.batch or (particles if vectorize_particles else 1)
        self.together = min(together, particles)
        """How many particles a run of the program holds."""
        super().__init__(
            num_particles=particles,
            max_plate_nesting=max_plate_nesting,
            # The host counts one more plate where there is one for the particles.
            vectorize_particles=self.together > 1,
        )
        self._prepared = False
        self._gradients = 0
        self._at_first: dict[str, torch.Tensor] = {}
        self._told: set[str] = set()
        self._counter = Counter()
        self._summed = Summed()

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

    def _learns(self, estimator: Estimator, site: Site) -> bool:
        """Returns whether the scalars of a site's estimator are learned."""
        learning = self._prepared if estimator.learning is None else estimator.learning
        return learning and any(p.kind == "positive" for p in estimator.parameters(site.candidate))

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """Returns an unbiased estimate of the negative ELBO."""
        with torch.no_grad():
            loss = self._loss(self.programs(model, guide, args, kwargs))
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
        return self.together > 1

    @property
    def _batches(self) -> Batches:
        # In a vectorised run the draws lie in the outermost plate, else along a new axis.
        axis = -int(self.max_plate_nesting) if self._vectorized else 0
        return Batches(self.num_particles, self.together, axis)

    def programs(self, model: Any, guide: Any, args: Any, kwargs: Any) -> list[Program]:
        """Runs the program as often as the particles ask for."""
        if isinstance(poutine.unwrap(guide), Messenger):
            raise NotImplementedError(
                f"{type(self).__name__} takes a guide that is a function or a module, got the "
                f"messenger {type(poutine.unwrap(guide)).__name__}"
            )
        if self._vectorized and self.max_plate_nesting == float("inf"):
            self._guess_max_plate_nesting(model, guide, args, kwargs)
        programs: list[Program] = []
        shared: dict[str, Any] = {}
        for of_model, of_guide in self._batches.runs(model, guide):
            program = Program(
                of_model,
                of_guide,
                args,
                kwargs,
                self.max_plate_nesting,
                bool(self.exact_kl),
                dict(shared),
                self._told,
                self._factor if self.exact_kl == kl_factor.LEARNED else None,
                multi_sample=self.estimator.multi_sample,
                hold_draws=self.estimator.holds_draws,
                summed=self._summed,
                batch=self.batch,
            )
            program.run()
            chosen = self.chosen(program).values()
            if self.estimator.multi_sample or any(e.compares for e in chosen):
                # Draws are only comparable on the same data.
                shared = {n: rows for n, rows in program.shared.items() if n != PLATE}
            programs.append(program)
        return programs

    def _factor(self, name: str) -> torch.Tensor | None:
        """Returns the factor of a site's exact KL, or None where it is not learned."""
        store, key = pyro.get_param_store(), kl_factor.key(name)
        if not self._prepared:
            return None
        return store[key].detach() if key in store else torch.tensor(kl_factor.INITIAL)

    def chosen(self, program: Program) -> dict[str, Estimator]:
        """Returns the estimator of each site."""
        candidates = (site.candidate for site in program.sites.values())
        return choose(candidates, self.estimator, self.num_particles)

    def _loss(self, programs: list[Program]) -> torch.Tensor | float:
        if self.estimator.multi_sample:
            return -value_of(*self._weighted(programs), self._batches.axis).detach()
        values = [term.value.detach().sum() for p in programs for term in p.terms]
        return -sum(values) / self.num_particles

    def _loss_and_surrogate(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        programs = self.programs(model, guide, args, kwargs)
        if self._gradients in VERIFIED:
            verify(programs[0])
        self._gradients += 1
        return self._of(programs, model, guide, args, kwargs)

    def unverified(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        """Returns the loss and a surrogate with its gradient, in a run that is not counted."""
        return self._of(self.programs(model, guide, args, kwargs), model, guide, args, kwargs)

    def _of(self, programs: list[Program], model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        chosen = [self.chosen(program) for program in programs]
        if self.estimator.multi_sample:
            draws, rows = self._weighted(programs)
            value = value_of(draws, rows, self._batches.axis).detach()
            objective = objective_of(self.estimator, draws, rows, self._batches.axis)
            if self.estimator.sleep:
                runs = range(self.num_particles)
                with unwritten(programs[0].kept):
                    dreams = sum(log_q(model, guide, args, kwargs) for _ in runs) / len(runs)
                objective = objective + self.estimator.sleep * dreams
            return -value, -objective
        self._warn_unprepared(chosen[0])
        flags = {
            every: every == 1 or float(torch.rand(())) * every < 1.0
            for every in sorted({e.every for one in chosen for e in one.values()})
        }
        learned = Learned(flags, self._counter)
        bound: Any = 0.0
        steps: list[Step] = []
        for program, estimators in zip(programs, chosen, strict=True):
            for term in program.terms:
                bound = bound + term.value.sum()
            learns = {n: self._learns(e, program.sites[n]) for n, e in estimators.items()}
            step = Step(program, estimators, learned, learns.__getitem__, flags)
            found = step.local()
            kl_factor.learn(step, found)
            bound = bound + step.surrogate(found)
            steps.append(step)
        bound = bound + compared(steps, learned, self._batches)
        self._warn_unmoved(learned.names, self._gradients)
        surrogate = (learned.surrogate - bound) / self.num_particles
        return self._loss(programs), torch.as_tensor(surrogate)

    def _warn_unprepared(self, chosen: dict[str, Estimator]) -> None:
        texts = unprepared(chosen, chosen if self._prepared else ())
        if not self._prepared:
            texts = texts + kl_factor.unprepared(self.exact_kl, list(chosen))
        for text in texts:
            if text not in self._told:
                self._told.add(text)
                warnings.warn(f"{type(self).__name__}: {text}", stacklevel=2)

    def _weighted(self, programs: list[Program]) -> tuple[Weighted, Rows]:
        """Returns all draws by row, along the axis of :attr:`_batches`, and what the rows are."""
        rows = rows_of(programs[0])
        self.rows = tuple(name for name in rows.plates if name != PLATE)
        draws = [weighted(program, rows) for program in programs]
        if len(draws) == 1 and self._vectorized:
            return draws[0], rows
        log_p, log_q, score, rest = zip(*draws, strict=True)
        p, q, s = (self._batches.join(parts) for parts in (log_p, log_q, score))
        return Weighted(p, q, s, torch.stack(rest)), rows
