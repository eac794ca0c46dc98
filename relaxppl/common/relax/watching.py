"""What stands at the sites that ``relax`` relaxes, for those who look at a program from outside.

To show relaxed draws beside the discrete values that they stand for, the program must run on the
latter, or what lies downstream of a site would belong to neither. :func:`watched` makes ``relax``
record every site that it relaxes and, if asked, hand the program the hardened values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.common.shell import Shell, hardens, is_of_weights
from relaxppl.ops import as_numpy


@dataclass(frozen=True)
class Watched:
    """A site that ``relax`` relaxed.

    :param made: what the factory made of the discrete distribution.
    :param base: the discrete distribution, without the wrappers of to_event, expand and mask.
    :param discrete: whether the values at the site are discrete already, as straight-through ones.
    :param registered: whether the relaxation is that of the registry.
    :param temperature: that of this run.
    :param current: the temperature or schedule that ``relax`` was given.
    """

    made: Any
    base: Any
    discrete: bool
    registered: bool
    temperature: Any
    current: Any

    @property
    def name(self) -> str:
        """The name of the relaxation's class."""
        return type(self.made).__name__

    @property
    def hardens(self) -> bool:
        """Whether the discrete value that a relaxed one stands for is known."""
        return self.discrete or hardens(self.made)

    @property
    def of_weights(self) -> bool:
        """Whether the site holds the weights of a relaxed number, unless it is discrete."""
        return is_of_weights(self.made)

    def soft(self, value: Any) -> Any:
        """Returns what the relaxed program gets for the value at the site.

        :param value: the relaxed value, or the weights of a relaxed number.
        """
        if self.discrete or not self.of_weights:
            return value
        return self.made.value_of(value)

    def hard(self, value: Any) -> Any:
        """Returns the discrete value that the value at the site stands for.

        :param value: as of :meth:`soft`.
        """
        if self.discrete:
            return value
        if self.of_weights:
            return self.made.value_of(self.made.weights.harden(value))
        return self.made.harden(value)

    def has_discrete_law(self) -> bool:
        """Returns whether hardened draws have the discrete law; asks the values of parameters."""
        if self.registered or self.discrete:
            return True
        if not isinstance(self.made, Shell):
            return False
        law = self.made.law
        if law.of_weights:
            ours, theirs = law.values_probs, None
            values = law.values
            if len(values.shape) == 1:
                values = values.reshape((-1,) + (1,) * len(tuple(self.base.batch_shape)))
                theirs = np.exp(as_numpy(self.base.log_prob(values)))
                theirs = np.moveaxis(theirs, 0, -1)
        elif law.hard_law is not None:
            ours, theirs = law.probs, getattr(self.base, "probs", None)
        else:
            return False
        return theirs is not None and np.allclose(as_numpy(ours), as_numpy(theirs), atol=1e-4)


@dataclass
class _Watch:
    hardened: bool
    sites: dict[str, Watched]


_watch: _Watch | None = None


@contextmanager
def watched(hardened: bool) -> Iterator[dict[str, Watched]]:
    """Records every site that a ``relax`` inside relaxes.

    :param hardened: whether the program gets the hardened value of a site that has one. The value
        in the trace stays relaxed, and is scored there by the discrete law of the hardened one.
    :returns: the sites by name, filled as the program runs.
    """
    global _watch
    before, _watch = _watch, _Watch(hardened, {})
    try:
        yield _watch.sites
    finally:
        _watch = before


def watching() -> bool:
    """Returns whether anyone watches."""
    return _watch is not None


def see(name: str, site: Watched) -> bool:
    """Records a site for whoever watches; returns whether the program shall get hardened values.

    :param name: the site's name.
    :param site: what stands there.
    """
    assert _watch is not None
    _watch.sites[name] = site
    return _watch.hardened and site.hardens and not site.discrete
