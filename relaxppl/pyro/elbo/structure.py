"""What a program is made of: discrete sites, the bound's terms, and which depends on which.

A tracker of tensor operations finds the dependencies. The level of a site is one more than the
largest level among the sites that its parameters depend on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from relaxppl.estimators.laws import Law
from relaxppl.estimators.plan import Candidate
from relaxppl.pyro.elbo.dependence import Names, Tracker, by_jumps, plain
from relaxppl.pyro.elbo.laws import base_of, law_of


@dataclass
class Site:
    """A discrete site of the guide (one that is not reparameterised) as the first run drew it."""

    name: str
    fn: Any
    infer: dict[str, Any]
    frames: frozenset[Any]
    value: torch.Tensor
    """The hard value."""
    upstream: Names
    """The discrete sites that the parameters depend on."""
    law: Law | None
    """The law by its logits, which carry the guide's graph; None for a law with no logits."""
    scale: torch.Tensor
    """What its costs are multiplied by, for its networks to be too."""

    @property
    def candidate(self) -> Candidate:
        """What decides the site's estimator."""
        law = None if self.law is None else type(self.law)
        class_name = type(base_of(self.fn)).__name__
        return Candidate(self.name, class_name, law, self.infer.get("estimator"))

    def aligned(self, costs: torch.Tensor | float) -> torch.Tensor:
        """Returns costs per element of the batch, shaped to broadcast against the logits."""
        costs = torch.as_tensor(costs)
        assert self.law is not None
        ranks = self.law.logits.ndim - len(self.fn.batch_shape)
        return costs.reshape(costs.shape + (1,) * ranks)


@dataclass
class Term:
    """One summand of the bound: a model site's log p, or a guide site's -log q."""

    name: str
    value: torch.Tensor
    """Scaled and masked, (*batch_shape)."""
    frames: frozenset[Any]
    deps: Names
    """The discrete sites of the guide that it depends on."""
    guide: bool
    held: bool = False
    """Whether it is the -log q of a discrete site, whose own gradient is zero on average."""
    jumps: Names = frozenset()
    """The sites, of those that it depends on, whose effect a derivative does not see."""


class Watch(Messenger):
    """Notes which values had left torch when each site was reached.

    :param tracker: watches the program.
    """

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker
        self.escaped: dict[str, Names] = {}

    # This messenger is the outermost: the distribution samples between these two.
    def _pyro_sample(self, msg: Any) -> None:
        self._law = self.tracker.inside_law()
        self._decided = self._law.__enter__()

    def _pyro_post_sample(self, msg: Any) -> None:
        self._law.__exit__(None, None, None)
        self.escaped[msg["name"]] = self.tracker.escaped
        if isinstance(msg["value"], torch.Tensor):
            self.tracker.mark(msg["value"], by_jumps(self._decided[0]))


class Record(Watch):
    """Keeps the guide's discrete sites, marks their values, and keeps the random state before each.

    :param tracker: watches the program.
    :param continuous: whether to mark the reparameterised sites too.
    """

    def __init__(self, tracker: Tracker, continuous: bool) -> None:
        super().__init__(tracker)
        self.continuous = continuous
        self.sites: dict[str, Site] = {}
        self.rewind: dict[str, Any] = {}
        self.values: dict[str, Names] = {}
        """What the values of the latent sites depend on."""

    def _pyro_sample(self, msg: Any) -> None:
        # Only what comes after a discrete site can be downstream of one.
        if self.sites and not msg["is_observed"] and not msg["done"]:
            self.rewind[msg["name"]] = rng_state()
        super()._pyro_sample(msg)

    def _pyro_post_sample(self, msg: Any) -> None:
        super()._pyro_post_sample(msg)
        fn, name, value = msg["fn"], msg["name"], msg["value"]
        if msg["is_observed"] or site_is_subsample(msg):
            return
        upstream = self.tracker.of(value) | self.tracker.escaped
        discrete = not getattr(fn, "has_rsample", False)
        if discrete:
            law = law_of(fn)
            with self.tracker.inside_law() as decided:
                inputs = fn.log_prob(value.detach()) if law is None else base_of(fn).logits
            # A sampler jumps, where its relaxation does not. One outside torch still has inputs.
            upstream = plain(upstream) | self.tracker.of(inputs) | decided[0]
            upstream = upstream | self.tracker.escaped
        self.values[name] = upstream
        if not discrete and not self.continuous:
            return
        self.values[name] = upstream | {name}
        msg["value"] = self.tracker.copy(value.detach() if discrete else value, self.values[name])
        if discrete:
            self.tracker.warned.add(name)
            self.sites[name] = Site(
                name,
                fn,
                msg["infer"],
                frames_of(msg),
                msg["value"],
                upstream & frozenset(self.sites),
                law,
                torch.as_tensor(msg["scale"]).detach(),
            )


def reduce_to(terms: Iterable[Term], site: Site) -> torch.Tensor | float:
    """Returns the sum of the terms for each element of a site, as far as plates separate them.

    A dimension of a term stays if a plate declares it that the site is in too; every other one is
    summed.

    :param terms: terms that depend on the site.
    :param site: the site.
    :returns: a tensor that broadcasts with the site's batch shape.
    """
    total: torch.Tensor | float = 0.0
    for term in terms:
        value = term.value
        kept = {frame.dim for frame in term.frames if frame in site.frames}
        dims = [d for d in range(-value.ndim, 0) if d not in kept and value.shape[d] != 1]
        if dims:
            value = value.sum(dims, keepdim=True)
        while value.ndim and value.shape[0] == 1:
            value = value.squeeze(0)
        total = total + value
    return total


def levels(sites: dict[str, Site], names: Iterable[str]) -> list[tuple[str, ...]]:
    """Returns some of the sites by level: those of one level do not depend on each other.

    :param sites: all sites, in the order in which they were drawn.
    :param names: the sites wanted; the others do not count for a level.
    """
    level: dict[str, int] = {}
    wanted = set(names)
    for name, site in sites.items():
        if name in wanted:
            level[name] = 1 + max((level[u] for u in site.upstream if u in level), default=0)
    depth = max(level.values(), default=0)
    return [tuple(n for n in level if level[n] == k) for k in range(1, depth + 1)]


def frames_of(node: Any) -> frozenset[Any]:
    return frozenset(f for f in node["cond_indep_stack"] if f.vectorized)


def rng_state() -> Any:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), devices


class rewound:
    """The random numbers of an earlier state, after which the present state goes on."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __enter__(self) -> None:
        self.present = rng_state()
        _set_rng_state(self.state)

    def __exit__(self, *exception: Any) -> None:
        _set_rng_state(self.present)


def _set_rng_state(state: Any) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state_all(state[1])
