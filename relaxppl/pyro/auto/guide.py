"""A guide for a model with discrete latent variables, without writing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

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
from relaxppl.pyro.auto.posterior import Posterior, Values
from relaxppl.pyro.distributions import MarkovChain
from relaxppl.pyro.sites import SITES


@documented_by(auto.Dependent)
class AutoDiscrete(Posterior, AutoGuide):
    """A guide over the discrete latent sites, beside one over the continuous sites.

    The discrete sites' logits are parameters ``logits.{site}`` of this module, over a plate's full
    size where the model subsamples it.

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

    _host = auto.Host(
        *(pyro, SITES, dist.OneHotCategorical, Autoregressive, MarkovChain),
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
        init_loc_fn: Callable[..., Any] = init_to_feasible,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates)
        self.prototype_trace: Any = None
        self._continuous = (continuous,)  # In a tuple a module is not yet a part of this one.
        self._init_loc_fn = init_loc_fn
        self.network = network
        self._begin(amortize, network, inputs, structure, sizes, tail, init_scale)
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
                full = {f.name: _full_size(f) for f in site["cond_indep_stack"]}
                self._sites[name] = self._site(name, site, full, seed)
        except ValueError:
            self.prototype_trace = None
            raise
        self._part_sites = frozenset(sites.keys() - discrete.keys())
        if self._dependent:
            draws_reals = self._continuous[0] is None
            firsts = self._firsts(args, kwargs) if draws_reals and self._part_sites else {}
            # In the order of the model: where tables begin must not hang on that of a set.
            parts = {n: s for n, s in sites.items() if n in self._part_sites}
            self._reals = {n: self._real(n, s, firsts) for n, s in parts.items()}
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
                plates[name] = pyro.plate(name, _full_size(frame), dim=frame.dim)
        return plates

    def forward(self, *args: Any, **kwargs: Any) -> Values:
        """Draws every latent site of the model.

        :returns: the values by site.
        """
        return self._run(*args, **kwargs)

    def _drawn_by_part(self, plates: Any, args: Any, kwargs: Any) -> Values:
        return self.part(*args, **kwargs)

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
        event = tuple(free.shape)[value.ndim - fn.event_dim :]
        first = free.expand((*fn.batch_shape, *event)).cpu().numpy().astype(float)
        return auto.real_of(node, first, event, _full_size)

    def _model_sites(self) -> Mapping[str, Any]:
        return self.prototype_trace.nodes

    def _full_size(self, plate: str) -> int:
        return _full_size(self._prototype_frames[plate])

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


def _full_size(frame: Any) -> int:
    return frame.full_size or frame.size
