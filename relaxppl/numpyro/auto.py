"""A guide for a model with discrete latent variables, without writing one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer.autoguide import AutoGuide, AutoNormal
from numpyro.infer.initialization import init_to_uniform

from relaxppl import meanfield
from relaxppl.numpyro.distributions import OneHotCategorical
from relaxppl.numpyro.elbo.laws import base_of
from relaxppl.numpyro.finite_count import FiniteCount
from relaxppl.numpyro.shell import RelaxedDistribution
from relaxppl.numpyro.sites import classes_of, count_log_probs, count_size, kind_of
from relaxppl.numpyro.without_sites import without_sites
from relaxppl.relaxing import is_discrete

Values = dict[str, jax.Array]

_LAWS: dict[str, Callable[..., dist.Distribution]] = {
    "binary": dist.Bernoulli,
    "one-hot": OneHotCategorical,
    "integer": dist.Categorical,
    "count": FiniteCount,
}


@dataclass(frozen=True)
class _Site:
    kind: str
    frames: tuple[Any, ...]
    event_dim: int
    """Of the values."""
    event: tuple[int, ...]
    """The rightmost part of the logits' shape that belongs to one value."""
    init: np.ndarray
    """The first logits, over the plates' full sizes."""

    def law(self, logits: jax.Array) -> dist.Distribution:
        fn = _LAWS[self.kind](logits=logits)
        return fn.to_event(self.event_dim - fn.event_dim)


class AutoDiscrete(AutoGuide):
    """A mean-field guide over the discrete latent sites, beside one over the continuous sites.

    Each discrete site gets a law of its own class with free logits: a Bernoulli, a Categorical, a
    OneHotCategorical, or for a count a :class:`FiniteCount`. The logits are parameters
    ``{site}_{prefix}_logits``, over a plate's full size where the model subsamples it. Sites with
    ``infer={"enumerate": ...}`` are left to the host's ``TraceEnum_ELBO``.

    :param model: the model, discrete as it was written.
    :param continuous: makes the guide of the continuous sites: a class of the host's autoguides, a
        function of the model, which then has those sites only, or an autoguide of a model whose
        discrete sites are blocked.
    :param amortize: a function of the model's arguments that returns logits for the sites it
        names, (*batch, *event) of the site for a Bernoulli or a one-hot and with the classes or
        counts as a further last dimension for the others; what it learns it declares itself, as
        with ``numpyro.param`` or ``flax_module``. Of a subsampled plate it may give the
        subsample's rows or all.
    :param sizes: how many values 0, ..., n - 1 a count keeps, by site; where not given, as many as
        leave the prior at most the tail.
    :param tail: a number between 0 and 1.
    :param init_scale: the standard deviation of the noise on the first logits.
    :param prefix: as of the host's autoguides.
    :param init_loc_fn: as of the host's autoguides, for the continuous sites.
    :param create_plates: as of the host's autoguides.
    :raises ValueError: at the first call, if the model has no discrete latent site, one for which
        there is no law here, or a count whose number of values is not known.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        continuous: Any = None,
        amortize: Callable[..., Mapping[str, Any]] | None = None,
        sizes: Mapping[str, int] | None = None,
        tail: float = 1e-6,
        init_scale: float = 0.1,
        prefix: str = "auto",
        init_loc_fn: Callable[..., Any] = init_to_uniform,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, create_plates=create_plates)
        self._continuous, self._amortize = continuous, amortize
        self._sizes, self._tail, self._init_scale = dict(sizes or {}), tail, init_scale
        self._sites: dict[str, _Site] = {}
        self._part: Any = None
        self._part_sites: frozenset[str] = frozenset()
        self._plates: dict[str, Any] = {}

    @property
    def sizes(self) -> dict[str, int]:
        """How many values each count keeps, by site; known after the first call."""
        return {n: s.event[-1] for n, s in self._sites.items() if s.kind == "count"}

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        key = numpyro.prng_key()
        with handlers.block():
            seeded = handlers.seed(self.model, key)
            trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        latents = {
            n: s
            for n, s in trace.items()
            if s["type"] == "sample" and not s["is_observed"] and "enumerate" not in s["infer"]
        }
        discrete = {n: s for n, s in latents.items() if is_discrete(s["fn"])}
        if not discrete:
            relaxed = [n for n, s in latents.items() if _is_relaxed(s["fn"])]
            raise meanfield.no_discrete_site(latents, relaxed)
        unknown = self._sizes.keys() - discrete.keys()
        if unknown:
            raise meanfield.unknown_names("sizes", unknown, discrete)
        for name, site in trace.items():
            if site["type"] == "plate":
                self._prototype_frame_full_sizes[name] = site["args"][0]
        for site in latents.values():
            for frame in site["cond_indep_stack"]:
                self._prototype_frames[frame.name] = frame
        self._sites = {
            name: self._variable(name, site, seed)
            for seed, (name, site) in enumerate(discrete.items())
        }
        self._part_sites = frozenset(latents.keys() - discrete.keys())
        if self._part_sites:
            hidden = [n for n, s in trace.items() if s["type"] == "sample" and is_discrete(s["fn"])]
            self._part = self._make_part(frozenset(hidden))
        self.prototype_trace = trace

    def _make_part(self, hidden: frozenset[str]) -> Any:
        if isinstance(self._continuous, AutoGuide):
            part = self._continuous
        else:
            model = without_sites(self.model, hidden)
            if self._continuous is None:
                part = AutoNormal(model, prefix=self.prefix, init_loc_fn=self.init_loc_fn)
            else:
                part = self._continuous(model)
        if part.create_plates is None:
            # The subsample is one for all parts of the guide. (The host's check of what the public
            # create_plates returns fails on the plates of its own TraceEnum_ELBO.)
            part._create_plates = self._present_plates
        return part

    def _present_plates(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._plates

    def _variable(self, name: str, site: dict[str, Any], seed: int) -> _Site:
        fn, kind = site["fn"], kind_of(site["fn"])
        if kind == "other":
            raise meanfield.unknown_law(name, type(base_of(fn)).__name__)
        event, prior = tuple(fn.event_shape), None
        if kind == "integer":
            event = (*event, classes_of(fn))
        elif kind == "count":
            size = self._sizes.get(name) or count_size(fn, self._tail)
            if size is None:
                raise meanfield.unknown_size(name, type(base_of(fn)).__name__)
            event = (*event, size)
            log_probs = count_log_probs(fn, size)
            if not isinstance(log_probs, jax.core.Tracer):
                prior = np.asarray(log_probs, dtype=np.float64)
        batch = list(fn.batch_shape)
        for frame in site["cond_indep_stack"]:
            full = self._prototype_frame_full_sizes[frame.name]
            if full != frame.size:
                batch[frame.dim] = full
                if prior is not None:
                    # The rows not in the first subsample start from what it has on average.
                    dim = frame.dim - len(event)
                    prior = prior.mean(axis=dim, keepdims=True)
        init = meanfield.start((*batch, *event), self._init_scale, seed, prior)
        return _Site(kind, tuple(site["cond_indep_stack"]), fn.event_dim, event, init)

    def __call__(self, *args: Any, **kwargs: Any) -> Values:
        """Draws every latent site of the model.

        :returns: the values by site.
        """
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        given = self._amortized(*args, **kwargs)
        result: Values = {}
        if self._part is not None:
            with self._shared(plates):
                result.update(self._part(*args, **kwargs))
            missing = self._part_sites - result.keys()
            if missing:
                raise meanfield.uncovered(missing)
        for name, site in self._sites.items():
            with ExitStack() as stack:
                for frame in site.frames:
                    stack.enter_context(plates[frame.name])
                if name in given:
                    logits = self._rows(name, site, given[name], plates)
                else:
                    init = jnp.asarray(site.init, dtype=jnp.result_type(float))
                    logits = numpyro.param(self._param(name), init, event_dim=len(site.event))
                result[name] = numpyro.sample(name, site.law(logits))
        return result

    @contextmanager
    def _shared(self, plates: dict[str, Any]) -> Iterator[None]:
        self._plates = plates
        try:
            yield
        finally:
            self._plates = {}

    def _param(self, name: str) -> str:
        return f"{name}_{self.prefix}_logits"

    def _amortized(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        given = {} if self._amortize is None else self._amortize(*args, **kwargs)
        unknown = given.keys() - self._sites.keys()
        if unknown:
            raise meanfield.unknown_names("amortize", unknown, self._sites)
        return given

    def _rows(self, name: str, site: _Site, logits: Any, plates: dict[str, Any]) -> jax.Array:
        """Returns amortised logits, those of the subsample if all were given."""
        logits = jnp.asarray(logits)
        batch = list(site.init.shape[: site.init.ndim - len(site.event)])
        for frame in site.frames:
            batch[frame.dim] = plates[frame.name].subsample_size
        try:
            rows = numpyro.subsample(logits, event_dim=len(site.event))
            return jnp.broadcast_to(rows, (*batch, *site.event))
        except ValueError:
            raise meanfield.wrong_logits(name, logits.shape, tuple(batch), site.event) from None

    def _logits(self, params: Values, *args: Any, **kwargs: Any) -> Values:
        if self.prototype_trace is None:
            raise RuntimeError(
                "AutoDiscrete: the guide has not run yet; run SVI.init, or call it seeded"
            )
        given: Mapping[str, Any] = {}
        if self._amortize is not None:
            if not args and not kwargs:
                raise TypeError(
                    "AutoDiscrete: the amortised logits are a function of the model's arguments; "
                    "give them here too"
                )
            seeded = handlers.seed(self._amortized, rng_seed=0)
            given = handlers.substitute(seeded, data=params)(*args, **kwargs)
        found = {}
        for name in self._sites:
            if name in given:
                found[name] = jnp.asarray(given[name])
                continue
            if self._param(name) not in params:
                raise ValueError(
                    f"AutoDiscrete: params has no {self._param(name)!r}; give what SVI.get_params "
                    f"returns for this guide. It has: {', '.join(sorted(params)) or 'nothing'}"
                )
            found[name] = jnp.asarray(params[self._param(name)])
        return found

    def probs(self, params: Values, *args: Any, **kwargs: Any) -> Values:
        """Returns the guide's marginal probabilities of the discrete sites, over the full plates.

        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        :param args: the model's arguments, needed for amortised sites only.
        :returns: by site: of one, of the site's shape, for a Bernoulli; else of each class or
            count, along the last dimension.
        """
        logits = self._logits(params, *args, **kwargs)
        return {
            n: jax.nn.sigmoid(x) if self._sites[n].kind == "binary" else jax.nn.softmax(x, axis=-1)
            for n, x in logits.items()
        }

    def sample_posterior(
        self,
        rng_key: jax.Array,
        params: Values,
        *args: Any,
        sample_shape: tuple[int, ...] = (),
        **kwargs: Any,
    ) -> Values:
        """Draws the latent sites, over the full plates.

        :param rng_key: a PRNG key.
        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        :param args: the model's arguments, needed for amortised sites only.
        :param sample_shape: the shape of the draws.
        :returns: by site, (*sample_shape, *shape of the site).
        """
        key, part_key = jax.random.split(rng_key)
        result: Values = {}
        logits = self._logits(params, *args, **kwargs)
        if self._part is not None:
            drawn = self._part.sample_posterior(
                part_key, params, *args, sample_shape=sample_shape, **kwargs
            )
            result.update({n: drawn[n] for n in drawn if n in self._part_sites})
        for i, (name, site) in enumerate(self._sites.items()):
            fn = site.law(logits[name])
            result[name] = fn.sample(jax.random.fold_in(key, i), sample_shape)
        return result

    def median(self, params: Values, *args: Any, **kwargs: Any) -> Values:
        """Returns a central value of every latent site, over the full plates.

        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        :param args: the model's arguments, needed for amortised sites only.
        :returns: by site the median; of a categorical or a one-hot, whose classes have no order,
            the likeliest class.
        """
        result = self._of_part(lambda part: part.median(params))
        for name, probs in self.probs(params, *args, **kwargs).items():
            kind = self._sites[name].kind
            if kind in ("binary", "count"):
                result[name] = self._quantiles(kind, probs, np.array([0.5]))[0]
            else:
                best = jnp.argmax(probs, axis=-1)
                one_hot = jax.nn.one_hot(best, probs.shape[-1], dtype=probs.dtype)
                result[name] = one_hot if kind == "one-hot" else best
        return result

    def quantiles(
        self, params: Values, quantiles: Sequence[float] | float, *args: Any, **kwargs: Any
    ) -> Values:
        """Returns quantiles of the continuous sites, the Bernoullis and the counts.

        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        :param quantiles: Q numbers between 0 and 1.
        :param args: the model's arguments, needed for amortised sites only.
        :returns: by site, (Q, *shape of the site). Categoricals and one-hots, whose classes have no
            order, are not among them: see :meth:`probs`.
        :raises ValueError: for a level outside [0, 1].
        """
        levels = meanfield.checked_levels(quantiles)
        result = self._of_part(lambda part: part.quantiles(params, levels))
        for name, probs in self.probs(params, *args, **kwargs).items():
            kind = self._sites[name].kind
            if kind in ("binary", "count"):
                result[name] = self._quantiles(kind, probs, levels)
        return result

    def _of_part(self, values: Callable[[Any], Values]) -> Values:
        if self._part is None:
            return {}
        return {n: x for n, x in values(self._part).items() if n in self._part_sites}

    @staticmethod
    def _quantiles(kind: str, probs: jax.Array, levels: np.ndarray) -> jax.Array:
        function = meanfield.binary_quantiles if kind == "binary" else meanfield.count_quantiles
        return jnp.asarray(function(np.asarray(probs, dtype=np.float64), levels))


def _is_relaxed(fn: Any) -> bool:
    return isinstance(base_of(fn), RelaxedDistribution)
