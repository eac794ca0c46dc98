"""What a trained guide says: marginals, draws, central values and quantiles of every site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine

from relaxppl.common import auto
from relaxppl.common.docstring import documented_by

Values = dict[str, torch.Tensor]


class Posterior(auto.Dependent):
    """The part of ``AutoDiscrete`` that is for after the training."""

    logits: Any
    part: Any
    """The guide of the continuous sites, or None."""
    _prototype_frames: dict[str, Any]
    __call__: Callable[..., Values]

    def _logits(self, *args: Any, **kwargs: Any) -> Values:
        if self.prototype_trace is None:
            self(*args, **kwargs)
        given: Any = {}
        if self._amortize is not None or self._network is not None:
            given = self._amortized({}, args, kwargs)
        return {n: given[n] if n in given else attrgetter(n)(self.logits) for n in self._sites}

    @documented_by(auto.Dependent._probs)
    @torch.no_grad()
    def probs(self, *args: Any, **kwargs: Any) -> Values:
        """Returns the guide's marginal probabilities of the discrete sites, over full plates."""
        if self._dependent:
            return self._means(self._draws(auto.DRAWS, args, kwargs))
        return self._probs(self._logits(*args, **kwargs))

    def _draws(self, number: int, args: Any, kwargs: Any) -> Values:
        """Returns draws of the whole guide over the full plates, along a first axis."""
        if self.prototype_trace is None:
            self(*args, **kwargs)
        return self._draws_of(self, [*self._sites, *self._reals], number, args, kwargs)

    def _draws_of(
        self, program: Any, names: list[str], number: int, args: Any, kwargs: Any
    ) -> Values:
        """Returns draws of some sites by the whole guide, or by a part of it."""
        laws = {n: self.prototype_trace.nodes[n]["fn"] for n in names}
        depth = max((-frame.dim for frame in self._prototype_frames.values()), default=0)
        depth = max([depth, *(len(fn.batch_shape) for fn in laws.values())])
        self._whole = True
        try:
            with poutine.block():
                self._create_plates(*args, **kwargs)
                with pyro.plate("_draws", number, dim=-depth - 1):
                    drawn = program(*args, **kwargs)
        finally:
            self._whole = False
        found = {}
        for name, fn in laws.items():
            # Away with the dimensions of size one between the draws and the site's own.
            own = drawn[name].ndim - len(fn.batch_shape) - fn.event_dim
            found[name] = drawn[name].reshape((number, *drawn[name].shape[own:]))
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
        number = int(np.prod(sample_shape))
        if self._dependent:
            drawn = self._draws(number, args, kwargs)
            return {n: x.reshape((*sample_shape, *x.shape[1:])) for n, x in drawn.items()}
        result: Values = {}
        logits = self._logits(*args, **kwargs)
        if self.part is not None:
            names = [n for n in self.prototype_trace.nodes if n in self._part_sites]
            drawn = self._draws_of(self.part, names, number, args, kwargs)
            result = {n: x.reshape((*sample_shape, *x.shape[1:])) for n, x in drawn.items()}
        for name, site in self._sites.items():
            result[name] = site.law(logits[name]).sample(sample_shape)
        return result

    @documented_by(auto.Dependent._medians)
    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> Values:
        """Returns a central value of every latent site, over the full plates."""
        if self._dependent:
            drawn = self._draws(auto.DRAWS, args, kwargs)
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
            drawn = self._draws(auto.DRAWS, args, kwargs)
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
