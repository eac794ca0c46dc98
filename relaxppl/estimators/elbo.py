"""What the ELBOs of both hosts share: an estimator, its options as arguments, and its choice."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, ClassVar

from relaxppl.estimators import kl_factor
from relaxppl.estimators.base import Estimator
from relaxppl.estimators.choice import ESTIMATORS


class EstimatorELBO:
    """An ELBO class made for an estimator: ``class NAME_ELBO(DiscreteELBO): ...``.
    One whose name does not say it does so itself, ``class Mine(DiscreteELBO, estimator=NAME)``.
    Its constructor takes the host's arguments, the estimator's options and ``exact_kl``.

    The bound is evaluated at the guide's own discrete draws, so the reported loss is an unbiased
    estimate of the negative ELBO; the estimator only decides the gradient of the discrete sites. A
    site of the guide may ask for another one by ``infer={"estimator": ...}``: its name, or an
    estimator with options of its own.

    :param num_particles: how many draws the estimate averages over, or compares.
    :param vectorize_particles: as of the host's ELBOs; or a number, how many particles are computed
        at a time, and how many of the values that local expectations try. Draws are compared with
        all others, whatever the number.
    :param exact_kl: whether to integrate the KL of a guide's site to its model's, where a rule is
        registered and exact and the mean-field condition holds; the estimator covers the rest.
        "learned" mixes the two at each discrete site by a factor that minimises the gradient's
        variance; it needs ``prepare``.
    """

    estimator_class: ClassVar[type[Estimator]]
    estimator: Estimator
    exact_kl: bool | str
    batch: int | None
    """How many runs of a program are computed at a time, where that is a number."""
    rows: tuple[str, ...] | None = None
    """Of a bound of several draws, once it was evaluated: the plates whose elements have bounds of
    their own; none where the bound is one for the whole program."""

    def __init_subclass__(cls, estimator: type[Estimator] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        named = {f"{kind.__name__}_ELBO": kind for kind in ESTIMATORS.values()}
        estimator = estimator or named.get(cls.__name__)
        if estimator is None:
            return
        cls.estimator_class = estimator
        given = list(inspect.signature(cls.__init__).parameters.values())[1:]
        hosts = [p for p in given if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        hosts[0] = hosts[0].replace(default=estimator.default_particles)
        options = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default)
            for f in fields(estimator)
            if f.name not in estimator.set_by_particles
        ]
        rest = [p for p in given if p.kind is inspect.Parameter.KEYWORD_ONLY]
        signature = inspect.Signature([*hosts, *options, *rest])
        cls.__signature__ = signature  # type: ignore[attr-defined]
        cls.__doc__ = _documented(cls.__mro__[1], estimator)

    def prepare(self, guide: Any) -> Any:
        """Returns the guide to hand to SVI, which also declares what the estimator learns."""
        raise NotImplementedError

    def _keep(
        self,
        num_particles: int | None,
        vectorize_particles: Any,
        exact_kl: bool | str,
        options: dict[str, Any],
    ) -> int:
        """Keeps what a constructor is given, and returns how many particles that makes.

        :raises TypeError: for an option that the estimator has not.
        :raises ValueError: for another value than is allowed, or if the KL is asked of a bound that
            has no KL term.
        """
        self.estimator, particles = self.estimator_of(num_particles, options)
        self.batch = self.batch_of(vectorize_particles)
        kl_factor.check(exact_kl)
        if exact_kl and self.estimator.multi_sample:
            raise ValueError(
                f"{type(self).__name__} has no KL term that could be integrated: its bound is the "
                f"log of a mean over draws. Leave exact_kl out, got {exact_kl!r}"
            )
        self.exact_kl = exact_kl
        return particles

    @staticmethod
    def batch_of(vectorize_particles: Any) -> int | None:
        """Returns how many runs of a program are computed at a time, where that is a number.

        :raises ValueError: if it is a number below 1, or of another kind.
        """
        if isinstance(vectorize_particles, bool) or callable(vectorize_particles):
            return None
        if not isinstance(vectorize_particles, int) or vectorize_particles < 1:
            raise ValueError(
                "vectorize_particles must be True, False or how many particles are computed at a "
                f"time, at least 1; got {vectorize_particles!r}"
            )
        return vectorize_particles

    @classmethod
    def estimator_of(
        cls, num_particles: int | None, options: dict[str, Any]
    ) -> tuple[Estimator, int]:
        """Returns the estimator that a constructor's arguments ask for, and how many particles.

        :raises TypeError: for an option that the estimator has not.
        """
        kind = cls.estimator_class
        known = {f.name for f in fields(kind)} - kind.set_by_particles
        for name in options.keys() - known:
            raise TypeError(
                f"{cls.__name__} has no argument {name!r}; its own are: {', '.join(sorted(known))}"
            )
        particles = kind.default_particles if num_particles is None else num_particles
        return kind.for_elbo(particles, options)


def _documented(host: type, estimator: type[Estimator]) -> str:
    """Returns an estimator's docstring, with the arguments that the host's class describes."""
    text, arguments = inspect.getdoc(estimator) or "", inspect.getdoc(host) or ""
    start = arguments.index(":param")
    taken = "".join(f":param {name}:" for name in estimator.set_by_particles)
    body, _, options = text.partition(":param")
    if taken:
        body, options = body + options.partition("\n\n")[2], ""
    head, _, source = body.rstrip().rpartition("\n\n") if not options else (body, "", "")
    parts = [head.rstrip(), arguments[start:].rstrip() + (f"\n:param{options}" if options else "")]
    return "\n\n".join([*parts, *([source] if source else [])])


def temperature_of(loss: Any) -> float | None:
    """Returns the temperature that an ELBO's estimator starts from, or None where it has none."""
    estimator = loss.estimator if isinstance(loss, EstimatorELBO) else None
    return None if estimator is None else estimator.relaxed_at
