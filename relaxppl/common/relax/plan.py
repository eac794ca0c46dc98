"""The choice that ``relax`` makes at every site of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

from relaxppl.common.relax.host import Host, is_discrete, unwrap
from relaxppl.common.relax.replacement import UNNAMED, Replacement, replace
from relaxppl.common.relax.watching import Watched, see, watching
from relaxppl.common.shell import is_exact
from relaxppl.schedules import Schedule

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


class Plan:
    """The choice that ``relax`` makes at every site, and a record of the sites it saw.

    :param host: the host's classes.
    :param temperature: a number, an array, or a function of the step.
    :param config: None, a mapping from names of sites to a factory, a class or None, or a
        function from a site to one of these.
    :param hard: whether sites take discrete values.
    :param current_step: the host's count of steps, for a temperature that is a function.
    :raises TypeError: if an argument is of the wrong kind.
    :raises ValueError: if the temperature is not positive, or a schedule that ends so.
    """

    def __init__(
        self,
        host: Host,
        temperature: Any,
        config: Any,
        hard: bool,
        current_step: Callable[[], Any],
    ) -> None:
        if temperature is None:
            raise TypeError("relax: give a temperature, relax(model, temperature=0.5)")
        _check_temperature(temperature)
        if not (config is None or isinstance(config, Mapping) or callable(config)):
            raise TypeError(
                "relax: config must be a dict from names of sites to factories, or a function of "
                f"the site, got {config!r}"
            )
        for name, choice in config.items() if isinstance(config, Mapping) else ():
            _check_factory(host, name, choice)
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
            choice = self.config.get(name, UNNAMED)
        else:
            choice = UNNAMED if self.config is None else self.config(site)
            _check_factory(self.host, name, choice)
        if choice is None:
            return None
        if not watching():
            return replace(self.host, name, fn, choice, self.now, self.hard)
        return self._watched(name, fn, choice)

    def of_strategy(self, name: str, fn: Any, site: Any) -> Any:
        """Returns the distribution that stands at a site which a reparam strategy relaxes.

        :raises ValueError: naming the site, if the program would have to read its value.
        """
        self.begin()
        replacement = self.at(name, fn, site)
        if replacement is not None and replacement.read is not None:
            raise ValueError(
                f"RelaxReparam: the relaxation of {type(fn).__name__} at {name!r} puts weights at "
                "the site, which a reparam strategy cannot turn into the number: use relax"
            )
        return fn if replacement is None else replacement.fn

    def _watched(self, name: str, fn: Any, choice: Any) -> Replacement:
        replacement = replace(self.host, name, fn, choice, self.now, hard=False)
        base, _ = unwrap(self.host, fn)
        made, registered = replacement.made, choice is UNNAMED
        discrete = is_exact(made)
        site = Watched(made, base, discrete, registered, self.now, self.temperature)
        if not see(name, site):
            return replacement
        coupled = self.host.coupled(replacement.fn, fn, site.hard)
        return Replacement(coupled, lambda value, _: site.hard(value))


def _check_temperature(temperature: Any) -> None:
    if isinstance(temperature, (bool, str, type, dict)):
        raise TypeError(
            f"relax: temperature must be a positive number, an array or a schedule, got "
            f"{temperature!r}"
        )
    span = temperature.range if isinstance(temperature, Schedule) else None
    least = temperature if isinstance(temperature, Real) else span and span[0]
    if least is not None and not float(least) > 0.0:
        raise ValueError(f"relax: temperature must be positive (> 0), got {temperature!r}")


def _check_factory(host: Host, name: str, choice: Any) -> None:
    # A distribution is callable: on both hosts it then draws.
    made = isinstance(choice, host.distribution)
    if made or not (choice is None or choice is UNNAMED or callable(choice)):
        raise TypeError(
            f"relax: config maps a site to a function of (distribution, temperature), a class or "
            f"None, got {choice!r} for {name!r}"
        )
