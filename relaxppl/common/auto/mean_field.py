"""What the mean-field guides of both hosts share: sites, initial logits, quantiles, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
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
from relaxppl.common.auto.network import Network, first_weights, logits_of, row_plate
from relaxppl.common.relax.host import is_discrete
from relaxppl.common.sequences import sequence_type
from relaxppl.common.shell import Shell
from relaxppl.common.sites import Sites
from relaxppl.estimators.sequences import Paths
from relaxppl.ops import Array

IMPOSSIBLE = -1e4
"""The logit of a value that a law never takes: its probability is exactly zero."""

_LEAST = -10.0


@dataclass(frozen=True)
class Site:
    """A discrete site and the law that the guide has for it.

    :param kind: binary, one-hot, integer or count.
    :param frames: of its plates.
    :param event_dim: of the values.
    :param event: the rightmost part of the logits' shape that belongs to one value.
    :param init: the first logits, over the plates' full sizes.
    :param cls: the class of the law.
    :param path: whether the model has a chain there, one site for the whole path.
    """

    kind: str
    frames: tuple[Any, ...]
    event_dim: int
    event: tuple[int, ...]
    init: np.ndarray
    cls: Callable[..., Any]
    path: bool = False

    @property
    def ordered(self) -> bool:
        """Whether the values have an order."""
        return self.kind in ("binary", "count")

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch of the logits, over the plates' full sizes."""
        return self.init.shape[: self.init.ndim - len(self.event)]

    def law(self, logits: Array) -> Any:
        """Returns the site's distribution."""
        fn = self.cls(logits=logits)
        return fn.to_event(self.event_dim - fn.event_dim)


class MeanField:
    """The part of ``AutoDiscrete`` that knows no host: a mixin beside the host's ``AutoGuide``.

    A host's class sets the class attributes and defines the hooks at the end.
    """

    _variables: ClassVar[Sites]
    """Says of what kind a discrete site is."""
    _runtime: ClassVar[Any]
    """The host itself, for its statements."""
    _laws: ClassVar[Mapping[str, Callable[..., Any]]]
    """The classes of the guide's laws, by kind."""
    _amortize: Callable[..., Mapping[str, Any]] | None
    _network: Network | None
    _heads: frozenset[str] = frozenset()
    """The sites whose logits are of the network; known after the first call."""
    _sites: dict[str, Site]
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
            bases = {n: self._variables.base_of(s["fn"]) for n, s in latents.items()}
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
        base = self._variables.base_of(fn)
        kind, class_name = self._variables.kind_of(fn), type(base).__name__
        path = sequence_type(base) is Paths
        if path:
            kind = "one-hot"  # A row for each step.
        if kind == "other":
            raise unknown_law(name, class_name)
        event, prior = tuple(fn.event_shape), None
        if kind == "integer":
            event = (*event, self._variables.classes_of(fn))
        elif kind == "count":
            size = self._sizes.get(name) or self._variables.count_size(fn, self._tail)
            if size is None:
                raise unknown_size(name, class_name)
            event = (*event, size)
            prior = ops.known(self._variables.count_log_probs(fn, size))
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
        return Site(kind, frames, fn.event_dim, event, init, self._laws[kind], path)

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
                result[name] = self._runtime.sample(name, site.law(logits))
        return result

    def _rows(self, name: str, site: Site, logits: Array, plates: Mapping[str, Any]) -> Array:
        """Returns amortised logits, those of the subsample if all were given."""
        batch = list(site.batch)
        for frame in site.frames:
            batch[frame.dim] = plates[frame.name].subsample_size
        if tuple(logits.shape) == (*batch, *site.event):
            return logits
        try:
            rows = self._runtime.subsample(logits, event_dim=len(site.event))
            return ops.broadcast_to(rows, (*batch, *site.event))
        except (RuntimeError, ValueError):
            shape = tuple(logits.shape)
            raise wrong_logits(name, shape, tuple(batch), site.event) from None

    def _probs(self, logits: Mapping[str, Array]) -> dict[str, Array]:
        """Returns the guide's marginal probabilities of the discrete sites, over the full plates.

        :param args: the model's arguments, needed for amortised sites only.
        :returns: by site: of one, of the site's shape, for a Bernoulli; else of each class or
            count, along the last dimension.
        """
        return {
            n: ops.sigmoid(x) if self._sites[n].kind == "binary" else ops.softmax(x, axis=-1)
            for n, x in logits.items()
        }

    def _medians(self, probs: Mapping[str, Array]) -> dict[str, Array]:
        """Returns a central value of every latent site, over the full plates.

        :param args: the model's arguments, where a part of the guide needs them.
        :returns: by site the median; of a categorical or a one-hot, whose classes have no order,
            the likeliest class.
        """
        result = {n: x[0] for n, x in self._quantiles(probs, np.array([0.5])).items()}
        for name, p in probs.items():
            if not self._sites[name].ordered:
                best = ops.argmax(p, axis=-1)
                one_hot = self._sites[name].kind == "one-hot"
                result[name] = ops.one_hot(best, p.shape[-1], p) if one_hot else best
        return result

    def _quantiles(self, probs: Mapping[str, Array], levels: np.ndarray) -> dict[str, Array]:
        """Returns quantiles of the continuous sites, the Bernoullis and the counts.

        :param quantiles: Q numbers between 0 and 1.
        :param args: the model's arguments, where a part of the guide needs them.
        :returns: by site, (Q, *shape of the site). Categoricals and one-hots, whose classes have no
            order, are not among them: see ``probs``.
        :raises ValueError: for a level outside [0, 1].
        """
        found = {}
        for name, p in probs.items():
            if self._sites[name].ordered:
                binary = self._sites[name].kind == "binary"
                of_levels = binary_quantiles if binary else count_quantiles
                found[name] = self._values(of_levels(ops.as_numpy(p).astype(float), levels), p)
        return found

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

    def _values(self, counts: np.ndarray, like: Array) -> Array:
        """Returns integers as values of a site whose probabilities are given."""
        raise NotImplementedError


def start(
    shape: tuple[int, ...], scale: float, seed: int, prior: np.ndarray | None = None
) -> np.ndarray:
    """Returns a guide's first logits.

    Without a prior they are zero. Those of a count start from its prior, no value's further than
    e^-10 below the likeliest one's, so that each can still be reached. Noise breaks symmetries.

    :param shape: of the logits.
    :param scale: the noise's standard deviation.
    :param seed: of the noise.
    :param prior: log probabilities that broadcast with the shape.
    :returns: float64, of the shape.
    """
    noise = scale * np.random.default_rng(seed).standard_normal(shape)
    if prior is None:
        return noise
    prior = np.broadcast_to(prior, shape)
    highest = prior.max(axis=-1, keepdims=True)
    return np.where(np.isneginf(prior), IMPOSSIBLE, np.maximum(prior - highest, _LEAST) + noise)


def count_quantiles(probs: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the least k with P(count <= k) >= q for each level q.

    :param probs: (*batch, n).
    :param levels: (Q,), between 0 and 1.
    :returns: integers, (Q, *batch).
    """
    cdf = np.cumsum(probs, axis=-1)
    # Rounding must not put the last value's cdf below a level of one.
    cdf = cdf / cdf[..., -1:]
    below = cdf[None] < levels.reshape((-1,) + (1,) * probs.ndim)
    return np.minimum(below.sum(axis=-1), probs.shape[-1] - 1)


def binary_quantiles(probs: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the least b in {0, 1} with P(value <= b) >= q for each level q.

    :param probs: of one, (*batch,).
    :param levels: (Q,).
    :returns: integers, (Q, *batch).
    """
    return (levels.reshape((-1,) + (1,) * probs.ndim) > 1.0 - probs[None]).astype(int)


def checked_levels(levels: Any) -> np.ndarray:
    """Returns quantile levels as a vector.

    :raises ValueError: for one outside [0, 1].
    """
    array = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if array.ndim != 1 or not np.all((array >= 0.0) & (array <= 1.0)):
        raise ValueError(f"quantiles must be numbers between 0 and 1, got {levels!r}")
    return array
