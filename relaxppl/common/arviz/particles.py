"""Rows below shared sites: several draws of each row's sites for one draw of what lies above them.

With globals g and rows that are independent given g, the mean of p / q over M draws of row i's own
sites is an unbiased estimate of p(y_i | g), and so is the product over rows, as the draws of one
row do not touch another. Then p(g) / q(g) times the product, with one draw of each row kept in
proportion to its weight, is a proper weight of (g, all rows): it has the posterior for its target
whatever M is. Resampling it is importance sampling squared (Tran et al., 2013, arXiv:1309.3339), a
Markov chain over it particle independent Metropolis-Hastings (Andrieu et al., 2010). With one draw
a row it is the plain weight, a product of as many ratios as there are rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from relaxppl.common.arviz.correct import Rows
from relaxppl.common.arviz.labels import Dims
from relaxppl.common.arviz.trace import is_auxiliary, is_latent, latents
from relaxppl.common.auto.graph import Factor
from relaxppl.ops import as_numpy

ATTEMPTS = 3
"""How often it is checked that rows do not touch each other; discrete draws may agree by chance."""


class Particles:
    """The part of a sampler that draws rows again: a mixin, hooks at the end."""

    read: ClassVar[Any]
    request: Any
    hardened: bool
    local: Rows
    _is_scored: Callable[[Any], bool]
    _summed: Callable[[Any, Rows], Any]
    _split: Callable[[Any], Any]
    _run_guide: Callable[..., Any]
    _run_model: Callable[..., Any]
    _lib: ClassVar[Any]
    """The module of the arrays that log densities are summed in."""

    @property
    def notes(self) -> dict[str, Any]:
        """Attributes that say which rows were drawn how often, none where none were."""
        if not self.local.plates:
            return {}
        names = ", ".join(name for name, _ in self.local.plates.values())
        return {"rows": names, "particles": self.request.particles}

    def _in(self, site: Any, rows: Rows) -> bool:
        return rows.holds(Dims(0, {f.dim: f.name for f in self.read.frames(site)}))

    def _split_sum(self, trace: Any, rows: Rows) -> tuple[Any, Any]:
        """Returns the log densities of each row, and that of all sites above the rows."""
        inside = {n: s for n, s in trace.items() if self._is_scored(s) and self._in(s, rows)}
        rest = {n: s for n, s in trace.items() if n not in inside}
        return self._summed(inside, rows), self._summed(rest, Rows({}))

    def _above(self, guide: Any, rows: Rows) -> dict[str, Any]:
        """Returns the values of the latent sites above the rows."""
        return {n: s["value"] for n, s in guide.items() if is_latent(s) and not self._in(s, rows)}

    def _below(self, guide: Any, rows: Rows) -> dict[str, Any]:
        """Returns the latent sites that lie in the rows."""
        return {n: s for n, s in guide.items() if is_latent(s) and self._in(s, rows)}

    def _mixed(self, take: Any, new: Any, old: Any, site: Any, rows: Rows) -> Any:
        """Returns a site's values, of some rows from one array and of the others from another."""
        event = (1,) * len(site["fn"].event_shape)
        lead = len(new.shape) - len(event) - len(rows.shape)
        draws = tuple(take.shape)[: len(take.shape) - len(rows.shape)]
        shape = (*draws, *(1,) * (lead - len(draws)), *rows.shape, *event)
        return self._where(take.reshape(shape), new, old)

    def independent_rows(self, guide: Any, relaxed: Any, key: Any) -> Rows:
        """Returns the plates below some site whose elements are independent given what is above.

        No term outside the plates may depend on a site inside, whatever its values: that is read
        off the programs. What the elements of a site inside do to each other is tried out.

        :param guide: its trace.
        :param relaxed: the sites that ``relax`` relaxed.
        :param key: of the draws on which that is tried.
        """
        sizes: dict[Any, int] = {}
        for site in (s for s in guide.values() if is_latent(s) and not is_auxiliary(s)):
            plates = {f.dim: (f.name, f.size) for f in self.read.frames(site)}
            if plates:
                sizes[tuple(sorted(plates.items()))] = 0
        for same in sizes:
            below = self._below(guide, Rows(dict(same))).values()
            sizes[same] = sum(int(np.prod(s["value"].shape)) for s in below)
        found = [Rows(dict(same)) for same in sorted(sizes, key=lambda s: -sizes[s])]
        found = [r for r in found if np.prod(r.shape) > 1 and self._above(guide, r)]
        factors = self._factors(guide, relaxed) if found else []
        for rows in found:
            inside = self._below(guide, rows).keys()
            names = {name for name, _ in rows.plates.values()}
            if all(names <= factor.plates for factor in factors if factor.sites & inside):
                run = self._compiled(partial(self._swapped, rows))
                keys = self._keys(key, ATTEMPTS)
                if all(_agree(run(each), rows) for each in keys):
                    return rows
        return Rows({})

    def _swapped(self, rows: Rows, key: Any) -> list[Any]:
        """Returns log densities where every other row has another draw than its neighbours."""
        first, second, third = self._split(key)
        _, one = self._run_guide(first)
        above = self._above(one, rows)
        _, two = self._run_guide(second, above)
        take = self._constant(_every_other(rows))
        sites = self._below(one, rows)
        values = {n: s["value"] for n, s in sites.items()}
        others = {n: two[n]["value"] for n in sites}
        mixed = {n: self._mixed(take, values[n], others[n], s, rows) for n, s in sites.items()}
        found: list[Any] = []
        for given in (above | values, above | others, above | mixed):
            relaxed, guide = self._run_guide(third, given)
            model = self._run_model(latents(guide, relaxed, self.hardened), third)
            kept = [self._far(guide[n]["value"], given[n]) for n in given]
            found.append((self._split_sum(guide, rows), self._split_sum(model, rows), kept))
        return found

    def picked(self, guide: Any, key: Any) -> tuple[dict[str, Any], Any]:
        """Returns values of all sites of the guide, and the log weight that they have.

        :param guide: a trace, whose sites above the rows stay.
        :param key: of the further draws.
        """
        rows, count = self.local, self.request.particles
        above = self._above(guide, rows)
        sites = self._below(guide, rows)

        def weights(trace: Any, relaxed: Any, key: Any) -> tuple[Any, Any]:
            model = self._run_model(latents(trace, relaxed, self.hardened), key)
            (p, p_above), (q, q_above) = (self._split_sum(t, rows) for t in (model, trace))
            return p - q, p_above - q_above

        def more(index: int, carried: Any) -> Any:
            values, total, best, _ = carried
            own, noise_key, model_key = self._split(self._folded(key, index))
            relaxed, trace = self._run_guide(own, above)
            each, rest = weights(trace, relaxed, model_key)
            each = self._lib.asarray(each, float)
            noisy = each + self._gumbel(noise_key, each)
            take = noisy > best
            values = {
                n: self._mixed(self._constant(take), trace[n]["value"], values[n], s, rows)
                for n, s in sites.items()
            }
            largest = self._lib.maximum(best, noisy)
            return values, self._lib.logaddexp(total, each), largest, rest

        start = {n: s["value"] for n, s in sites.items()}
        values, total, _, rest = self._repeated(count, more, start, rows)
        axes = tuple(range(-len(rows.shape), 0))
        return above | values, rest + (total - np.log(count)).sum(axis=axes)

    def _factors(self, guide: Any, relaxed: Any) -> list[Factor]:
        """Returns which latent sites each term of both programs depends on."""
        raise NotImplementedError

    def _compiled(self, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Returns a function of a key as one program, where the host compiles."""
        return fn

    def _keys(self, key: Any, count: int) -> Any:
        """Returns so many keys."""
        return [key] * count

    def _folded(self, key: Any, index: Any) -> Any:
        """Returns a key of its own for an index."""
        return key

    def _gumbel(self, key: Any, like: Any) -> Any:
        """Returns Gumbel noise of the shape of an array of log densities."""
        raise NotImplementedError

    def _constant(self, values: Any) -> Any:
        """Returns an array of the library as one of the host."""
        raise NotImplementedError

    def _where(self, take: Any, new: Any, old: Any) -> Any:
        """Returns what stands in either array of the host."""
        raise NotImplementedError

    def _far(self, one: Any, other: Any) -> Any:
        """Returns the largest difference of two arrays of the host."""
        raise NotImplementedError

    def _repeated(self, count: int, more: Callable[[Any, Any], Any], start: Any, rows: Rows) -> Any:
        """Returns what a step leaves that is taken so often, from no weight at all."""
        raise NotImplementedError


def _every_other(rows: Rows) -> np.ndarray:
    return (np.arange(int(np.prod(rows.shape))) % 2 == 0).reshape(rows.shape)


def _agree(found: list[Any], rows: Rows) -> bool:
    """Returns whether swapped rows have changed themselves alone.

    :param found: log densities at one draw, at another, and with every other row of the first.
    """
    if any(as_numpy(far).max(initial=0.0) > 0 for _, _, kept in found for far in kept):
        return False
    take = _every_other(rows)
    close = partial(np.allclose, rtol=1e-4, atol=1e-4)
    for which in (0, 1):
        each = [[as_numpy(x) for x in run[which]] for run in found]
        (one, above), (two, second), (mixed, third) = each
        wanted = np.where(take, one, two)
        same = close(np.broadcast_to(mixed, take.shape), wanted)
        if not (same and close(above, second) and close(above, third)):
            return False
    return True
