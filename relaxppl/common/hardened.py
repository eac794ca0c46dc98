"""Distributions that draw from a relaxation and score a discrete value: mixins for the hosts'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class Hardened:
    """Draws the discrete value of a relaxed draw, and scores it by the discrete law it relaxes.

    A host's class derives from this and from the host's own base class.

    :param relaxed: a distribution with a method ``harden``.
    :param discrete: the discrete distribution that it stands for, of the same event shape.
    """

    expanded: ClassVar[Any]
    """The host's class of expanded distributions."""

    def __init__(self, relaxed: Any, discrete: Any) -> None:
        self.relaxed = relaxed
        self.discrete = discrete
        shapes = relaxed.batch_shape, relaxed.event_shape
        super().__init__(*shapes, validate_args=False)  # type: ignore[call-arg]

    @property
    def support(self) -> Any:
        """That of the discrete law."""
        return self.discrete.support

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """Returns discrete values; takes what the host's distributions take."""
        source = self.relaxed
        while isinstance(source, self.expanded):
            source = source.base_dist
        return source.harden(self.relaxed.sample(*args, **kwargs))

    def log_prob(self, value: Any, *intermediates: Any) -> Any:
        """Returns the discrete law's log probability."""
        return self.discrete.log_prob(value)


class Coupled(Hardened):
    """Draws a relaxed value, and scores the discrete value that it stands for by the discrete law.

    :param relaxed: the distribution of the draws.
    :param discrete: the law of the discrete values, of the same batch shape.
    :param harden: from a relaxed value to the discrete one.
    """

    def __init__(self, relaxed: Any, discrete: Any, harden: Callable[[Any], Any]) -> None:
        self.harden = harden
        super().__init__(relaxed, discrete)

    @property
    def support(self) -> Any:
        """That of the relaxed law."""
        return self.relaxed.support

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """Returns relaxed values; takes what the host's distributions take."""
        return self.relaxed.sample(*args, **kwargs)

    def log_prob(self, value: Any, *intermediates: Any) -> Any:
        """Returns the discrete law's log probability of the hardened value."""
        return self.discrete.log_prob(self.harden(value))
