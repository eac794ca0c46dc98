"""What differs between the hosts, and what can be said of a host's distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from relaxppl.common.relax.registry import Registry
from relaxppl.common.shell import Shell, is_exact

FLAGS = ("boolean", "one_hot", "discrete_one_hot")
"""The constraints of this package whose values are zeros and ones."""


@dataclass(frozen=True)
class Host:
    """What differs between the hosts.

    :param registry: its registry.
    :param independent: its class of reinterpreted batch dimensions.
    :param expanded: its class of expanded distributions.
    :param masked: its class of masked distributions.
    :param categorical: its classes of integer categorical laws.
    :param distribution: its class of distributions.
    :param flags: the supports whose values are zeros and ones.
    :param hardened: makes a distribution of (relaxed, discrete) that draws hardened values.
    :param coupled: makes a distribution of (relaxed, discrete, harden) that draws relaxed values
        and scores the hardened ones.
    :param sample: how a sample statement is spelled on it.
    """

    registry: Registry
    independent: Any
    expanded: Any
    masked: Any
    categorical: tuple[Any, ...]
    distribution: Any
    flags: tuple[Any, ...]
    hardened: Callable[[Any, Any], Any]
    coupled: Callable[[Any, Any, Callable[[Any], Any]], Any]
    sample: str

    @cached_property
    def wrappers(self) -> tuple[Any, ...]:
        """Its classes of distributions around another one."""
        return self.independent, self.expanded, self.masked

    def relaxation_of(self, distribution: Any, temperature: Any) -> Any:
        """Returns the registered relaxation of a discrete distribution.

        :param distribution: a discrete distribution, possibly inside to_event, expand and mask.
        :param temperature: positive.
        :returns: a distribution of the same batch shape, in the same wrappers.
        :raises ValueError: if its class has none.
        """
        base, wrappers = unwrap(self, distribution)
        factory = self.registry.find(type(base))
        if factory is None:
            raise ValueError(without_relaxation(self, "...", base))
        return wrap(self, factory(base, temperature), wrappers)


def is_discrete(fn: Any) -> bool:
    """Returns whether a distribution's values are discrete and carry no gradient."""
    try:
        return bool(fn.support.is_discrete)
    except (AttributeError, NotImplementedError):
        return False


def unwrap(host: Host, fn: Any) -> tuple[Any, list[Any]]:
    """Returns the distribution inside Independent, Expanded and Masked, and those, outermost first.

    :param host: the host's classes.
    :param fn: a distribution.
    """
    wrappers = []
    while isinstance(fn, host.wrappers):
        wrappers.append(fn)
        fn = fn.base_dist
    return fn, wrappers


def wrap(host: Host, fn: Any, wrappers: list[Any]) -> Any:
    """Returns a distribution inside what :func:`unwrap` took off another.

    :param host: the host's classes.
    :param fn: a distribution.
    :param wrappers: outermost first.
    """
    for wrapper in reversed(wrappers):
        if isinstance(wrapper, host.independent):
            fn = fn.to_event(wrapper.reinterpreted_batch_ndims)
        elif isinstance(wrapper, host.expanded):
            fn = fn.expand(wrapper.batch_shape)
        else:
            fn = fn.mask(wrapper._mask)
    return fn


def without_relaxation(host: Host, name: str, base: Any) -> str:
    """Returns the error of a discrete site that has no registered relaxation."""
    if isinstance(base, host.categorical):
        return (
            f"relax: the site {name!r} is an integer Categorical: a relaxed value cannot be used "
            f"as an index" + one_hot_hint(host, name, base)
        )
    kind = type(base).__name__
    if isinstance(base, Shell) and base.relaxation.unrelaxed:
        return (
            f"relax: the site {name!r} is a {kind}: {base.relaxation.unrelaxed}. "
            f"config={{{name!r}: None}} leaves it discrete"
        )
    return (
        f"relax: the site {name!r} is a {kind}, for which no relaxation is registered. Register "
        f"one, rx.register_relaxation({kind}, lambda d, temperature: ...), or give this site one, "
        f"config={{{name!r}: lambda d, temperature: ...}}, or leave it discrete, "
        f"config={{{name!r}: None}}"
    )


def one_hot_hint(host: Host, name: str, base: Any) -> str:
    """Returns how an integer site is written one-hot; nothing for another site."""
    if not isinstance(base, host.categorical):
        return ""
    return (
        f". Write it one-hot,\n"
        f"    {name} = {host.sample}({name!r}, rx.OneHotCategorical(logits=logits))\n"
        f"    row = {name} @ table    # in place of table[{name}]\n"
        f"or leave it discrete with config={{{name!r}: None}}"
    )


def holds_flags(host: Host, fn: Any) -> bool:
    """Returns whether a distribution's values are zeros and ones."""
    return type(unwrap(host, fn)[0].support) in {type(support) for support in host.flags}


def check_discrete(host: Host, name: str, fn: Any) -> None:
    """Checks that a latent site is no relaxation, for a bound of the discrete program.

    :param host: the host's classes.
    :param name: the site's name.
    :param fn: its distribution.
    :raises ValueError: if it is one of this package's whose values are not exactly discrete.
    """
    base, _ = unwrap(host, fn)
    if isinstance(base, Shell) and not is_exact(base):
        raise ValueError(
            f"discrete_elbo: the site {name!r} is written as a {type(base).__name__}, so the "
            "program has no discrete form. Write it with the discrete distribution and train "
            "relax(program, ...)"
        )
