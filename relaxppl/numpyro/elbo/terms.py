"""The terms of log p - log q, made from the traces of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from relaxppl.estimators.jumps import NONE
from relaxppl.estimators.plates import Lost, left, lost
from relaxppl.estimators.program import Term
from relaxppl.estimators.summed_out import Group
from relaxppl.estimators.ways_out import AT_HARD_VALUES
from relaxppl.numpyro.elbo import exact_kl
from relaxppl.numpyro.elbo.laws import soft_log_prob
from relaxppl.numpyro.elbo.structure import Structure
from relaxppl.numpyro.elbo.summed_out import frames_of, term_of


@dataclass
class Terms:
    """Makes the terms of a model and its guide.

    :param structure: what depends on what.
    :param discrete: the guide's discrete sites.
    :param integrated: the sites whose two terms are one, their KL.
    :param factors: of those of them that are sampled in part, how much of the KL is not.
    :param groups: the sites of the model that are summed out, each with those that see it.
    :param stop_masses: whether log q of a discrete site is stopped.
    """

    structure: Structure
    discrete: frozenset[str]
    integrated: frozenset[str]
    factors: dict[str, jax.Array]
    groups: list[Group]
    stop_masses: bool

    def _lost(self, model_trace: dict[str, Any], guide_trace: dict[str, Any]) -> Lost:
        """Returns the plates that dependences leave by way of other latent sites."""
        laws, frames = dict(self.structure.guide_laws), {}
        for name, site in model_trace.items():
            summed = name in self.structure.summed or name in guide_trace
            if site["type"] == "sample" and not site["is_observed"] and not summed:
                laws[name], frames[name] = self.structure.model_laws[name], frames_of(site)
        frames |= {name: frames_of(guide_trace[name]) for name in self.structure.guide_laws}
        return lost(self.discrete, frames, laws)

    def of(
        self,
        model_trace: dict[str, Any],
        guide_trace: dict[str, Any],
        soft: frozenset[str],
        only: frozenset[str] | None,
        keep: Callable[[Term], bool] = lambda term: True,
    ) -> list[Term]:
        """Returns the terms of one run.

        :param model_trace: the model's trace.
        :param guide_trace: the guide's.
        :param soft: the sites that are at relaxed values.
        :param only: the sites of which a term must depend on one; None takes all terms.
        :param keep: whether a term is wanted.
        """
        structure, terms = self.structure, []
        jumps, lost_plates = structure.jumps, self._lost(model_trace, guide_trace)

        def add(
            site: dict[str, Any],
            deps: frozenset[str],
            jumping: frozenset[str],
            value: Callable[[], jax.Array],
            guide: bool,
            integrated: bool = False,
            latent: bool | None = None,
        ) -> None:
            if only is not None and not deps & only:
                return
            name, frames = site["name"], frames_of(site)
            found = Term(
                name,
                None,
                frames,
                deps & self.discrete,
                guide,
                jumps=jumping & self.discrete,
                integrated=integrated,
                latent=bool(deps) or (not site["is_observed"] if latent is None else latent),
                left=left(lost_plates, deps, structure.guide_laws),
            )
            if keep(found):
                made, factor = value(), self.factors.get(name)
                if factor is not None:
                    made = (factor if integrated else 1.0 - factor) * made
                terms.append(replace(found, value=made))

        def is_sampled(name: str) -> bool:
            return name not in self.integrated or name in self.factors

        grouped = {name: group for group in self.groups for name in group.sites}
        for name, site in model_trace.items():
            group = grouped.get(name)
            if group is not None and name == group.outermost.name:
                deps = frozenset().union(*(structure.model_terms[n] for n in group.sites))
                latent = any(not model_trace[n]["is_observed"] for n in group.others)
                value = partial(term_of, group, model_trace, partial(_unscaled, soft=soft))
                jumping = frozenset().union(*(jumps.get(n, ()) for n in group.sites))
                add(site, deps, jumping, value, False, latent=latent)
            elif group is None and site["type"] == "sample" and is_sampled(name):
                known = name in self.discrete
                value = partial(_log_prob, site, soft, known)
                add(site, structure.model_terms[name], jumps.get(name, NONE), value, False)
        for name, site in guide_trace.items():
            if site["type"] != "sample":
                continue
            if name in self.integrated:
                deps = structure.guide_laws[name] | structure.model_laws[name]
                value = partial(_minus_kl, site, model_trace[name])
                add(site, deps, jumps.get(name, NONE), value, True, True)
            if is_sampled(name):
                stopped = self.stop_masses and only is None and name in self.discrete
                value = partial(_minus_log_q, site, soft, stopped)
                add(site, structure.guide_terms[name], jumps.get(name, NONE), value, True)
        return terms


def _minus_kl(guide: dict[str, Any], model: dict[str, Any]) -> jax.Array:
    kl = exact_kl.kl(guide, model)
    assert kl is not None  # or the site would not be integrated
    return -kl


def _minus_log_q(site: dict[str, Any], soft: frozenset[str], stopped: bool) -> jax.Array:
    if not stopped:
        return -_log_prob(site, soft, True)
    if site["scale"] is None:
        return -jax.lax.stop_gradient(_log_prob(site, soft))
    # A scale may be learned, or be made of a draw that is reparameterised.
    return -site["scale"] * jax.lax.stop_gradient(_unscaled(site, soft))


def _log_prob(site: dict[str, Any], soft: frozenset[str], known: bool = False) -> jax.Array:
    # The host's Bernoulli has a wrong derivative where its logits are 0.
    if "log_prob" in site and not known:
        return site["log_prob"]
    log_prob = _unscaled(site, soft)
    return log_prob if site["scale"] is None else site["scale"] * log_prob


def _unscaled(site: dict[str, Any], soft: frozenset[str]) -> jax.Array:
    if site["name"] in soft:
        log_prob = soft_log_prob(site["fn"], site["value"])
        if log_prob is None:
            raise NotImplementedError(
                f"site {site['name']!r}: {type(site['fn']).__name__} has no log density at relaxed "
                "values; the model and the guide must both have a Bernoulli, or both a "
                f"OneHotCategorical, there. Or choose {AT_HARD_VALUES} for this site in the guide"
            )
    elif site["intermediates"]:
        log_prob = site["fn"].log_prob(site["value"], site["intermediates"])
    else:
        # A known law's own form has the shorter derivatives: this run differentiates it.
        log_prob = soft_log_prob(site["fn"], site["value"])
        if log_prob is None:
            log_prob = site["fn"].log_prob(site["value"])
    return log_prob
