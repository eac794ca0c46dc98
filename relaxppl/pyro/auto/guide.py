"""A guide for a model with discrete latent variables, without writing one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.distributions.util import sum_rightmost
from pyro.infer.autoguide import AutoGuide, AutoNormal
from pyro.infer.autoguide.initialization import InitMessenger, init_to_feasible
from pyro.infer.autoguide.utils import deep_setattr
from pyro.nn.module import PyroModule, PyroParam
from torch.distributions import biject_to

from relaxppl.common import auto
from relaxppl.common.auto import Site
from relaxppl.common.docstring import documented_by
from relaxppl.common.relax import is_discrete
from relaxppl.pyro.auto.factors import factors_of
from relaxppl.pyro.auto.laws import Autoregressive
from relaxppl.pyro.distributions import MarkovChain
from relaxppl.pyro.finite_count import FiniteCount
from relaxppl.pyro.sites import SITES

Values = dict[str, torch.Tensor]

_DRAWS = 10_000
"""How many draws the marginals of a dependent guide are the means of."""


@documented_by(auto.Dependent)
class AutoDiscrete(auto.Dependent, AutoGuide):
    """A guide over the discrete latent sites, beside one over the continuous sites.

    Each discrete site gets a law of its own class with free logits: a Bernoulli, a Categorical, a
    OneHotCategorical, or for a count a :class:`FiniteCount`. The logits are parameters
    ``logits.{site}`` of this module, over a plate's full size where the model subsamples it. Sites
    with ``infer={"enumerate": ...}`` get no guide: the ELBOs sum them out.

    :param amortize: a module or a function of the model's arguments that returns logits for the
        sites it names, (*batch, *event) of the site for a Bernoulli or a one-hot and with the
        classes or counts as a further last dimension for the others. Of a subsampled plate it may
        give the subsample's rows or all. A module's parameters are this module's too.
    :param network: in place of ``amortize``, from rows of the data, (N, ...), to features, (N, F):
        a module, whose parameters are this module's too, or a function. The guide adds a linear
        layer from the features to the logits of each site whose leftmost plate is that of the rows,
        and trains both. Of a subsampled plate it sees the subsample's rows.
    :param inputs: a function of the model's arguments that returns the network's rows; where not
        given, the first argument.
    """

    _variables = SITES
    _runtime: ClassVar[Any] = pyro
    _laws: ClassVar[Mapping[str, Any]] = {
        "binary": dist.Bernoulli,
        "one-hot": dist.OneHotCategorical,
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
        init_loc_fn: Callable[..., Any] = init_to_feasible,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates)
        self.prototype_trace: Any = None
        self._continuous = (continuous,)  # In a tuple a module is not yet a part of this one.
        self._sizes, self._tail, self._init_scale = dict(sizes or {}), tail, init_scale
        self._init_loc_fn = init_loc_fn
        self._amortize = amortize
        self.network = network
        self._network = auto.network_of(network, inputs, amortize)
        self._structure = self._checked_structure(structure)
        self._reals: dict[str, auto.Real] = {}
        self._series: dict[str, auto.Series] = {}
        self._links: list[auto.Conditional] = []
        self._sites: dict[str, Site] = {}
        self._part_sites: frozenset[str] = frozenset()
        self._whole = False
        self.part: Any = None

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        nodes = dict(self.prototype_trace.iter_stochastic_nodes())
        sites = {n: s for n, s in nodes.items() if "enumerate" not in s["infer"]}
        self.logits = PyroModule()
        self._dtype = torch.get_default_dtype()
        if self._dependent:
            every = self.prototype_trace.nodes.values()
            values = [n["value"] for n in every if n["type"] == "sample"]
            for value in values:
                if torch.is_floating_point(value):
                    self._dtype = torch.promote_types(self._dtype, value.dtype)
        try:
            discrete = self._discrete(sites, len(nodes) > len(sites))
            for seed, (name, site) in enumerate(discrete.items()):
                full = {f.name: f.full_size or f.size for f in site["cond_indep_stack"]}
                self._sites[name] = self._site(name, site, full, seed)
        except ValueError:
            self.prototype_trace = None
            raise
        self._part_sites = frozenset(sites.keys() - discrete.keys())
        if self._dependent:
            draws_reals = self._continuous[0] is None
            firsts = self._firsts(args, kwargs) if draws_reals and self._part_sites else {}
            self._reals = {n: self._real(n, sites[n], firsts) for n in self._part_sites}
            self._link(factors_of(self.model, sites, args, kwargs), draws_reals)
            if draws_reals:
                self._part_sites = frozenset()
        for name, site in self._with_logits().items():
            first = self._series[name].members[0] if name in self._series else name
            self._declare(name, site, discrete[first]["value"])
        if self._part_sites:
            self.part = self._make_part()

    def _check_prototype(self, part_trace: Any) -> None:
        for name, site in part_trace.iter_stochastic_nodes():
            own = self.prototype_trace.nodes[name]
            assert site["fn"].batch_shape == own["fn"].batch_shape
            assert site["fn"].event_shape == own["fn"].event_shape

    def _make_part(self) -> Any:
        continuous = self._continuous[0]
        if isinstance(continuous, AutoGuide):
            return continuous
        nodes = self.prototype_trace.iter_stochastic_nodes()
        hidden = [n for n, s in nodes if is_discrete(s["fn"])]
        model = poutine.block(self.model, hide=hidden)
        if continuous is None:
            return AutoNormal(model, init_loc_fn=self._init_loc_fn)
        return continuous(model)

    def _declare(self, name: str, site: Site, value: torch.Tensor) -> None:
        dtype = value.dtype if value.is_floating_point() else self._dtype
        if self._dependent:  # Its sites meet in one sum.
            dtype = self._dtype
        first = torch.as_tensor(site.init, dtype=dtype, device=value.device)
        deep_setattr(self.logits, name, PyroParam(first, event_dim=len(site.event)))

    def _learned_logits(self, name: str, site: Site) -> torch.Tensor:
        return attrgetter(name)(self.logits)

    def _values(self, counts: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(counts).to(like)

    def _create_plates(self, *args: Any, **kwargs: Any) -> Any:
        plates = super()._create_plates(*args, **kwargs)
        if self._whole:
            for name, frame in self._prototype_frames.items():
                plates[name] = pyro.plate(name, frame.full_size or frame.size, dim=frame.dim)
        return plates

    def forward(self, *args: Any, **kwargs: Any) -> Values:
        """Draws every latent site of the model.

        :returns: the values by site.
        """
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        given = self._amortized(plates, args, kwargs)
        result: Values = {}
        if self.part is not None:
            result.update(self.part(*args, **kwargs))
            missing = self._part_sites - result.keys()
            if missing:
                raise auto.uncovered(missing)
        if self._dependent:
            return {**result, **self._draw_given(plates, given, result)}
        return {**result, **self._draw(plates, given)}

    def _firsts(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Returns the first values of the continuous sites."""
        nodes = self.prototype_trace.iter_stochastic_nodes()
        model = poutine.block(self.model, hide=[n for n, s in nodes if is_discrete(s["fn"])])
        with poutine.block(), InitMessenger(self._init_loc_fn):
            trace = poutine.trace(model).get_trace(*args, **kwargs)
        return {n: trace.nodes[n]["value"] for n in self._part_sites}

    def _real(self, name: str, node: Any, firsts: Mapping[str, Any]) -> auto.Real:
        fn = node["fn"]
        value = firsts.get(name, node["value"]).detach()
        free = biject_to(fn.support).inv(value)
        rank = len(fn.batch_shape)
        event = tuple(free.shape)[value.ndim - fn.event_dim :]
        batch = list(fn.batch_shape)
        first = free.expand((*batch, *event)).cpu().numpy().astype(float)
        for frame in node["cond_indep_stack"]:
            full = frame.full_size or frame.size
            if full != frame.size:
                first = np.take(first, np.arange(full) % frame.size, axis=frame.dim + rank)
                batch[frame.dim] = full
        frames = tuple(node["cond_indep_stack"])
        return auto.Real(frames, fn.event_dim, tuple(batch), event, first)

    def _model_sites(self) -> Mapping[str, Any]:
        return self.prototype_trace.nodes

    def _full_size(self, plate: str) -> int:
        frame = self._prototype_frames[plate]
        return frame.full_size or frame.size

    def _learned(
        self, name: str, kind: str, first: np.ndarray, event_dim: int, like: Any = None
    ) -> torch.Tensor:
        path = f"{kind}.{name}"
        try:
            return attrgetter(path)(self)
        except AttributeError:
            pass
        step = self._series[name].members[0] if name in self._series else name
        device = self.prototype_trace.nodes[step]["value"].device
        dtype = self._dtype if like is None else like.dtype
        init = torch.as_tensor(first, dtype=dtype, device=device)
        deep_setattr(self, path, PyroParam(init, event_dim=event_dim))
        return attrgetter(path)(self)

    def _floating(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self._dtype)

    def _as_drawn(self, name: str, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.prototype_trace.nodes[name]["value"].dtype)

    def _logits(self, *args: Any, **kwargs: Any) -> Values:
        if self.prototype_trace is None:
            self(*args, **kwargs)
        given: Mapping[str, Any] = {}
        if self._amortize is not None or self._network is not None:
            given = self._amortized({}, args, kwargs)
        return {n: given[n] if n in given else attrgetter(n)(self.logits) for n in self._sites}

    @documented_by(auto.Dependent._probs)
    @torch.no_grad()
    def probs(self, *args: Any, **kwargs: Any) -> Values:
        """Returns the guide's marginal probabilities of the discrete sites, over full plates."""
        if self._dependent:
            return self._means(self._draws(_DRAWS, args, kwargs))
        return self._probs(self._logits(*args, **kwargs))

    def _draws(self, number: int, args: Any, kwargs: Any) -> Values:
        """Returns draws of the whole guide over the full plates, along a first axis."""
        if self.prototype_trace is None:
            self(*args, **kwargs)
        found: dict[str, Any] = {}
        sites = {**self._sites, **self._reals}
        shapes = {n: self.prototype_trace.nodes[n]["fn"] for n in sites}
        depth = max((-frame.dim for frame in self._prototype_frames.values()), default=0)
        depth = max([depth, *(len(fn.batch_shape) for fn in shapes.values())])
        with self._full_plates(), poutine.block():
            self._create_plates(*args, **kwargs)
            with pyro.plate("_draws", number, dim=-depth - 1):
                drawn = self(*args, **kwargs)
        for name, fn in shapes.items():
            value = drawn[name]
            inner = len(fn.batch_shape) + fn.event_dim
            found[name] = value.reshape((number, *value.shape[value.ndim - inner :]))
        return found

    @torch.no_grad()
    def sample_posterior(
        self, *args: Any, sample_shape: tuple[int, ...] = (), **kwargs: Any
    ) -> Values:
        """Draws the latent sites, over the full plates of what is not amortised.

        :param args: the model's arguments, where a part of the guide needs them.
        :param sample_shape: the shape of the draws.
        :returns: by site, (*sample_shape, *shape of the site).
        """
        if self._dependent:
            drawn = self._draws(int(np.prod(sample_shape)), args, kwargs)
            return {n: x.reshape((*sample_shape, *x.shape[1:])) for n, x in drawn.items()}
        result: Values = {}
        logits = self._logits(*args, **kwargs)
        if self.part is not None:
            result.update(self._part_draws(sample_shape, args, kwargs))
        for name, site in self._sites.items():
            result[name] = site.law(logits[name]).sample(sample_shape)
        return result

    def _part_draws(self, sample_shape: tuple[int, ...], args: Any, kwargs: Any) -> Values:
        depth = max((-frame.dim for frame in self._prototype_frames.values()), default=0)
        batched = [len(s["fn"].batch_shape) for s in self._part_nodes().values()]
        depth = max([depth, *batched])
        size = int(np.prod(sample_shape))
        with self._full_plates(), poutine.block():
            self._create_plates(*args, **kwargs)
            with pyro.plate("_draws", size, dim=-depth - 1):
                drawn = self.part(*args, **kwargs)
        found = {}
        for name, node in self._part_nodes().items():
            value = drawn[name]
            event = value.shape[value.ndim - node["fn"].event_dim :]
            batch = value.shape[: value.ndim - len(event)]
            # Away with the dimensions of size one between the draws and the site's own.
            batch = batch[len(batch) - len(node["fn"].batch_shape) :]
            found[name] = value.reshape((*sample_shape, *batch, *event))
        return found

    def _part_nodes(self) -> dict[str, Any]:
        nodes = self.prototype_trace.iter_stochastic_nodes()
        return {n: s for n, s in nodes if n in self._part_sites}

    @contextmanager
    def _full_plates(self) -> Iterator[None]:
        self._whole = True
        try:
            yield
        finally:
            self._whole = False

    @documented_by(auto.Dependent._medians)
    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> Values:
        """Returns a central value of every latent site, over the full plates."""
        if self._dependent:
            drawn = self._draws(_DRAWS, args, kwargs)
            reals = {n: torch.quantile(drawn[n], 0.5, dim=0) for n in self._reals}
            return {**reals, **self._medians(self._means(drawn))}
        result = self._of_part(lambda part: part.median(*args, **kwargs))
        return {**result, **self._medians(self.probs(*args, **kwargs))}

    @documented_by(auto.Dependent._quantiles)
    @torch.no_grad()
    def quantiles(self, quantiles: Sequence[float] | float, *args: Any, **kwargs: Any) -> Values:
        """Returns quantiles of the continuous sites, the Bernoullis and the counts."""
        levels = auto.checked_levels(quantiles)
        if self._dependent:
            drawn = self._draws(_DRAWS, args, kwargs)
            reals = {
                n: torch.quantile(drawn[n], torch.as_tensor(levels).to(drawn[n]), dim=0)
                for n in self._reals
            }
            return {**reals, **self._quantiles(self._means(drawn), levels)}
        result = self._of_part(lambda part: part.quantiles(list(levels), *args, **kwargs))
        return {**result, **self._quantiles(self.probs(*args, **kwargs), levels)}

    def _of_part(self, values: Callable[[Any], Values]) -> Values:
        if self.prototype_trace is None:
            raise RuntimeError("AutoDiscrete: the guide has not run yet; call it once")
        if self.part is None:
            return {}
        return {n: x for n, x in values(self.part).items() if n in self._part_sites}
