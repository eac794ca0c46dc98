"""Which distributions may stand for the discrete latents while the model trains.

A new one is one line in `LAWS`: its name in relaxppl.numpyro and relaxppl.pyro, which latent it
stands for, and how it is built from logits.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from models.common.cli import BadArgumentError
from models.discrete_vae import builds

HIDDEN = 200
"""Width of the hidden layers, and of the latent code in numbers."""


@dataclass(frozen=True)
class LatentKind:
    """A kind of discrete latent code.

    :param shape: shape of the logits of one image's code; the code has as many numbers.
    :param default: the distribution that trains it unless told otherwise.
    :param event_dim: how many dimensions of `shape` one draw of the distribution takes.
    :param unit: what the decoder divides the code by.
    """

    shape: tuple[int, ...]
    default: str
    event_dim: int
    unit: float = 1.0

    @property
    def width(self) -> int:
        """Numbers in the code of one image."""
        width = 1
        for size in self.shape:
            width *= size
        return width


KINDS = {
    "bernoulli": LatentKind((200,), "RelaxedBernoulliStraightThrough", 0),
    "categorical": LatentKind((20, 10), "RelaxedOneHotCategoricalStraightThrough", 1),
    "subset": LatentKind((40, 5), "GumbelSoftmaxTopK", 1),
    "poisson": LatentKind((100,), "Poisson", 0, unit=4.0),
    "geometric": LatentKind((100,), "Geometric", 0, unit=4.0),
}


@dataclass(frozen=True)
class Law:
    """A distribution that can train the model.

    :param kind: the key in `KINDS` of the latent that it stands for.
    :param build: makes it from its class, logits and a temperature; where there is a rank, from
        factors of the correlation too.
    :param temperature: the default temperature; None where the law has none.
    :param inverse_link: the function that takes its values to the numbers between 0 and 1 that the
        decoder reads: "sigmoid", "exp", or None where the values are those numbers.
    :param hard_logits: from the distribution and its logits to the logits of the law of its hard
        values; None where they are the same.
    :param mixed: whether training takes the exact KL of the laws of the hard values, and relaxed
        values in the likelihood. Then the training loss is no bound.
    :param kl: for a distribution whose values are discrete by themselves, the KL of two of them.
    :param rank: of the factors of a correlation that is learned; 0 where there is none.
    """

    kind: str
    build: Callable[..., Any]
    temperature: float | None
    inverse_link: str | None = None
    hard_logits: Callable[[Any, Any], Any] | None = None
    mixed: bool = False
    kl: Callable[[Any, Any], Any] | None = None
    rank: int = 0


LAWS = {
    "RelaxedBernoulli": Law("bernoulli", builds.with_temperature, 0.5),
    "RelaxedBernoulliStraightThrough": Law("bernoulli", builds.with_temperature, 0.5),
    # The same law on the real line: no temperature is so small that its samples round to 0 or 1.
    "LogitRelaxedBernoulli": Law("bernoulli", builds.with_temperature, 0.5, "sigmoid"),
    "StraightThroughBernoulli": Law("bernoulli", builds.without_temperature, None),
    "ReinMaxBernoulli": Law("bernoulli", builds.with_temperature, 1.0),
    "GumbelRaoBernoulli": Law("bernoulli", builds.with_temperature, 0.5),
    "RelaxedOneHotCategorical": Law("categorical", builds.with_temperature, 0.5),
    "ExpRelaxedOneHotCategorical": Law("categorical", builds.with_temperature, 0.5, "exp"),
    "RelaxedOneHotCategoricalStraightThrough": Law("categorical", builds.with_temperature, 0.5),
    "ReinMaxOneHotCategorical": Law("categorical", builds.with_temperature, 1.0),
    "GumbelRaoOneHotCategorical": Law("categorical", builds.with_temperature, 0.5),
    "RebarRelaxation": Law("bernoulli", builds.with_temperature, 0.5),
    "CorrelatedRelaxedBernoulli": Law("bernoulli", builds.correlated, 0.5, rank=4),
    "HardConcrete": Law("bernoulli", builds.with_temperature, 0.5, mixed=True),
    "GaussianRelaxedBernoulli": Law(
        "bernoulli", builds.gaussian_gate, 0.5, hard_logits=builds.gate_logits, mixed=True
    ),
    # Two laws of this class share no value but 0: they have no KL of their own.
    "StochasticTimesSmooth": Law("bernoulli", builds.stochastic_times_smooth, None, mixed=True),
    "DecoupledStraightThroughGumbelSoftmax": Law("categorical", builds.decoupled, 0.5),
    "InvertibleGaussian": Law(
        "categorical", builds.invertible_gaussian, 0.5, hard_logits=builds.argmax_logits
    ),
    "LogisticNormalSoftmax": Law(
        "categorical", builds.logistic_normal, 0.5, hard_logits=builds.argmax_logits
    ),
    "GumbelSoftmaxTopK": Law("subset", builds.top_k, 0.5, kl=builds.pairs_kl),
    # The law of k of n that is no draw of one item after the other.
    "SubsetStraightThrough": Law("subset", builds.subset, None, kl=builds.subsets_kl),
    "Poisson": Law("poisson", builds.poisson, 0.5, kl=builds.counts_kl),
    "Geometric": Law("geometric", builds.geometric, 0.5, kl=builds.counts_kl),
}


@dataclass(frozen=True)
class Latents:
    """The latent code of a run: its kind, and the host's distribution that trains it.

    :param kind: shape and event rank of the code.
    :param law: how the training distribution is built.
    :param training_class: the host's class of that name.
    :param temperature: of the training distribution; None where it has none.
    """

    kind: LatentKind
    law: Law
    training_class: type
    temperature: float | None

    @property
    def exact(self) -> bool:
        """Whether training takes the exact KL of the discrete laws."""
        return self.law.mixed or self.law.kl is not None

    def training(self, logits: Any, factors: Any = None) -> Any:
        """The training distribution of codes with these logits, (..., *kind.shape)."""
        return self._event(self._build(logits, factors))

    def hard_logits(self, logits: Any) -> Any:
        """Logits of the law of the hard values, of the same shape."""
        if self.law.hard_logits is None:
            return logits
        return self.law.hard_logits(self._build(logits), logits)

    def kl_from_prior(self, logits: Any) -> Any:
        """The KL of two laws with `law.kl`, element by element: the guide's, and the prior's."""
        assert self.law.kl is not None
        return self.law.kl(self._build(logits), self._build(0.0 * logits))

    def _build(self, logits: Any, factors: Any = None) -> Any:
        more = () if factors is None else (factors,)
        return self.law.build(self.training_class, logits, self.temperature, *more)

    def _event(self, built: Any) -> Any:
        # A correlated law has taken the whole code for its event already.
        return built.to_event(len(self.kind.shape) - len(built.event_shape))


def choose(latent: str, distribution: str | None, temperature: float | None) -> tuple[str, Law]:
    """Pick the training distribution and check that it fits the latent.

    :param latent: a key of `KINDS`.
    :param distribution: a key of `LAWS`, or None for the latent's default.
    :param temperature: what the user asked for, None for nothing.
    :returns: the distribution's name and its entry.
    :raises BadArgumentError: the name is unknown, stands for the other latent, or has no
        temperature though one was given.
    """
    name = distribution or KINDS[latent].default
    fitting = ", ".join(key for key, law in LAWS.items() if law.kind == latent)
    if name not in LAWS:
        raise BadArgumentError(
            "--distribution", f"{name!r} is unknown; for --latent {latent} choose from {fitting}"
        )
    law = LAWS[name]
    if law.kind != latent:
        raise BadArgumentError(
            "--distribution",
            f"{name} stands for a {law.kind} latent; for --latent {latent} choose from {fitting}",
        )
    if temperature is not None and law.temperature is None:
        raise BadArgumentError("--temperature", f"{name} has no temperature; leave it out")
    return name, law


def bind(host: ModuleType, latent: str, name: str, temperature: float | None) -> Latents:
    """Tie a training distribution to a host's class of that name.

    :param host: relaxppl.numpyro or relaxppl.pyro.
    :param latent: a key of `KINDS`.
    :param name: a key of `LAWS`.
    :param temperature: None for the law's default.
    :returns: the latents of a run.
    """
    law = LAWS[name]
    chosen = law.temperature if temperature is None else temperature
    # A count law is the host's own, and is truncated when it is built.
    own = importlib.import_module(f"{host.__name__.rpartition('.')[2]}.distributions")
    return Latents(KINDS[latent], law, getattr(host, name, None) or getattr(own, name), chosen)
