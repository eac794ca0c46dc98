"""What a trained guide says: marginals, draws, central values and quantiles of every site."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers

from relaxppl.common import auto
from relaxppl.common.docstring import documented_by
from relaxppl.numpyro.auto.drawing import Drawing

Values = dict[str, jax.Array]


class Posterior(auto.Dependent):
    """The part of ``AutoDiscrete`` that is for after the training."""

    prefix: str
    _part: Any
    """The guide of the continuous sites, or None."""
    _drawing: Drawing

    def _param(self, name: str) -> str:
        """Returns the name of a site's logits."""
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
            return self._means(self._draws(jax.random.key(0), params, auto.DRAWS, args, kwargs))
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
            drawn = self._draws(jax.random.key(0), params, auto.DRAWS, args, kwargs)
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
            drawn = self._draws(jax.random.key(0), params, auto.DRAWS, args, kwargs)
            reals = {n: jnp.quantile(drawn[n], levels, axis=0) for n in self._reals}
            return {**reals, **self._quantiles(self._means(drawn), levels)}
        result = self._of_part(lambda part: part.quantiles(params, levels))
        return {**result, **self._quantiles(self.probs(params, *args, **kwargs), levels)}

    def _of_part(self, values: Callable[[Any], Values]) -> Values:
        if self._part is None:
            return {}
        return {n: x for n, x in values(self._part).items() if n in self._part_sites}
