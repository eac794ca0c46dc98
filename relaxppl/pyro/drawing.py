"""Draws of a guide, with what the model says of them, one at a time or in one vectorised run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.params import user_param_name
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import SubsampleMessenger
from pyro.poutine.util import site_is_subsample

from relaxppl import relaxing
from relaxppl.arviz.prototype import HARD, Prototype, check_covered, check_params, inexact
from relaxppl.arviz.request import Request
from relaxppl.arviz.sites import Site, deterministic_site
from relaxppl.pyro.registry import HOST
from relaxppl.watching import Watched, watched

Nodes = dict[str, dict[str, Any]]
DRAWS = "relaxppl_draws"
"""The name of the plate of a vectorised run."""


@dataclass
class Program:
    """A model and its trained guide.

    :param model: as SVI takes it.
    :param guide: as SVI takes it.
    :param params: constrained values by name, or None for those of the parameter store.
    :param args: of model and guide.
    :param kwargs: of model and guide.
    :param request: what to draw.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    params: dict[str, Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    request: Request
    hardened: bool = True
    whole: bool = True
    weighted: bool = True
    draws: int | None = None
    nesting: int = 0

    def prototype(self) -> Prototype:
        """Runs both programs once and returns what there is; settles how the draws are made.

        :raises ValueError: if the parameters do not fit, or the guide lacks a site.
        """
        self._check_params()
        relaxed, guide, model = self._settled()
        latent = {n: s for n, s in guide.items() if _is_latent(s) and not _is_auxiliary(s)}
        check_covered(latent, [n for n, s in model.items() if _is_latent(s)])
        observed = {n: s for n, s in model.items() if _is_observed(s)}
        sites = {n: _site(s) for n, s in (latent | observed).items()}
        for name, site in model.items():
            if _is_deterministic(site):
                frames = {f.dim: (f.name, f.size) for f in site["cond_indep_stack"] if f.vectorized}
                sites[name] = deterministic_site(tuple(site["value"].shape), frames)
        written = {n: fn for n, s in latent.items() if (fn := written_relaxed(s, relaxed))}
        reason = inexact(relaxed, self.hardened)
        self.weighted = reason is None
        both = [s for nodes in (guide, model) for s in nodes.values() if s["type"] == "sample"]
        self.nesting = max(
            (len(s["fn"].batch_shape) for s in both if not _is_deterministic(s)), default=0
        )
        return Prototype(
            sites=sites,
            observed={n: as_numpy(s["value"]) for n, s in observed.items()},
            relaxed=relaxed,
            written=written,
            discrete=[n for n, s in latent.items() if n not in relaxed and _is_discrete(s)],
            hardened=self.hardened,
            reason=reason,
        )

    def draw(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns draws of every group that is drawn, by group and variable."""
        relaxed, guide = self._run_guide()
        latents = self._latents(relaxed, guide)
        model = self._run_model(latents)
        log_p = self._log_prob_sum(model)
        drawn = {
            "posterior": self._posterior(relaxed, guide) | _deterministic(model),
            "sample_stats": {"log_p": log_p},
        }
        if self.weighted:
            log_q = self._log_prob_sum(guide)
            drawn["sample_stats"] |= {"log_q": log_q, "log_weight": log_p - log_q}
        observed = {n: s for n, s in model.items() if _is_observed(s)}
        if self.request.log_likelihood:
            drawn["log_likelihood"] = {n: as_numpy(_log_likelihood(s)) for n, s in observed.items()}
        if self.request.posterior_predictive and observed:
            again = self._run_model(latents, unobserve=True)
            drawn["posterior_predictive"] = {n: _value(again[n]) for n in observed}
        return drawn

    def draw_prior(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns draws of the model alone, by group and variable."""
        nodes = self._run_model({}, unobserve=True)
        made: dict[str, dict[str, np.ndarray]] = {
            "prior": _deterministic(nodes),
            "prior_predictive": {},
        }
        for name, site in nodes.items():
            if site["type"] == "sample" and not (_is_auxiliary(site) or _is_deterministic(site)):
                was_observed = site["infer"].get("was_observed", False)
                made["prior_predictive" if was_observed else "prior"][name] = _value(site)
        return made

    def _check_params(self) -> None:
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
        held = {s["name"]: s["value"] for s in sites if _is_held_by_module(s)}
        way = "what the training left in the parameter store, or a dict,"
        check_params(declared, held | known, lambda value: tuple(value.shape), way)
        if self.params is not None:
            self.params = {n: torch.as_tensor(v) for n, v in self.params.items() if n in declared}

    def vectorises(self, draws: int = 3) -> bool:
        """Returns whether a vectorised run does to each draw what a run of its own does.

        A program that was not written for it may fail there, or mix the draws up. So a few draws of
        a vectorised run are scored again one at a time.

        :param draws: how many.
        """
        state = torch.get_rng_state()
        _, alone, _ = self._both()
        try:
            self.draws = draws
            relaxed, guide = self._run_guide()
            model = self._run_model(self._latents(relaxed, guide))
            together = self._log_prob_sum(guide), self._log_prob_sum(model)
            values = {
                name: site["value"].reshape(draws, *alone[name]["value"].shape)
                for name, site in guide.items()
                if _is_latent(site)
            }
            self.draws = None
            for i in range(draws):
                relaxed, guide = self._run_guide({name: v[i] for name, v in values.items()})
                model = self._run_model(self._latents(relaxed, guide))
                each = self._log_prob_sum(guide), self._log_prob_sum(model)
                if not np.allclose(each, [sums[i] for sums in together], rtol=1e-4, atol=1e-4):
                    return False
        except (ValueError, RuntimeError, IndexError, AssertionError):
            return False
        finally:
            self.draws = None
            torch.set_rng_state(state)
        return True

    def trained(self) -> dict[str, Any]:
        """Returns the parameters by name, wherever they are."""
        if self.params is not None:
            return self.params
        return dict(pyro.get_param_store().items())

    def _settled(self) -> tuple[dict[str, Watched], Nodes, Nodes]:
        state = torch.get_rng_state()
        try:
            relaxed, guide, model = self._both()
        except (ValueError, RuntimeError, IndexError):
            # A program may take its subsample as an argument and run on nothing else.
            self.whole = False
            torch.set_rng_state(state)
            relaxed, guide, model = self._both()
        relaxed_anyway = any(
            _is_latent(s) and written_relaxed(s, relaxed) is not None
            for s in (*guide.values(), *model.values())
        )
        if relaxed_anyway or not all(site.hardens for site in relaxed.values()):
            self.hardened = False
            relaxed, guide, model = self._both()
        return relaxed, guide, model

    def _both(self) -> tuple[dict[str, Watched], Nodes, Nodes]:
        relaxed, guide = self._run_guide()
        return relaxed, guide, self._run_model(self._latents(relaxed, guide))

    def _run_guide(
        self, values: dict[str, torch.Tensor] | None = None
    ) -> tuple[dict[str, Watched], Nodes]:
        guide = _Substitute(values)(self.guide) if values else self.guide
        with watched(self.hardened) as relaxed:
            nodes = self._trace(guide)
        return relaxed, nodes

    def _run_model(self, latents: dict[str, Any], unobserve: bool = False) -> Nodes:
        model = _Substitute(latents)(self.model)
        if unobserve:
            model = _Unobserve()(model)
        with relaxing.left_discrete() if self.hardened else nullcontext():
            return self._trace(model)

    def _trace(self, fn: Callable[..., Any]) -> Nodes:
        if self.params is not None:
            fn = _Params(self.params)(fn)
        if self.draws is not None:
            fn = pyro.plate(DRAWS, self.draws, dim=-1 - self.nesting)(fn)
        with whole_plates() if self.whole else nullcontext(), poutine.block(), torch.no_grad():
            trace = poutine.trace(fn).get_trace(*self.args, **self.kwargs)
        return {n: s for n, s in trace.nodes.items() if not site_is_subsample(s)}

    def _latents(self, relaxed: dict[str, Watched], guide: Nodes) -> dict[str, Any]:
        def value(name: str, site: dict[str, Any]) -> Any:
            if self.hardened and name in relaxed:
                return relaxed[name].hard(site["value"])
            return site["value"]

        return {name: value(name, site) for name, site in guide.items() if _is_latent(site)}

    def _posterior(self, relaxed: dict[str, Watched], guide: Nodes) -> dict[str, np.ndarray]:
        made = {}
        for name, site in guide.items():
            if not _is_latent(site) or _is_auxiliary(site):
                continue
            made[name] = _value(site)
            if name in relaxed and not relaxed[name].discrete:
                made[name] = as_numpy(relaxed[name].soft(site["value"]))
                if relaxed[name].hardens:
                    hard = as_numpy(relaxed[name].hard(site["value"]))
                    made[name + HARD] = _whole(hard, not hasattr(relaxed[name].made, "value_of"))
            elif (fn := written_relaxed(site, relaxed)) is not None and hasattr(fn, "harden"):
                hard = as_numpy(fn.harden(site["value"]))
                made[name + HARD] = hard if hasattr(fn, "value_of") else _whole(hard, True)
        return made

    def _log_prob_sum(self, nodes: Nodes) -> np.ndarray:
        """Returns the sum over sites, a scalar or (draws,)."""
        total: Any = 0.0
        for name, site in nodes.items():
            if site["type"] != "sample" or _is_deterministic(site):
                continue
            log_prob = _log_prob(name, site)
            if self.draws is None:
                total = total + log_prob.sum()
                continue
            # Every site lies in the plate of draws, which is outermost.
            shape = (self.draws,) + (1,) * self.nesting
            log_prob = log_prob.expand(torch.broadcast_shapes(log_prob.shape, shape))
            total = total + log_prob.reshape(self.draws, -1).sum(1)
        return as_numpy(torch.as_tensor(total))


class _Params(Messenger):
    """Gives parameters their values; the host's handler warns of those that a program lacks."""

    def __init__(self, values: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_param(self, msg: Any) -> None:
        name = user_param_name(msg["name"])
        if name in self.values:
            msg["value"] = self.values[name]


class _Substitute(Messenger):
    """Gives latent sites their values, and their laws the say on the values' density."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            msg["value"], msg["done"] = self.values[msg["name"]], True


class _Unobserve(Messenger):
    """Draws observed sites anew; a factor and a deterministic site have no value to draw."""

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] and not (_is_auxiliary(msg) or _is_deterministic(msg)):
            msg["is_observed"], msg["value"], msg["done"] = False, None, False
            msg["infer"] = {**msg["infer"], "was_observed": True}


@contextmanager
def whole_plates() -> Iterator[None]:
    """Runs plates that would draw a subsample on all their indices.

    The host takes the subsample's size from the argument of its own function and not from the
    message, so that no handler can change it.
    """
    original = SubsampleMessenger.__dict__["_subsample"]

    def whole(
        name: str,
        size: Any = None,
        subsample_size: Any = None,
        subsample: Any = None,
        *args: Any,
    ) -> Any:
        if size is not None and subsample is None:
            subsample_size = None
        return original.__func__(name, size, subsample_size, subsample, *args)

    SubsampleMessenger._subsample = staticmethod(whole)
    try:
        yield
    finally:
        SubsampleMessenger._subsample = original


def written_relaxed(site: dict[str, Any], relaxed: dict[str, Watched]) -> Any:
    """Returns the relaxed distribution that a site is written with, or None.

    :param site: a message of type "sample".
    :param relaxed: the sites that ``relax`` relaxed.
    """
    fn, _ = relaxing.unwrap(HOST, site["fn"])
    ours = isinstance(fn, HOST.relaxed) and site["name"] not in relaxed
    return fn if ours and not fn.law.discrete and not _is_discrete(site) else None


def as_numpy(value: torch.Tensor) -> np.ndarray:
    """Returns a tensor's values."""
    return value.detach().cpu().numpy()


def _site(site: dict[str, Any]) -> Site:
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    return Site(len(site["fn"].batch_shape), {frame.dim: frame.name for frame in frames})


def _is_held_by_module(site: dict[str, Any]) -> bool:
    return any(isinstance(arg, torch.nn.Parameter) for arg in site["args"])


def _is_auxiliary(site: dict[str, Any]) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _is_deterministic(site: dict[str, Any]) -> bool:
    return bool(site["type"] == "sample" and site["infer"].get("_deterministic"))


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _is_observed(site: dict[str, Any]) -> bool:
    observed = site["type"] == "sample" and site["is_observed"]
    return observed and not (_is_auxiliary(site) or _is_deterministic(site))


def _is_discrete(site: dict[str, Any]) -> bool:
    fn = site["fn"]
    return relaxing.is_discrete(fn) or relaxing.is_exact(HOST, relaxing.unwrap(HOST, fn)[0])


def _unscaled(name: str, site: dict[str, Any]) -> torch.Tensor:
    try:
        return site["fn"].log_prob(site["value"])
    except ValueError as error:
        raise ValueError(f"to_arviz: at the site {name!r}: {error}") from error


def _log_prob(name: str, site: dict[str, Any]) -> torch.Tensor:
    return scale_and_mask(_unscaled(name, site), site["scale"], site["mask"])


def _log_likelihood(site: dict[str, Any]) -> torch.Tensor:
    unscaled = _unscaled(site["name"], site)
    return scale_and_mask(unscaled, 1.0, site["mask"])


def _deterministic(nodes: Nodes) -> dict[str, np.ndarray]:
    return {n: as_numpy(s["value"]) for n, s in nodes.items() if _is_deterministic(s)}


def _value(site: dict[str, Any]) -> np.ndarray:
    value, fn = as_numpy(torch.as_tensor(site["value"])), site["fn"]
    if _is_discrete(site) and (_holds_flags(fn) or relaxing.is_discrete(fn)):
        return _whole(value, _holds_flags(fn))
    return value


def _whole(value: np.ndarray, flags: bool) -> np.ndarray:
    """Returns discrete values as integers; zeros and ones in one byte each."""
    if flags:
        return value.astype(np.int8)
    return value if value.dtype.kind in "iu" else value.astype(np.int64)


def _holds_flags(fn: Any) -> bool:
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    name = type(support).__name__.lower()
    return "boolean" in name or "onehot" in name


def reshaped(value: np.ndarray, draws: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns one variable of a vectorised run with the draws in front and nothing between.

    :param value: as the run left it.
    :param draws: how many.
    :param shape: of one draw.
    """
    if value.size == draws * math.prod(shape):
        return value.reshape(draws, *shape)
    return np.broadcast_to(value.reshape(shape), (draws, *shape))
