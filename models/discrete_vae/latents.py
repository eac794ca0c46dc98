"""Which distributions may stand for the discrete latents while the model trains.

A new one is one line in `LAWS`: its name in relaxppl.numpyro and relaxppl.pyro, which latent it
stands for, and how it is built from logits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from models.common.cli import BadArgumentError

HIDDEN = 200
"""Width of the hidden layers, and of the latent code in numbers."""

Build = Callable[[type, Any, float | None], Any]


def _with_temperature(cls: type, logits: Any, temperature: float | None) -> Any:
    return cls(temperature, logits=logits)


def _without_temperature(cls: type, logits: Any, temperature: float | None) -> Any:
    return cls(logits=logits)


@dataclass(frozen=True)
class LatentKind:
    """A kind of discrete latent code.

    Attributes:
        shape: shape of the logits of one image's code; the code has as many numbers.
        default: the distribution that trains it unless told otherwise.
        event_dim: how many dimensions of `shape` one draw of the distribution takes.
    """

    shape: tuple[int, ...]
    default: str
    event_dim: int

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
}


@dataclass(frozen=True)
class Law:
    """A distribution that can train the model.

    Attributes:
        kind: the key in `KINDS` of the latent that it stands for.
        build: makes it from its class, logits and a temperature.
        temperature: the default temperature; None where the law has none.
        inverse_link: the function that takes its values to the numbers between 0 and 1 that
            the decoder reads: "sigmoid", "exp", or None where the values are those numbers.
    """

    kind: str
    build: Build
    temperature: float | None
    inverse_link: str | None = None


LAWS = {
    "RelaxedBernoulli": Law("bernoulli", _with_temperature, 0.5),
    "RelaxedBernoulliStraightThrough": Law("bernoulli", _with_temperature, 0.5),
    # The same law on the real line: no temperature is so small that its samples round to 0 or 1.
    "LogitRelaxedBernoulli": Law("bernoulli", _with_temperature, 0.5, "sigmoid"),
    "StraightThroughBernoulli": Law("bernoulli", _without_temperature, None),
    "RelaxedOneHotCategorical": Law("categorical", _with_temperature, 0.5),
    "ExpRelaxedOneHotCategorical": Law("categorical", _with_temperature, 0.5, "exp"),
    "RelaxedOneHotCategoricalStraightThrough": Law("categorical", _with_temperature, 0.5),
}


@dataclass(frozen=True)
class Latents:
    """The latent code of a run: its kind, and the host's distribution that trains it.

    Attributes:
        kind: shape and event rank of the code.
        law: how the training distribution is built.
        training_class: the host's class of that name.
        temperature: of the training distribution; None where it has none.
    """

    kind: LatentKind
    law: Law
    training_class: type
    temperature: float | None

    def training(self, logits: Any) -> Any:
        """The training distribution of codes with these logits, (..., *kind.shape)."""
        built = self.law.build(self.training_class, logits, self.temperature)
        return built.to_event(len(self.kind.shape) - self.kind.event_dim)


def choose(latent: str, distribution: str | None, temperature: float | None) -> tuple[str, Law]:
    """Pick the training distribution and check that it fits the latent.

    Args:
        latent: a key of `KINDS`.
        distribution: a key of `LAWS`, or None for the latent's default.
        temperature: what the user asked for, None for nothing.

    Returns:
        The distribution's name and its entry.

    Raises:
        BadArgumentError: the name is unknown, stands for the other latent, or has no temperature
            though one was given.
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

    Args:
        host: relaxppl.numpyro or relaxppl.pyro.
        latent: a key of `KINDS`.
        name: a key of `LAWS`.
        temperature: None for the law's default.

    Returns:
        The latents of a run.
    """
    law = LAWS[name]
    chosen = law.temperature if temperature is None else temperature
    return Latents(KINDS[latent], law, getattr(host, name), chosen)
