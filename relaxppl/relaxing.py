"""Which relaxation stands in for which discrete site: what the ``relax`` of both hosts shares.

Nothing here knows a host's classes or handlers; each host's relax.py gives them as a :class:`Host`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from relaxppl.relaxations.base import OneOf
from relaxppl.schedules import Schedule

Factory = Callable[[Any, Any], Any]
"""Takes a discrete distribution and a temperature, and returns what stands in for it."""


class Registry:
    """From classes of discrete distributions to factories of their relaxations."""

    def __init__(self) -> None:
        self._factories: dict[type, Factory] = {}

    def register(self, cls: type, factory: Factory, replace: bool = False) -> None:
        """Makes a factory the relaxation of a class and of its subclasses.

        :raises TypeError: if cls is not a class or the factory cannot be called.
        :raises ValueError: if the class has a factory already and replace is False.
        """
        if not isinstance(cls, type) or not callable(factory):
            raise TypeError(
                "register_relaxation takes a class of distributions and a function of a "
                f"distribution and a temperature, got {cls!r} and {factory!r}"
            )
        if cls in self._factories and not replace:
            raise ValueError(
                f"{cls.__name__} has a relaxation already; pass replace=True to put another in "
                "its place"
            )
        self._factories[cls] = factory

    def find(self, cls: type) -> Factory | None:
        """Returns the factory of the first registered class in the method resolution order."""
        return next((self._factories[c] for c in cls.__mro__ if c in self._factories), None)


@dataclass(frozen=True)
class Host:
    """What differs between the hosts.

    :param registry: its registry.
    :param independent: its class of reinterpreted batch dimensions.
    :param expanded: its class of expanded distributions.
    :param masked: its class of masked distributions.
    :param categorical: its classes of integer categorical laws.
    :param relaxed: the class of this package's distributions on it.
    :param hardened: makes a distribution of (relaxed, discrete) that draws hardened values.
    :param sample: how a sample statement is spelled on it.
    """

    registry: Registry
    independent: Any
    expanded: Any
    masked: Any
    categorical: tuple[Any, ...]
    relaxed: Any
    hardened: Callable[[Any, Any], Any]
    sample: str


@dataclass(frozen=True)
class Replacement:
    """What stands at a site.

    :param fn: its distribution.
    :param read: from the value at the site to what the program gets; None for the value itself.
    """

    fn: Any
    read: Callable[[Any], Any] | None = None


_discrete_only = False


@contextmanager
def left_discrete() -> Iterator[None]:
    """Makes every ``relax`` inside do nothing: the program runs as it was written."""
    global _discrete_only
    before, _discrete_only = _discrete_only, True
    try:
        yield
    finally:
        _discrete_only = before


def check_temperature(temperature: Any) -> None:
    """Checks what is known of a temperature before the program runs.

    :raises TypeError: for a value that is neither a number, an array nor a function of the step.
    :raises ValueError: for a number that is not positive.
    """
    if isinstance(temperature, (bool, str, type)):
        raise TypeError(
            f"relax: temperature must be a positive number, an array or a schedule, got "
            f"{temperature!r}"
        )
    if isinstance(temperature, Real) and not float(temperature) > 0.0:
        raise ValueError(f"relax: temperature must be positive (> 0), got {temperature!r}")


class Plan:
    """The choice that ``relax`` makes at every site, and a record of the sites it saw.

    :param host: the host's classes.
    :param temperature: a number, an array, or a function of the step.
    :param config: None, a mapping from names of sites to a factory, a class or None, or a
        function from a site to one of these.
    :param hard: whether sites take discrete values.
    :param current_step: the host's count of steps, for a temperature that is a function.
    """

    def __init__(
        self,
        host: Host,
        temperature: Any,
        config: Any,
        hard: bool,
        current_step: Callable[[], Any],
    ) -> None:
        check_temperature(temperature)
        if not (config is None or isinstance(config, Mapping) or callable(config)):
            raise TypeError(
                "relax: config must be a dict from names of sites to factories, or a function of "
                f"the site, got {config!r}"
            )
        for name, choice in config.items() if isinstance(config, Mapping) else ():
            _check_factory(name, choice)
        self.host = host
        self.temperature = temperature
        self.config = config
        self.hard = hard
        self.current_step = current_step
        self.seen: set[str] = set()

    def begin(self) -> None:
        """Starts a run of the program: settles the temperature and forgets the sites."""
        self.seen = set()
        anneals = isinstance(self.temperature, Schedule) or callable(self.temperature)
        self.now = self.temperature(self.current_step()) if anneals else self.temperature

    def end(self) -> None:
        """Ends a run of the program.

        :raises ValueError: if the config names a site that the program does not have.
        """
        if isinstance(self.config, Mapping) and not _discrete_only:
            unknown = [name for name in self.config if name not in self.seen]
            if unknown:
                sites = ", ".join(sorted(self.seen)) or "none"
                raise ValueError(
                    f"relax: config names {', '.join(map(repr, unknown))}, but the program has no "
                    f"such sample site; its sites are: {sites}"
                )

    def at(self, name: str, fn: Any, site: Any) -> Replacement | None:
        """Returns what stands at an unobserved site, or None to leave it as it is.

        :param name: the site's name.
        :param fn: its distribution.
        :param site: the host's message, for a config that is a function.
        """
        if _discrete_only or not is_discrete(fn):
            return None
        if isinstance(self.config, Mapping):
            choice = self.config.get(name, _UNNAMED)
        else:
            choice = _UNNAMED if self.config is None else self.config(site)
            _check_factory(name, choice)
        if choice is None:
            return None
        return replace(self.host, name, fn, choice, self.now, self.hard)


_UNNAMED: Any = object()


def _check_factory(name: str, choice: Any) -> None:
    if not (choice is None or choice is _UNNAMED or callable(choice)):
        raise TypeError(
            f"relax: config maps a site to a function of (distribution, temperature), a class or "
            f"None, got {choice!r} for {name!r}"
        )


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
    while isinstance(fn, (host.independent, host.expanded, host.masked)):
        wrappers.append(fn)
        fn = fn.base_dist
    return fn, wrappers


def _wrap(host: Host, fn: Any, wrappers: list[Any]) -> Any:
    for wrapper in reversed(wrappers):
        if isinstance(wrapper, host.independent):
            fn = fn.to_event(wrapper.reinterpreted_batch_ndims)
        elif isinstance(wrapper, host.expanded):
            fn = fn.expand(wrapper.batch_shape)
        else:
            fn = fn.mask(wrapper._mask)
    return fn


def replace(
    host: Host, name: str, fn: Any, choice: Any, temperature: Any, hard: bool
) -> Replacement | None:
    """Returns what stands in for a discrete distribution at a site; None to leave it discrete.

    :param host: the host's classes.
    :param name: the site's name, for errors.
    :param fn: the site's distribution.
    :param choice: a factory, a class, or the mark of a site that the config does not name.
    :param temperature: a number or an array.
    :param hard: whether the site takes discrete values.
    :raises ValueError: naming the site, if it has no relaxation, or one of another event shape.
    """
    base, wrappers = unwrap(host, fn)
    registered = choice is _UNNAMED
    factory = host.registry.find(type(base)) if registered else choice
    if factory is None:
        raise ValueError(_no_relaxation(host, name, base))
    if isinstance(factory, type):
        factory = _from_class(name, factory)
    try:
        relaxed = factory(base, temperature)
    except (TypeError, ValueError) as error:
        kind = type(error)
        raise kind(f"relax: at the site {name!r} ({type(base).__name__}): {error}") from error

    if hasattr(relaxed, "value_of") and not is_exact(host, relaxed):
        if hard and registered:
            return None
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
            "another shape" + _hint(host, name, base)
        )
    made, exact = relaxed, is_exact(host, relaxed)
    relaxed, discrete = _broadcast(name, relaxed, discrete)
    if hard and registered:
        # The hardened draws of a registered relaxation have the discrete law: it is drawn from.
        return Replacement(fn, lambda value: _harden(made, value))
    if hard and not exact:
        _check_hardens(name, made)
        hardened = _wrap(host, host.hardened(relaxed, discrete), wrappers)
        return Replacement(_like(name, hardened, fn), lambda value: _harden(made, value))
    return Replacement(_like(name, _wrap(host, relaxed, wrappers), fn))


def is_exact(host: Host, fn: Any) -> bool:
    """Returns whether a distribution of this package has exactly discrete values."""
    return isinstance(fn, host.relaxed) and fn.law.discrete


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


def _by_weights(
    host: Host, name: str, relaxed: Any, fn: Any, wrappers: list[Any], hard: bool
) -> Replacement:
    """A relaxed number without a density: its weights stand at the site, it is read off them."""
    if hard:
        given = {p.name: vars(relaxed).get(p.name) for p in relaxed.relaxation.flat_parameters()}
        exact = type(relaxed)(**given | {"hard": True})
        return Replacement(_like(name, _wrap(host, exact, wrappers), fn))
    weights = _like(name, _wrap(host, relaxed.weights, wrappers), fn)
    shape = tuple(weights.event_shape)

    def read(value: Any) -> Any:
        if tuple(value.shape[len(value.shape) - len(shape) :]) != shape:
            raise ValueError(
                f"relax: the site {name!r} takes weights of shape {shape} here, but was given a "
                f"value of shape {tuple(value.shape)}. A guide and a model must truncate at one "
                f"size: config={{{name!r}: lambda d, t: rx.truncate(d, t, size=...)}}"
            )
        return relaxed.value_of(value)

    return Replacement(weights, read)


def _check_hardens(name: str, relaxed: Any) -> None:
    if not hasattr(relaxed, "harden"):
        raise ValueError(
            f"relax: hard=True needs to know which discrete value a relaxed one stands for, but "
            f"{type(relaxed).__name__} at the site {name!r} has no method harden; leave the site "
            f"discrete with config={{{name!r}: None}}"
        )


def _harden(relaxed: Any, value: Any) -> Any:
    # A value drawn as an integer is hard already, and keeps its type.
    if not hasattr(relaxed, "harden") or "float" not in str(value.dtype):
        return value
    return relaxed.harden(value)


def _from_class(name: str, cls: Any) -> Factory:
    """Returns the factory of a class that takes temperatures and probs or logits."""
    relaxation = getattr(cls, "relaxation", None)
    if relaxation is None:
        raise TypeError(
            f"relax: config maps {name!r} to the class {cls.__name__}, which is none of this "
            f"package's distributions: give a function (distribution, temperature) -> distribution"
        )
    single = [p for p in relaxation.parameters if not isinstance(p, OneOf)]
    temperatures = [p.name for p in single if p.name.startswith("temperature")]
    missing = [p.name for p in single if p.name not in temperatures and p.default is None]
    flat = {p.name for p in relaxation.flat_parameters()}
    if missing or "logits" not in flat:
        needs = ", ".join(missing or sorted(flat - set(temperatures)))
        raise TypeError(
            f"relax: {cls.__name__} cannot be made of probs or logits and a temperature alone (it "
            f"needs {needs}): give a function, config={{{name!r}: lambda d, temperature: "
            f"{cls.__name__}(...)}}, of the site's distribution d"
        )

    def factory(distribution: Any, temperature: Any) -> Any:
        given = probs_or_logits(distribution)
        return cls(**dict.fromkeys(temperatures, temperature), **given)

    return factory


def relaxation_of(host: Host, fn: Any, temperature: Any) -> Any:
    """Returns the registered relaxation of a distribution, in the same wrappers.

    :param host: the host's classes.
    :param fn: a discrete distribution.
    :param temperature: a positive number or array.
    :raises ValueError: if none is registered.
    """
    base, wrappers = unwrap(host, fn)
    factory = host.registry.find(type(base))
    if factory is None:
        raise ValueError(_no_relaxation(host, "...", base))
    return _wrap(host, factory(base, temperature), wrappers)


def probs_or_logits(distribution: Any) -> dict[str, Any]:
    """Returns the one of probs and logits that a discrete distribution was given, by name.

    :param distribution: a host's or this package's discrete distribution.
    """
    inner = getattr(distribution, "_categorical", distribution)
    own = vars(inner)
    if "probs" in own and own.get("_param", own["probs"]) is own["probs"]:
        return {"probs": distribution.probs}
    return {"logits": distribution.logits}


def _no_relaxation(host: Host, name: str, base: Any) -> str:
    if isinstance(base, host.categorical):
        return (
            f"relax: the site {name!r} is an integer Categorical: a relaxed value cannot be used "
            f"as an index" + _hint(host, name, base)
        )
    kind = type(base).__name__
    return (
        f"relax: the site {name!r} is a {kind}, for which no relaxation is registered. Register "
        f"one, rx.register_relaxation({kind}, lambda d, temperature: ...), or give this site one, "
        f"config={{{name!r}: lambda d, temperature: ...}}, or leave it discrete, "
        f"config={{{name!r}: None}}"
    )


def _hint(host: Host, name: str, base: Any) -> str:
    if not isinstance(base, host.categorical):
        return ""
    return (
        f". Write it one-hot,\n"
        f"    {name} = {host.sample}({name!r}, rx.OneHotCategorical(logits=logits))\n"
        f"    row = {name} @ table    # in place of table[{name}]\n"
        f"or leave it discrete with config={{{name!r}: None}}"
    )


def check_discrete(host: Host, name: str, fn: Any) -> None:
    """Checks that a latent site is no relaxation, for a bound of the discrete program.

    :param host: the host's classes.
    :param name: the site's name.
    :param fn: its distribution.
    :raises ValueError: if it is one of this package's whose values are not exactly discrete.
    """
    base, _ = unwrap(host, fn)
    if isinstance(base, host.relaxed) and not base.law.discrete:
        raise ValueError(
            f"discrete_elbo: the site {name!r} is written as a {type(base).__name__}, so the "
            "program has no discrete form. Write it with the discrete distribution and train "
            "relax(program, ...)"
        )
