"""Draws of a guide, with what the model says of them, one at a time or in one vectorised run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.distributions import Delta
from pyro.infer import infer_discrete
from pyro.poutine.util import site_is_subsample

from relaxppl.common import relax
from relaxppl.common.arviz import sampler as common
from relaxppl.common.arviz.correct import Rows
from relaxppl.common.arviz.prototype import check_params
from relaxppl.common.arviz.sampler import Trace
from relaxppl.common.arviz.trace import is_latent, latents
from relaxppl.common.auto.graph import Factor
from relaxppl.common.relax.host import unwrap
from relaxppl.common.relax.watching import Watched, watched
from relaxppl.estimators.site import Frame, Frames
from relaxppl.ops import as_numpy
from relaxppl.pyro.arviz import trace as read
from relaxppl.pyro.arviz.rerunning import Params, Unobserve, whole_plates
from relaxppl.pyro.auto.factors import factors_of
from relaxppl.pyro.elbo.replay import Replay
from relaxppl.pyro.random_state import rng_state, set_rng_state
from relaxppl.pyro.registry import HOST

DRAWS = "relaxppl_draws"
"""The name of the plate of a vectorised run."""

_SCORED = 10
"""How many draws of a vectorised run are scored again one at a time."""


@dataclass
class Sampler(common.Sampler):
    """A model and its trained guide; None for the parameters takes those of the store.

    :param draws: how many draws a vectorised run makes; None for one run a draw.
    """

    draws: int | None = None

    host: ClassVar[Any] = HOST
    read: ClassVar[Any] = read

    def _check_params(self, key: Any) -> None:
        with pyro.get_param_store().scope(), poutine.block(), torch.no_grad():
            guide = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
            replayed = poutine.replay(self.model, trace=guide)
            model = poutine.trace(replayed).get_trace(*self.args, **self.kwargs)
        sites = [s for t in (model, guide) for s in t.nodes.values() if s["type"] == "param"]
        declared = {s["name"]: s["value"] for s in sites}
        given = pyro.get_param_store() if self.params is None else self.params
        known = {name: given[name] for name in given.keys()}  # noqa: SIM118, it is no dict
        if self.params is None and any(
            isinstance(program, torch.nn.Module) for program in (self.model, self.guide)
        ):
            known = declared | known
        # A module's parameters are where they are used: the store only knows of them.
        held = {s["name"]: s["value"] for s in sites if read.is_held_by_module(s)}
        way = "what the training left in the parameter store, or a dict,"
        check_params(declared, held | known, lambda value: tuple(value.shape), way)
        if self.params is not None:
            self.params = {n: torch.as_tensor(v) for n, v in self.params.items() if n in declared}

    def vectorises(self, draws: int) -> bool:
        """Returns whether a vectorised run does to each draw what a run of its own does.

        A program that was not written for it may fail there, or mix the draws up. So some draws of
        a vectorised run are scored again one at a time.

        :param draws: how many to run: as many as will be run together, since a value that is rare
            mixes with the others only in runs that have it.
        """
        state = rng_state()
        _, alone, whole = self._both()
        try:
            self.draws = draws
            relaxed, guide = self._run_guide()
            at = self._values(guide, relaxed, None)
            model = self._run_model(at)
            together = self._log_prob_sum(guide), self._log_prob_sum(model)
            values = {
                name: site["value"].reshape(draws, *alone[name]["value"].shape)
                for name, site in guide.items()
                # What the guide computes from other draws is computed again: the last bit of it
                # may differ, and a point mass gives no density to any other value.
                if is_latent(site) and not isinstance(unwrap(HOST, site["fn"])[0], Delta)
            }
            summed = {n: at[n].reshape(draws, *whole[n]["value"].shape) for n in self.summed}
            self.draws = None
            for i in range(0, draws, max(1, draws // _SCORED)):
                relaxed, guide = self._run_guide(values={name: v[i] for name, v in values.items()})
                one = {name: v[i] for name, v in summed.items()}
                model = self._run_model(latents(guide, relaxed, self.hardened) | one)
                each = self._log_prob_sum(guide), self._log_prob_sum(model)
                if not np.allclose(each, [sums[i] for sums in together], rtol=1e-4, atol=1e-4):
                    return False
        except (ValueError, RuntimeError, IndexError, AssertionError):
            return False
        finally:
            self.draws = None
            set_rng_state(state)
        return True

    def once(self) -> None:
        """Runs guide and model, for what they write to."""
        self._both()

    def trained(self) -> dict[str, Any]:
        """Returns the parameters by name, wherever they are."""
        if self.params is not None:
            return self.params
        return dict(pyro.get_param_store().items())

    def _both(self, key: Any = None) -> tuple[dict[str, Watched], Trace, Trace]:
        state = rng_state()
        try:
            return super()._both(key)
        except Exception:
            set_rng_state(state)
            raise

    def _run_guide(
        self, key: Any = None, values: dict[str, torch.Tensor] | None = None
    ) -> tuple[dict[str, Watched], Trace]:
        guide = Replay(values)(self.guide) if values else self.guide
        with watched(self.hardened) as relaxed:
            nodes = self._trace(guide)
        return relaxed, nodes

    def _run_model(self, values: dict[str, Any], key: Any = None, unobserve: bool = False) -> Trace:
        model = Replay(values)(self.model)
        if unobserve:
            model = Unobserve()(model)
        with relax.left_discrete() if self.hardened else nullcontext():
            return self._trace(model)

    def _infer_discrete(self, values: dict[str, Any], key: Any) -> dict[str, Any]:
        first = -1 - self.nesting - (self.draws is not None)
        with relax.left_discrete():
            drawn = self._trace(
                Replay(values)(self.model),
                lambda model: infer_discrete(model, first_available_dim=first, temperature=1),
            )
        return {name: drawn[name]["value"] for name in self.summed}

    def _trace(self, fn: Callable[..., Any], around: Callable[[Any], Any] = lambda fn: fn) -> Trace:
        if self.params is not None:
            fn = Params(self.params)(fn)
        if self.draws is not None:
            fn = pyro.plate(DRAWS, self.draws, dim=-1 - self.nesting)(fn)
        with whole_plates() if self.whole else nullcontext(), poutine.block(), torch.no_grad():
            trace = poutine.trace(around(fn)).get_trace(*self.args, **self.kwargs)
        return {n: s for n, s in trace.nodes.items() if not site_is_subsample(s)}

    def _factors(self, guide: Trace, relaxed: dict[str, Watched]) -> list[Factor]:
        latent = [name for name, site in guide.items() if is_latent(site)]

        def of(fn: Callable[..., Any]) -> list[Factor]:
            fn = fn if self.params is None else Params(self.params)(fn)
            with whole_plates() if self.whole else nullcontext():
                return factors_of(fn, latent, self.args, self.kwargs)

        with watched(self.hardened):
            found = of(self.guide)
        with relax.left_discrete() if self.hardened else nullcontext():
            return found + of(self.model)

    _lib: ClassVar[Any] = np
    _where = staticmethod(torch.where)
    _constant = staticmethod(torch.as_tensor)

    def _gumbel(self, key: Any, like: np.ndarray) -> np.ndarray:
        uniform = torch.rand(like.shape, dtype=torch.float64).clamp(min=1e-300)
        return as_numpy(-torch.log(-torch.log(uniform)))

    def _far(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one.double() - other.double()).abs().max()

    def _repeated(self, count: int, more: Any, start: Any, rows: Rows) -> Any:
        carried = start, np.array(-np.inf), np.array(-np.inf), np.zeros(())
        for index in range(count):
            carried = more(index, carried)
        return carried

    def _spread(self, summed: Callable[[Frames], Any], shape: tuple[int, ...]) -> np.ndarray:
        if self.draws is None:
            return as_numpy(torch.broadcast_to(summed(frozenset()), shape))
        # Every site lies in the plate of draws, which is outermost.
        value = summed(frozenset({Frame(DRAWS, -1 - self.nesting)}))
        inner = (1,) * (self.nesting - len(shape)) + shape
        value = torch.broadcast_to(value, (self.draws, *inner))
        return as_numpy(value.reshape(self.draws, *shape))
