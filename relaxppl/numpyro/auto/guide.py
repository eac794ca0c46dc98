"""A guide for a model with discrete latent variables, without writing one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost
from numpyro.infer.autoguide import AutoGuide, AutoNormal
from numpyro.infer.initialization import init_to_median, init_to_uniform

from relaxppl import ops
from relaxppl.common import auto
from relaxppl.common.auto import Site
from relaxppl.common.docstring import documented_by
from relaxppl.common.relax import is_discrete
from relaxppl.numpyro.auto.drawing import Drawing
from relaxppl.numpyro.auto.factors import factors_of
from relaxppl.numpyro.auto.laws import Autoregressive
from relaxppl.numpyro.auto.network import declared
from relaxppl.numpyro.distributions import MarkovChain, OneHotCategorical
from relaxppl.numpyro.finite_count import FiniteCount
from relaxppl.numpyro.sites import SITES
from relaxppl.numpyro.without_sites import without_sites

Values = dict[str, jax.Array]

_DRAWS = 10_000
"""How many draws the marginals of a dependent guide are the means of."""


@documented_by(auto.Dependent)
class AutoDiscrete(auto.Dependent, AutoGuide):
    """A guide over the discrete latent sites, beside one over the continuous sites.

    Each discrete site gets a law of its own class with free logits: a Bernoulli, a Categorical, a
    OneHotCategorical, or for a count a :class:`FiniteCount`. The logits are parameters
    ``{site}_{prefix}_logits``, over a plate's full size where the model subsamples it. Sites with
    ``infer={"enumerate": ...}`` get no guide: the ELBOs sum them out.

    :param amortize: a function of the model's arguments that returns logits for the sites it
        names, (*batch, *event) of the site for a Bernoulli or a one-hot and with the classes or
        counts as a further last dimension for the others; what it learns it declares itself, as
        with ``numpyro.param`` or ``flax_module``. Of a subsampled plate it may give the
        subsample's rows or all.
    :param network: in place of ``amortize``, from rows of the data, (N, ...), to features, (N, F):
        an Equinox module, which is mapped over the rows, a Flax NNX module, or a function that
        declares what it learns. The guide adds a linear layer from the features to the logits of
        each site whose leftmost plate is that of the rows, and trains both. Of a subsampled plate
        it sees the subsample's rows.
    :param inputs: a function of the model's arguments that returns the network's rows; where not
        given, the first argument.
    :param prefix: as of the host's autoguides.
    """

    _variables = SITES
    _runtime: ClassVar[Any] = numpyro
    _laws: ClassVar[Mapping[str, Any]] = {
        "binary": dist.Bernoulli,
        "one-hot": OneHotCategorical,
        "integer": dist.Categorical,
        "count": FiniteCount,
    }
    _joint_laws: ClassVar[Mapping[str, Any]] = {
        "logits": Autoregressive,
        "initial_logits": MarkovChain,
    }
    _delta: ClassVar[Any] = dist.Delta
    _normal: ClassVar[Any] = dist.MultivariateNormal
    _biject_to: ClassVar[Any] = staticmethod(biject_to)
    _sum_rightmost: ClassVar[Any] = staticmethod(sum_rightmost)

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        continuous: Any = None,
        amortize: Callable[..., Mapping[str, Any]] | None = None,
        network: Any = None,
        inputs: Callable[..., Any] | None = None,
        structure: str | Mapping[str, str] = "mean_field",
        sizes: Mapping[str, int] | None = None,
        tail: float = 1e-6,
        init_scale: float = 0.1,
        prefix: str = "auto",
        init_loc_fn: Callable[..., Any] = init_to_uniform,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, create_plates=create_plates)
        self._continuous, self._amortize = continuous, amortize
        features = None if network is None else declared(f"{prefix}_network", network)
        self._network = auto.network_of(features, inputs, amortize)
        self._structure = self._checked_structure(structure)
        self._reals: dict[str, auto.Real] = {}
        self._series: dict[str, auto.Series] = {}
        self._links: list[auto.Conditional] = []
        self._whole = False
        self._sizes, self._tail, self._init_scale = dict(sizes or {}), tail, init_scale
        self._sites: dict[str, Site] = {}
        self._part: Any = None
        self._part_sites: frozenset[str] = frozenset()
        self._plates: dict[str, Any] = {}
        self._drawing = Drawing()

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
        marked = any("enumerate" in s["infer"] for s in trace.values() if s["type"] == "sample")
        discrete = self._discrete(latents, marked)
        for name, site in trace.items():
            if site["type"] == "plate":
                self._prototype_frame_full_sizes[name] = site["args"][0]
        for site in latents.values():
            for frame in site["cond_indep_stack"]:
                self._prototype_frames[frame.name] = frame
                # A plate inside scan is in its sites' frames alone.
                self._prototype_frame_full_sizes.setdefault(frame.name, frame.size)
        self._sites = {
            name: self._site(name, site, self._prototype_frame_full_sizes, seed)
            for seed, (name, site) in enumerate(discrete.items())
        }
        self._part_sites = frozenset(latents.keys() - discrete.keys())
        self._model_trace = trace
        if self._dependent:
            draws_reals = self._continuous is None
            parts = {n: s for n, s in latents.items() if n in self._part_sites}
            self._reals = {n: self._real(n, s, draws_reals) for n, s in parts.items()}
            values = {n: s["value"] for n, s in latents.items()}
            self._link(factors_of(self.model, values, args, kwargs), draws_reals)
            if draws_reals:
                self._part_sites = frozenset()
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

    def __call__(self, *args: Any, **kwargs: Any) -> Values:
        """Draws every latent site of the model.

        :returns: the values by site.
        """
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        given = self._amortized(plates, args, kwargs)
        result: Values = {}
        if self._part is not None:
            with self._shared(plates):
                result.update(self._part(*args, **kwargs))
            missing = self._part_sites - result.keys()
            if missing:
                raise auto.uncovered(missing)
        if self._dependent:
            return {**result, **self._draw_given(plates, given, result)}
        return {**result, **self._draw(plates, given)}

    def _real(self, name: str, site: dict[str, Any], drawn_here: bool) -> auto.Real:
        value = site["value"]
        with jax.ensure_compile_time_eval():
            if drawn_here:
                # The host's default, uniform on (-2, 2), is far from most posteriors for a law that
                # learns what flags do while it finds its place.
                default = self.init_loc_fn is init_to_uniform
                first = init_to_median if default else self.init_loc_fn
                kwargs = site["kwargs"]
                if kwargs.get("rng_key") is None:  # As of a site inside scan.
                    kwargs = {**kwargs, "rng_key": jax.random.key(0)}
                message = {**site, "value": None, "kwargs": kwargs}
                at = handlers.seed(first, rng_seed=0)(message)
                value = value if at is None else at
            free = biject_to(site["fn"].support).inv(value)
        # Where a transformation hides the numbers the first location is zero.
        found = ops.known(free)
        free = np.zeros(free.shape) if found is None else found
        rank = len(site["fn"].batch_shape)
        batch = list(site["fn"].batch_shape)
        free = np.broadcast_to(free, (*batch, *free.shape[free.ndim - (free.ndim - rank) :]))
        for frame in site["cond_indep_stack"]:
            full = self._prototype_frame_full_sizes[frame.name]
            if full != frame.size:
                at = np.arange(full) % frame.size
                free = np.take(free, at, axis=frame.dim + rank)
                batch[frame.dim] = full
        frames = tuple(site["cond_indep_stack"])
        return auto.Real(frames, site["fn"].event_dim, tuple(batch), free.shape[rank:], free)

    def _model_sites(self) -> Mapping[str, Any]:
        return self._model_trace

    def _full_size(self, plate: str) -> int:
        return self._prototype_frame_full_sizes[plate]

    def _learned(
        self, name: str, kind: str, first: np.ndarray, event_dim: int, like: Any = None
    ) -> jax.Array:
        init = jnp.asarray(first, dtype=jnp.result_type(float) if like is None else like.dtype)
        return numpyro.param(f"{name}_{self.prefix}_{kind}", init, event_dim=event_dim)

    def _floating(self, value: jax.Array) -> jax.Array:
        return value.astype(jnp.result_type(float, value))

    def _as_drawn(self, name: str, value: jax.Array) -> jax.Array:
        return value.astype(self._model_trace[name]["value"].dtype)

    def _learned_logits(self, name: str, site: Site) -> jax.Array:
        init = jnp.asarray(site.init, dtype=jnp.result_type(float))
        return numpyro.param(self._param(name), init, event_dim=len(site.event))

    def _array(self, logits: Any) -> jax.Array:
        return jnp.asarray(logits)

    def _values(self, counts: np.ndarray, like: jax.Array) -> jax.Array:
        return jnp.asarray(counts)

    @contextmanager
    def _shared(self, plates: dict[str, Any]) -> Iterator[None]:
        self._plates = plates
        try:
            yield
        finally:
            self._plates = {}

    def _param(self, name: str) -> str:
        return f"{name}_{self.prefix}_logits"

    def _check_run(self) -> None:
        if self.prototype_trace is None:
            raise RuntimeError(
                "AutoDiscrete: the guide has not run yet; run SVI.init, or call it seeded"
            )

    def _logits(self, params: Values, *args: Any, **kwargs: Any) -> Values:
        self._check_run()
        given: Mapping[str, Any] = {}
        if self._amortize is not None or self._network is not None:
            if not args and not kwargs:
                raise TypeError(
                    "AutoDiscrete: the amortised logits are a function of the model's arguments; "
                    "give them here too"
                )
            seeded = handlers.seed(self._amortized, rng_seed=0)
            given = handlers.substitute(seeded, data=params)({}, args, kwargs)
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

    @documented_by(auto.Dependent._probs)
    def probs(self, params: Values, *args: Any, **kwargs: Any) -> Values:
        """Returns the guide's marginal probabilities of the discrete sites, over the full plates.

        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        """
        if self._dependent:
            return self._means(self._draws(jax.random.key(0), params, _DRAWS, args, kwargs))
        return self._probs(self._logits(params, *args, **kwargs))

    def _draws(
        self, rng_key: jax.Array, params: Values, number: int, args: Any, kwargs: Any
    ) -> Values:
        """Returns draws of the whole guide over the full plates, along a first axis."""
        self._check_run()

        def draw(key: jax.Array, params: Values, args: Any, kwargs: Any) -> Values:
            seeded = handlers.seed(handlers.substitute(self, data=params), key)
            self._whole = True
            try:
                with handlers.block():
                    return seeded(*args, **kwargs)
            finally:
                self._whole = False

        # Compiled as one: by itself each operation of the guide would be a program of its own.
        keys = jax.random.split(rng_key, number)
        return self._drawing(draw, keys, params, args, kwargs)

    def _create_plates(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not self._whole:
            return super()._create_plates(*args, **kwargs)
        sizes = self._prototype_frame_full_sizes
        return {n: numpyro.plate(n, sizes[n], dim=f.dim) for n, f in self._prototype_frames.items()}

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
        if self._dependent:
            number = math.prod(sample_shape)
            drawn = self._draws(rng_key, params, number, args, kwargs)
            return {n: x.reshape((*sample_shape, *x.shape[1:])) for n, x in drawn.items()}
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

    @documented_by(auto.Dependent._medians)
    def median(self, params: Values, *args: Any, **kwargs: Any) -> Values:
        """Returns a central value of every latent site, over the full plates.

        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        """
        if self._dependent:
            drawn = self._draws(jax.random.key(0), params, _DRAWS, args, kwargs)
            reals = {n: jnp.median(drawn[n], axis=0) for n in self._reals}
            return {**reals, **self._medians(self._means(drawn))}
        result = self._of_part(lambda part: part.median(params))
        return {**result, **self._medians(self.probs(params, *args, **kwargs))}

    @documented_by(auto.Dependent._quantiles)
    def quantiles(
        self, params: Values, quantiles: Sequence[float] | float, *args: Any, **kwargs: Any
    ) -> Values:
        """Returns quantiles of the continuous sites, the Bernoullis and the counts.

        :param params: the trained parameters, as ``SVI.get_params`` returns them.
        """
        levels = auto.checked_levels(quantiles)
        if self._dependent:
            drawn = self._draws(jax.random.key(0), params, _DRAWS, args, kwargs)
            reals = {n: jnp.quantile(drawn[n], levels, axis=0) for n in self._reals}
            return {**reals, **self._quantiles(self._means(drawn), levels)}
        result = self._of_part(lambda part: part.quantiles(params, levels))
        return {**result, **self._quantiles(self.probs(params, *args, **kwargs), levels)}

    def _of_part(self, values: Callable[[Any], Values]) -> Values:
        if self._part is None:
            return {}
        return {n: x for n, x in values(self._part).items() if n in self._part_sites}
