"""The part of ``AutoDiscrete`` that needs no host and whose sites do not depend on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.errors import (
    no_discrete_site,
    no_row_plate,
    unknown_law,
    unknown_names,
    unknown_size,
    wrong_logits,
)
from relaxppl.common.auto.host import Host
from relaxppl.common.auto.network import Network, first_weights, logits_of, row_plate
from relaxppl.common.auto.posterior import Posterior
from relaxppl.common.auto.site import Site, start
from relaxppl.common.relax.host import is_discrete
from relaxppl.common.sequences import sequence_type
from relaxppl.common.shell import Shell
from relaxppl.estimators.sequences import Paths
from relaxppl.ops import Array


class MeanField(Posterior):
    """The part of ``AutoDiscrete`` that knows no host: a mixin beside the host's ``AutoGuide``.

    A host's class says what the host is and defines the hooks at the end.
    """

    _host: ClassVar[Host]
    _amortize: Callable[..., Mapping[str, Any]] | None
    _network: Network | None
    _heads: frozenset[str] = frozenset()
    """The sites whose logits are of the network; known after the first call."""
    _sizes: dict[str, int]
    _tail: float
    _init_scale: float

    @property
    def sizes(self) -> dict[str, int]:
        """How many values each count keeps, by site; known after the first call."""
        return {n: s.event[-1] for n, s in self._sites.items() if s.kind == "count"}

    def _discrete(self, latents: Mapping[str, Any], marked: bool) -> dict[str, Any]:
        """Returns those of the latent sites that are discrete.

        :param latents: the sites that the guide is to have.
        :param marked: whether the model has others, which are summed out; then all of the guide's
            may be continuous.
        """
        discrete = {n: s for n, s in latents.items() if is_discrete(s["fn"])}
        if not discrete and not (latents and marked):
            bases = {n: self._host.sites.base_of(s["fn"]) for n, s in latents.items()}
            raise no_discrete_site(latents, [n for n, fn in bases.items() if isinstance(fn, Shell)])
        unknown = self._sizes.keys() - discrete.keys()
        if unknown:
            raise unknown_names("sizes", unknown, discrete)
        return discrete

    def _site(self, name: str, message: Any, full_sizes: Mapping[str, int], seed: int) -> Site:
        """Returns what the guide has for a site of the model.

        :param message: the site in the model's trace.
        :param full_sizes: of its plates, by name.
        :param seed: of the noise on the first logits.
        """
        fn = message["fn"]
        base = self._host.sites.base_of(fn)
        kind, class_name = self._host.sites.kind_of(fn), type(base).__name__
        path = sequence_type(base) is Paths
        if path:
            kind = "one-hot"  # A row for each step.
        if kind == "other":
            raise unknown_law(name, class_name)
        event, prior = tuple(fn.event_shape), None
        if kind == "integer":
            event = (*event, self._host.sites.classes_of(fn))
        elif kind == "count":
            size = self._sizes.get(name) or self._host.sites.count_size(fn, self._tail)
            if size is None:
                raise unknown_size(name, class_name)
            event = (*event, size)
            prior = ops.known(self._host.sites.count_log_probs(fn, size))
            prior = None if prior is None else prior.astype(float)
        batch, frames = list(fn.batch_shape), tuple(message["cond_indep_stack"])
        for frame in frames:
            full = full_sizes[frame.name]
            if full != frame.size:
                batch[frame.dim] = full
                if prior is not None:
                    # The rows not in the first subsample start from what it has on average.
                    prior = prior.mean(axis=frame.dim - len(event), keepdims=True)
        init = start((*batch, *event), self._init_scale, seed, prior)
        return Site(kind, frames, fn.event_dim, event, init, self._host.laws[kind], path)

    def _amortized(
        self, plates: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Returns the logits that are a function of the model's arguments.

        :param plates: by name, those of which a step sees a subsample; none for all rows.
        """
        if self._network is not None:
            return self._of_network(self._network, plates, args, kwargs)
        given = {} if self._amortize is None else self._amortize(*args, **kwargs)
        unknown = given.keys() - self._sites.keys()
        if unknown:
            raise unknown_names("amortize", unknown, self._sites)
        return given

    def _of_network(
        self, network: Network, plates: Mapping[str, Any], args: Any, kwargs: Any
    ) -> dict[str, Array]:
        inputs, features, found = network.inputs(*args, **kwargs), {}, {}
        for seed, (name, site) in enumerate(self._sites.items()):
            plate = row_plate(site.batch, site.frames)
            if plate is None or (not plates and name not in self._heads):
                continue
            if plate not in features:
                rows = inputs
                if plates:
                    with plates[plate] as index:
                        if inputs.shape[0] not in (len(index), site.batch[0]):
                            continue
                        if inputs.shape[0] != len(index):
                            rows = inputs[index]
                features[plate] = network.features(rows)
            inner = (*site.batch[1:], *site.event)
            weights = first_weights(int(features[plate].shape[-1]), math.prod(inner), seed)
            bias = self._learned(name, "bias", site.init.mean(axis=0), len(inner), features[plate])
            head = self._learned(name, "head", weights, 2, features[plate])
            found[name] = logits_of(features[plate], head, bias, name)
        if not found:
            raise no_row_plate(self._sites, inputs.shape[0])
        self._heads = frozenset(found)
        return found

    def _draw(self, plates: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Array]:
        """Draws every discrete site, at amortised logits where they are given."""
        result = {}
        for name, site in self._sites.items():
            with ExitStack() as stack:
                for frame in site.frames:
                    stack.enter_context(plates[frame.name])
                if name in given:
                    logits = self._rows(name, site, self._array(given[name]), plates)
                else:
                    logits = self._learned_logits(name, site)
                result[name] = self._host.runtime.sample(name, site.law(logits))
        return result

    def _rows(self, name: str, site: Site, logits: Array, plates: Mapping[str, Any]) -> Array:
        """Returns amortised logits, those of the subsample if all were given."""
        batch = list(site.batch)
        for frame in site.frames:
            batch[frame.dim] = plates[frame.name].subsample_size
        if tuple(logits.shape) == (*batch, *site.event):
            return logits
        try:
            rows = self._host.runtime.subsample(logits, event_dim=len(site.event))
            return ops.broadcast_to(rows, (*batch, *site.event))
        except (RuntimeError, ValueError):
            shape = tuple(logits.shape)
            raise wrong_logits(name, shape, tuple(batch), site.event) from None

    # The hooks of a host.

    def _learned(
        self, name: str, kind: str, first: np.ndarray, event_dim: int, like: Array | None = None
    ) -> Array:
        """Returns a parameter of a site, of the rows of the plates' subsamples.

        :param like: an array of its dtype, where that is not the guide's.
        """
        raise NotImplementedError

    def _array(self, logits: Any) -> Array:
        """Returns amortised logits as an array."""
        return logits

    def _learned_logits(self, name: str, site: Site) -> Array:
        """Returns the logits that the guide learns."""
        raise NotImplementedError
