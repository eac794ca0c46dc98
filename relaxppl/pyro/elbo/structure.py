"""A guide's discrete sites as it draws them, and what had left torch when each site was reached."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from relaxppl.common.sequences import sequence_of, sequence_type
from relaxppl.estimators.jumps import Names, by_jumps, plain
from relaxppl.estimators.site import Candidate, Site
from relaxppl.pyro.elbo.counts import count_of
from relaxppl.pyro.elbo.dependence import Tracker
from relaxppl.pyro.elbo.laws import base_of, count_type, law_of, unmasked
from relaxppl.pyro.elbo.summed_out import frames_of
from relaxppl.pyro.random_state import rng_state


class Watch(Messenger):
    """Notes what each site depends on by values that had left torch when it was reached.

    :param tracker: watches the program.
    :param sites: those whose values the program can read.
    """

    def __init__(self, tracker: Tracker, sites: Collection[str]) -> None:
        super().__init__()
        self.tracker, self._readable = tracker, sites
        self.escaped: dict[str, Names] = {}
        self.noise: dict[str | None, Any] = {}
        """The state of the random numbers after each site, and at None that at the start."""

    def __enter__(self) -> Any:
        self.noise[None] = rng_state()
        return super().__enter__()

    def left(self) -> Names:
        """Returns the sites that what comes next may depend on by values that have left torch."""
        # At other values of those a branch may read any site, which it did not do at these.
        left = self.tracker.escaped
        return left and left | by_jumps(frozenset(self._readable))

    # This messenger is the outermost: the distribution samples between these two.
    def _pyro_sample(self, msg: Any) -> None:
        self._law = self.tracker.inside_law()
        self._decided = self._law.__enter__()

    def _pyro_post_sample(self, msg: Any) -> None:
        self._law.__exit__(None, None, None)
        self.escaped[msg["name"]] = self.left()
        self.noise[msg["name"]] = rng_state()
        if isinstance(msg["value"], torch.Tensor):
            self.tracker.mark(msg["value"], by_jumps(self._decided[0]))


class Record(Watch):
    """Keeps the guide's discrete sites, marks their values, and keeps the random state before each.

    :param tracker: watches the program.
    :param continuous: whether to mark the reparameterised sites too.
    :param hold: whether to take the gradient off the reparameterised draws that it marks.
    """

    def __init__(self, tracker: Tracker, continuous: bool, hold: bool = False) -> None:
        self.sites: dict[str, Site] = {}
        super().__init__(tracker, self.sites)
        self.continuous, self.hold = continuous, hold
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
        upstream = self.tracker.of(value) | self.left()
        discrete = not getattr(fn, "has_rsample", False)
        if discrete:
            law = law_of(fn)
            with self.tracker.inside_law() as decided:
                inputs = fn.log_prob(value.detach()) if law is None else base_of(fn).logits
            # A sampler jumps, where its relaxation does not. One outside torch still has inputs.
            upstream = plain(upstream) | self.tracker.of(inputs) | decided[0]
            upstream = upstream | self.left()
        self.values[name] = upstream
        if not discrete and not self.continuous:
            return
        self.values[name] = upstream | {name}
        held = value.detach() if discrete or self.hold else value
        msg["value"] = self.tracker.copy(held, self.values[name])
        if discrete:
            self.tracker.warned.add(name)
            given = msg["infer"].get("estimator_input")
            self.sites[name] = Site(
                name=name,
                fn=fn,
                candidate=Candidate(
                    name,
                    type(base_of(fn)).__name__,
                    None if law is None else type(law),
                    msg["infer"].get("estimator"),
                    counts=count_type(fn),
                    sequence=sequence_type(base_of(fn)),
                ),
                count=count_of(fn),
                sequence=sequence_of(base_of(fn), tuple(fn.batch_shape + fn.event_shape)),
                law=law,
                value=msg["value"],
                frames=frames_of(msg),
                batch_rank=len(fn.batch_shape),
                upstream=upstream & frozenset(self.sites),
                scale=torch.as_tensor(msg["scale"]).detach(),
                side=None if given is None else given.detach(),
                log_prob=partial(unmasked(fn).log_prob, msg["value"]),
            )
