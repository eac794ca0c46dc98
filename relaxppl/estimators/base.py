"""The contract of an estimator, and what the estimators of one step share.

An estimator is a frozen dataclass whose fields are its options. It says which laws it takes and
what it learns, and it turns what a program is worth at the values drawn, and at others that it asks
for, into a local gradient h of each of its sites, an unbiased estimate of the gradient in the
site's logits. It does so for each draw by itself (:meth:`Estimator.local`), or for all draws of a
site at once, along a leading axis (:meth:`Estimator.compare`). One whose bound is not the ELBO but
that of all draws together gives the whole gradient (:meth:`Estimator.objective`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, TypeVar

from relaxppl import ops
from relaxppl.estimators.counts import Count
from relaxppl.estimators.laws import Draw, Law, total
from relaxppl.estimators.multi_sample import Weighted
from relaxppl.estimators.program import Learned, Program, Term, depending, reduce_to, reward
from relaxppl.estimators.sequences import Sequence as Steps
from relaxppl.estimators.site import Candidate, Site
from relaxppl.ops import Array

Arrays = dict[str, Array]

DRAW, FREE, OTHER = range(3)
"""What a site's noise is for: the latent behind its value, a second latent, other values."""


class Parameter(NamedTuple):
    """Something that an estimator learns or carries for a site."""

    name: str
    """Its name, or the prefix of a network's names."""
    kind: str
    """scalar, positive, network, average, or count: the optimiser's steps, whose name is the
    host's."""
    initial: float = 0.0
    hidden: int = 0
    """A network's hidden units. One of ``{site}.baseline`` sees the site's input alone, another the
    site's value too."""
    needed: bool = True
    """Whether the estimator cannot run without."""


class Draws(NamedTuple):
    """All draws of a site, along one more axis."""

    log_q: Array
    """A term with the gradient of log q, (*batch_shape)."""
    cost: Array
    """The sum of the terms downstream, of the same shape."""
    side: Array | None
    """The input of the site's networks, (*plates, features)."""
    scale: Array


E = TypeVar("E", bound="Estimator")


@dataclass(frozen=True)
class Estimator:
    """How the gradient of a discrete site is estimated.

    :raises ValueError: naming an option, what was given and what is allowed.
    """

    name: ClassVar[str]
    """As ``infer={"estimator": name}`` says it."""
    laws: ClassVar[tuple[type[Law] | type[Count] | type[Steps], ...] | None] = None
    """The laws that it takes; None for all, those that no estimator knows by its logits too."""
    default_particles: ClassVar[int] = 1
    compares: ClassVar[bool] = False
    """Whether its draws are only comparable on the same data."""
    set_by_particles: ClassVar[frozenset[str]] = frozenset()
    """The options that an ELBO's ``num_particles`` sets."""
    sees_all_draws: ClassVar[bool] = False
    """Whether it has :meth:`compare`, in place of :meth:`local`."""
    multi_sample: ClassVar[bool] = False
    """Whether the bound is one of all draws together: then all sites have this estimator, and it
    has :meth:`objective`, in place of both."""
    holds_draws: ClassVar[bool] = False
    """Of a bound of all draws: whether reparameterised draws carry no gradient."""
    sleep: ClassVar[Any] = 0.0
    """Of a bound of all draws: the weight of the guide's log density at what the model draws, data
    and all; 0 where nothing is drawn for it."""

    def __post_init__(self) -> None:
        for argument, (right, allowed) in self.checks().items():
            if not right:
                given = getattr(self, argument)
                raise ValueError(f"{argument} must be {allowed}, got {given!r}")

    def checks(self) -> dict[str, tuple[bool, str]]:
        """Returns by option whether it is right, and what is allowed."""
        return {}

    @classmethod
    def for_elbo(cls: type[E], num_particles: int, options: dict[str, Any]) -> tuple[E, int]:
        """Returns the estimator that an ELBO's arguments ask for, and how many particles it runs.

        :raises ValueError: if it needs more particles.
        """
        return cls(**options), num_particles

    def like(self, other: Estimator) -> Estimator:
        """Returns this estimator with the options that it has in common with another."""
        theirs = {f.name for f in fields(other)}
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        mine.update({n: getattr(other, n) for n in mine if n in theirs})
        return type(self)(**mine)

    def check(self, site: Candidate, num_particles: int) -> None:
        """Refuses a site that it cannot serve for a reason of its own.

        :raises ValueError: naming the site.
        :raises NotImplementedError: naming the site.
        """

    def takes(self, site: Candidate) -> bool:
        """Returns whether a site's law is one that it takes."""
        if self.laws is None:
            return True
        known = site.law, site.counts, site.sequence
        return not site.recurrent and any(law in self.laws for law in known)

    def relaxes(self, law: type[Law] | None) -> bool:
        """Returns whether the program runs at relaxed values of a site with this law."""
        return False

    def parameters(self, site: Candidate) -> list[Parameter]:
        """Returns what it learns or carries for a site."""
        return []

    def unprepared(self, names: list[str]) -> str | None:
        """Returns the warning where it could learn at some sites, but nothing prepared it."""
        return None

    @property
    def learning(self) -> bool | None:
        """Whether its scalars are learned; None leaves it to the ELBO's ``prepare``."""
        return False

    @property
    def relaxed_at(self) -> float | None:
        """The temperature that its relaxed values start from; None where it has none."""
        return None

    @property
    def every(self) -> int:
        """At one step in so many, on average, it learns what is dear to learn."""
        return 1

    @property
    def linear(self) -> Estimator:
        """The estimator whose h of a part of the costs is this one's change with that part."""
        return self

    @property
    def family(self) -> type[Estimator]:
        """The estimators that can share the evaluations of a level: those of one family."""
        return type(self)

    @classmethod
    def local(cls, step: Step, names: list[str]) -> Arrays:
        """Returns h of some sites of its family, by site, of the logits' shape.

        :param step: one draw of the program.
        :param names: the sites, in the guide's order.
        """
        raise NotImplementedError

    def compare(self, name: str, draws: Draws, learned: Learned, axis: int) -> Array:
        """Returns a sum over all draws of a site with the gradient of their mean times their count.

        :param name: the site.
        :param draws: along one more axis.
        :param axis: that axis.
        """
        raise NotImplementedError

    def objective(self, draws: Weighted, axis: int) -> Array:
        """Returns a sum over rows with the gradient that the bound of all draws goes up along, ().

        :param draws: along one more axis.
        :param axis: that axis.
        """
        raise NotImplementedError


class Step:
    """One draw of a program, as the estimators of its sites see it.

    :param program: after its first run.
    :param chosen: the estimator of each site.
    :param learned: their parameters.
    :param learns: whether the scalars of a site are learned.
    :param flags: by :attr:`Estimator.every` whether this is such a step; may be traced.
    :param draws: those that another step made of the same values.
    """

    def __init__(
        self,
        program: Program,
        chosen: Mapping[str, Any],
        learned: Learned,
        learns: Callable[[str], bool],
        flags: Mapping[int, Any],
        draws: dict[str, Draw] | None = None,
    ) -> None:
        self.program, self.chosen, self.learned = program, chosen, learned
        self.learns, self.flags = learns, flags
        self.draws: dict[str, Draw] = {} if draws is None else draws

    def local(self) -> Arrays:
        """Returns h of all sites whose draws stand by themselves."""
        families: dict[type[Estimator], list[str]] = {}
        for name in self.program.sites:
            estimator = self.chosen[name]
            if not estimator.sees_all_draws:
                families.setdefault(estimator.family, []).append(name)
        found: Arrays = {}
        for family, names in families.items():
            found.update(family.local(self, names))
        return {name: ops.stop_gradient(h) for name, h in found.items()}

    def surrogate(self, found: Arrays) -> Array:
        """Returns a sum whose gradient is h in the logits of each site, ()."""
        surrogate: Any = 0.0
        for name, h in found.items():
            surrogate = surrogate + total(h * self.site(name).parameters)
        return surrogate

    def site(self, name: str) -> Site:
        """Returns a site."""
        return self.program.sites[name]

    def law(self, name: str) -> Law:
        """Returns the law of a site by its logits: of its steps, where it is drawn in steps."""
        site = self.program.sites[name]
        law = site.sequence.law(site.value) if site.sequence else site.law
        assert law is not None
        return law

    def of_parameters(self, name: str, h: Array) -> Array:
        """Pulls a gradient in the logits of :meth:`law` back to the site's parameters."""
        site = self.site(name)
        return site.sequence.spread(site.value, h) if site.sequence else h

    def draw(self, name: str) -> Draw:
        """Returns a site's draw together with its latent; made at the first use."""
        if name not in self.draws:
            site, law = self.site(name), self.law(name)
            noise = self.program.noise(law.noise, tuple(law.logits.shape), site, DRAW)
            self.draws[name] = Draw(law, law.encode(site.value), noise)
        return self.draws[name]

    def free(self, name: str) -> Array:
        """Returns a latent that does not depend on the draw."""
        law = self.draw(name).law
        noise = self.program.noise(law.noise, tuple(law.logits.shape), self.site(name), FREE)
        return law.latent(noise)

    def reward(self, name: str) -> Array:
        """Returns the terms that depend on a site, shaped to broadcast against its logits."""
        return self.site(name).aligned(reward(self.program, self.site(name)))

    def cost(self, terms: Sequence[Term], name: str) -> Array:
        """Returns the same of terms at other values."""
        site = self.site(name)
        return site.aligned(reduce_to(depending(terms, name), site.frames, site.parameters))

    def add_variance_gradients(self, name: str, gradients: Arrays) -> None:
        """Hands on gradients of V = sum |h|^2 in a site's parameters."""
        for which, gradient in gradients.items():
            self.learned.learn(f"{name}.estimator.{which}", gradient)


def draws_of(program: Program, site: Site) -> Draws:
    """Returns one draw of a site for :meth:`Estimator.compare`, without the axis of the draws."""
    log_q = site.score_term()
    rank = len(log_q.shape)
    cost = ops.broadcast_to(reward(program, site), tuple(log_q.shape))

    def filled(x: Array, rank: int) -> Array:
        # The draws come along one more axis on the left, which must not meet a plate.
        shape = tuple(x.shape)
        return x.reshape((1,) * (rank - len(shape)) + shape)

    side = None if site.side is None else filled(site.side, rank + 1)
    return Draws(log_q, cost, side, filled(site.scale, rank))
