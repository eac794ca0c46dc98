"""What stands at one discrete site in place of its distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.common.relax.host import Host, one_hot_hint, unwrap, without_relaxation, wrap
from relaxppl.common.relax.registry import Factory, OfWeights, factory_of_class
from relaxppl.common.shell import hardens, is_exact, is_of_weights

UNNAMED: Any = object()
"""The choice at a site that the config does not name: the registered relaxation."""


@dataclass(frozen=True)
class Replacement:
    """What stands at a site.

    :param fn: its distribution.
    :param read: from the value at the site, and its distribution in all plates, to what the program
        gets; None for the value itself.
    :param made: what the factory made, where the site is relaxed.
    """

    fn: Any
    read: Callable[[Any, Any], Any] | None = None
    made: Any = None


def replace(
    host: Host, name: str, fn: Any, choice: Any, temperature: Any, hard: bool
) -> Replacement:
    """Returns what stands in for a discrete distribution at a site.

    :param host: the host's classes.
    :param name: the site's name, for errors.
    :param fn: the site's distribution.
    :param choice: a factory, a class, or ``UNNAMED``.
    :param temperature: a number or an array.
    :param hard: whether the site takes discrete values.
    :raises ValueError: naming the site, if it has no relaxation, or one of another event shape.
    """
    base, wrappers = unwrap(host, fn)
    factory = host.registry.find(type(base)) if choice is UNNAMED else choice
    if factory is None:
        raise ValueError(without_relaxation(host, name, base))
    if isinstance(factory, type):
        factory = factory_of_class(factory, name)
    if hard and choice is UNNAMED:
        return _left_hard(name, fn, factory, base, temperature)
    relaxed = _make(name, factory, base, temperature)
    if is_of_weights(relaxed) and not is_exact(relaxed):
        return _by_weights(host, name, relaxed, fn, wrappers, hard)
    if tuple(relaxed.event_shape) == tuple(base.event_shape):
        discrete = base
    elif tuple(relaxed.event_shape) == tuple(fn.event_shape):
        # The factory took dimensions of a to_event for its own, as a correlated law does.
        discrete = fn.base_dist if isinstance(fn, host.masked) else fn
        wrappers = [w for w in wrappers[:1] if isinstance(w, host.masked)]
        relaxed = relaxed.expand(fn.batch_shape)
    else:
        raise ValueError(
            f"relax: the site {name!r} has events of shape {tuple(base.event_shape)} "
            f"({type(base).__name__}), but its relaxation {type(relaxed).__name__} has events of "
            f"shape {tuple(relaxed.event_shape)}; they must be equal, or the program would see "
            "another shape" + one_hot_hint(host, name, base)
        )
    made, exact = relaxed, is_exact(relaxed)
    relaxed, discrete = _broadcast(name, relaxed, discrete)
    if hard and not exact:
        _check_hardens(name, made)
        hardened = wrap(host, host.hardened(relaxed, discrete), wrappers)
        return Replacement(_like(name, hardened, fn), _hardening(made))
    return Replacement(_like(name, wrap(host, relaxed, wrappers), fn), made=made)


def _make(name: str, factory: Factory, base: Any, temperature: Any) -> Any:
    try:
        return factory(base, temperature)
    except (TypeError, ValueError) as error:
        kind = type(error)
        raise kind(f"relax: at the site {name!r} ({type(base).__name__}): {error}") from error


def _left_hard(name: str, fn: Any, factory: Factory, base: Any, temperature: Any) -> Replacement:
    """The site as it was written: hardened draws of a registered relaxation have its law."""

    def read(value: Any, site: Any) -> Any:
        # Only a relaxed value that was substituted needs the relaxation, which for a count may be
        # impossible to make here: its size is not known under jit.
        if not _is_soft(value) or (isinstance(factory, OfWeights) and not _has_more(value, site)):
            return value
        return _hardening(_make(name, factory, base, temperature))(value, site)

    return Replacement(fn, read)


def _by_weights(
    host: Host, name: str, relaxed: Any, fn: Any, wrappers: list[Any], hard: bool
) -> Replacement:
    """A relaxed number without a density: its weights stand at the site, it is read off them."""
    if hard:
        given = {p.name: vars(relaxed).get(p.name) for p in relaxed.relaxation.flat_parameters()}
        exact = type(relaxed)(**given | {"hard": True})
        return Replacement(_like(name, wrap(host, exact, wrappers), fn), _hardening(relaxed))
    weights = _like(name, wrap(host, relaxed.weights, wrappers), fn)
    shape = tuple(weights.event_shape)

    def read(value: Any, site: Any) -> Any:
        if tuple(value.shape[len(value.shape) - len(shape) :]) != shape:
            raise ValueError(
                f"relax: the site {name!r} takes weights of shape {shape} here, but was given a "
                f"value of shape {tuple(value.shape)}. A guide and a model must truncate at one "
                f"size: config={{{name!r}: lambda d, t: rx.truncate(d, t, size=...)}}"
            )
        return relaxed.value_of(value)

    return Replacement(weights, read, relaxed)


def _hardening(relaxed: Any) -> Callable[[Any, Any], Any]:
    """Returns what reads discrete values, off relaxed ones that were substituted too."""

    def read(value: Any, site: Any) -> Any:
        if is_of_weights(relaxed):
            # The site holds a number of its law, unless the weights of a relaxed one came in.
            more = _has_more(value, site)
            return relaxed.value_of(relaxed.weights.harden(value)) if more else value
        return relaxed.harden(value) if _is_soft(value) and hardens(relaxed) else value

    return read


def _has_more(value: Any, site: Any) -> bool:
    """Returns whether a value has a dimension more than its site: that of weights."""
    return len(value.shape) > len(site.batch_shape) + len(site.event_shape)


def _is_soft(value: Any) -> bool:
    # A value drawn as an integer is hard already, and keeps its type.
    return "float" in str(value.dtype)


def _check_hardens(name: str, relaxed: Any) -> None:
    if not hardens(relaxed):
        raise ValueError(
            f"relax: hard=True needs to know which discrete value a relaxed one stands for, but "
            f"{type(relaxed).__name__} at the site {name!r} has no method harden; leave the site "
            f"discrete with config={{{name!r}: None}}"
        )


def _broadcast(name: str, relaxed: Any, discrete: Any) -> tuple[Any, Any]:
    """Returns both expanded to one batch shape: a factory may leave dimensions to broadcasting."""
    try:
        shape = np.broadcast_shapes(tuple(relaxed.batch_shape), tuple(discrete.batch_shape))
    except ValueError as error:
        raise ValueError(_batch_error(name, relaxed, discrete)) from error
    return _expanded(relaxed, shape), _expanded(discrete, shape)


def _expanded(fn: Any, shape: tuple[int, ...]) -> Any:
    return fn if tuple(fn.batch_shape) == shape else fn.expand(shape)


def _like(name: str, relaxed: Any, fn: Any) -> Any:
    try:
        return _expanded(relaxed, tuple(fn.batch_shape))
    except (ValueError, RuntimeError) as error:
        raise ValueError(_batch_error(name, relaxed, fn)) from error


def _batch_error(name: str, relaxed: Any, fn: Any) -> str:
    return (
        f"relax: the site {name!r} has batch shape {tuple(fn.batch_shape)}, but its relaxation "
        f"{type(relaxed).__name__} has {tuple(relaxed.batch_shape)}"
    )
