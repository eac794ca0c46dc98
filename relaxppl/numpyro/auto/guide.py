"""A guide for a model with discrete latent variables, without writing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
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
from relaxppl.numpyro.auto.posterior import Posterior, Values
from relaxppl.numpyro.distributions import MarkovChain, OneHotCategorical
from relaxppl.numpyro.sites import SITES
from relaxppl.numpyro.without_sites import without_sites


@documented_by(auto.Dependent)
class AutoDiscrete(Posterior, AutoGuide):
    """A guide over the discrete latent sites, beside one over the continuous sites.

    The discrete sites' logits are parameters ``{site}_{prefix}_logits``, over a plate's full size
    where the model subsamples it.

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

    _host = auto.Host(
        *(numpyro, SITES, OneHotCategorical, Autoregressive, MarkovChain),
        *(biject_to, sum_rightmost),
    )

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
        self._continuous = continuous
        features = None if network is None else declared(f"{prefix}_network", network)
        self._begin(amortize, features, inputs, structure, sizes, tail, init_scale)
        self._part: Any = None
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
        return self._run(*args, **kwargs)

    def _drawn_by_part(self, plates: Any, args: Any, kwargs: Any) -> Values:
        self._plates = plates
        try:
            return self._part(*args, **kwargs)
        finally:
            self._plates = {}

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
        batch, full = site["fn"].batch_shape, self._prototype_frame_full_sizes
        event = free.shape[len(batch) :]
        free = np.broadcast_to(free, (*batch, *event))
        return auto.real_of(site, free, event, lambda frame: full[frame.name])

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

    def _create_plates(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not self._whole:
            return super()._create_plates(*args, **kwargs)
        sizes = self._prototype_frame_full_sizes
        return {n: numpyro.plate(n, sizes[n], dim=f.dim) for n, f in self._prototype_frames.items()}
