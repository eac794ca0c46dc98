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
from pyro.infer.autoguide import AutoGuide, AutoNormal
from pyro.infer.autoguide.initialization import init_to_feasible
from pyro.infer.autoguide.utils import deep_setattr
from pyro.nn.module import PyroModule, PyroParam

from relaxppl.common import auto
from relaxppl.common.auto import Site
from relaxppl.common.relax import is_discrete
from relaxppl.pyro.finite_count import FiniteCount
from relaxppl.pyro.sites import SITES

Values = dict[str, torch.Tensor]


class AutoDiscrete(auto.MeanField, AutoGuide):
    """A mean-field guide over the discrete latent sites, beside one over the continuous sites.

    Each discrete site gets a law of its own class with free logits: a Bernoulli, a Categorical, a
    OneHotCategorical, or for a count a :class:`FiniteCount`. The logits are parameters
    ``logits.{site}`` of this module, over a plate's full size where the model subsamples it. Sites
    with ``infer={"enumerate": ...}`` are left to the host's ``TraceEnum_ELBO``.

    :param model: the model, discrete as it was written.
    :param continuous: makes the guide of the continuous sites: a class of the host's autoguides, a
        function of the model, which then has those sites only, or an autoguide of a model whose
        discrete sites are blocked.
    :param amortize: a module or a function of the model's arguments that returns logits for the
        sites it names, (*batch, *event) of the site for a Bernoulli or a one-hot and with the
        classes or counts as a further last dimension for the others. Of a subsampled plate it may
        give the subsample's rows or all. A module's parameters are this module's too.
    :param sizes: how many values 0, ..., n - 1 a count keeps, by site; where not given, as many as
        leave the prior at most the tail.
    :param tail: a number between 0 and 1.
    :param init_scale: the standard deviation of the noise on the first logits.
    :param init_loc_fn: as of the host's autoguides, for the continuous sites.
    :param create_plates: as of the host's autoguides.
    :raises ValueError: at the first call, if the model has no discrete latent site, one for which
        there is no law here, or a count whose number of values is not known.
    """

    _variables = SITES
    _runtime: ClassVar[Any] = pyro
    _laws: ClassVar[Mapping[str, Any]] = {
        "binary": dist.Bernoulli,
        "one-hot": dist.OneHotCategorical,
        "integer": dist.Categorical,
        "count": FiniteCount,
    }

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        continuous: Any = None,
        amortize: Callable[..., Mapping[str, Any]] | None = None,
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
        self._sites: dict[str, Site] = {}
        self._part_sites: frozenset[str] = frozenset()
        self._whole = False
        self.part: Any = None

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        sites = {
            n: s
            for n, s in self.prototype_trace.iter_stochastic_nodes()
            if "enumerate" not in s["infer"]
        }
        self.logits = PyroModule()
        try:
            discrete = self._discrete(sites)
            for seed, (name, site) in enumerate(discrete.items()):
                full = {f.name: f.full_size or f.size for f in site["cond_indep_stack"]}
                self._sites[name] = self._site(name, site, full, seed)
                self._declare(name, self._sites[name], site["value"])
        except ValueError:
            self.prototype_trace = None
            raise
        self._part_sites = frozenset(sites.keys() - discrete.keys())
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
        dtype = value.dtype if value.is_floating_point() else torch.get_default_dtype()
        first = torch.as_tensor(site.init, dtype=dtype, device=value.device)
        deep_setattr(self.logits, name, PyroParam(first, event_dim=len(site.event)))

    def _own_logits(self, name: str, site: Site) -> torch.Tensor:
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
        given = self._amortized(*args, **kwargs)
        result: Values = {}
        if self.part is not None:
            result.update(self.part(*args, **kwargs))
            missing = self._part_sites - result.keys()
            if missing:
                raise auto.uncovered(missing)
        return {**result, **self._draw(plates, given)}

    def _logits(self, *args: Any, **kwargs: Any) -> Values:
        if self.prototype_trace is None:
            self(*args, **kwargs)
        given: Mapping[str, Any] = {}
        if self._amortize is not None:
            given = self._amortized(*args, **kwargs)
        return {n: given[n] if n in given else attrgetter(n)(self.logits) for n in self._sites}

    @torch.no_grad()
    def probs(self, *args: Any, **kwargs: Any) -> Values:
        """Returns the guide's marginal probabilities of the discrete sites, over the full plates.

        :param args: the model's arguments, needed for amortised sites only.
        :returns: by site: of one, of the site's shape, for a Bernoulli; else of each class or
            count, along the last dimension.
        """
        return self._probs(self._logits(*args, **kwargs))

    @torch.no_grad()
    def sample_posterior(
        self, *args: Any, sample_shape: tuple[int, ...] = (), **kwargs: Any
    ) -> Values:
        """Draws the latent sites, over the full plates of what is not amortised.

        :param args: the model's arguments, where a part of the guide needs them.
        :param sample_shape: the shape of the draws.
        :returns: by site, (*sample_shape, *shape of the site).
        """
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

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> Values:
        """Returns a central value of every latent site, over the full plates.

        :param args: the model's arguments, where a part of the guide needs them.
        :returns: by site the median; of a categorical or a one-hot, whose classes have no order,
            the likeliest class.
        """
        result = self._of_part(lambda part: part.median(*args, **kwargs))
        return {**result, **self._medians(self.probs(*args, **kwargs))}

    @torch.no_grad()
    def quantiles(self, quantiles: Sequence[float] | float, *args: Any, **kwargs: Any) -> Values:
        """Returns quantiles of the continuous sites, the Bernoullis and the counts.

        :param quantiles: Q numbers between 0 and 1.
        :param args: the model's arguments, where a part of the guide needs them.
        :returns: by site, (Q, *shape of the site). Categoricals and one-hots, whose classes have no
            order, are not among them: see :meth:`probs`.
        :raises ValueError: for a level outside [0, 1].
        """
        levels = auto.checked_levels(quantiles)
        result = self._of_part(lambda part: part.quantiles(list(levels), *args, **kwargs))
        return {**result, **self._quantiles(self.probs(*args, **kwargs), levels)}

    def _of_part(self, values: Callable[[Any], Values]) -> Values:
        if self.prototype_trace is None:
            raise RuntimeError("AutoDiscrete: the guide has not run yet; call it once")
        if self.part is None:
            return {}
        return {n: x for n, x in values(self.part).items() if n in self._part_sites}
