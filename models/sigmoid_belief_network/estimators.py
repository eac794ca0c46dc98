"""The estimators of the table, and the ELBO that each one is.

A new one is one line in `ESTIMATORS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from models.common.cli import BadArgumentError


@dataclass(frozen=True)
class Estimator:
    """A row of the table.

    :param elbo: the class of that name in relaxppl.numpyro and relaxppl.pyro; None for the host's
        own TraceGraph_ELBO.
    :param options: further arguments of the class.
    :param particles: draws of the guide in a step, unless told otherwise.
    :param temperature: where the relaxation starts; None where there is none.
    :param prepared: whether the ELBO learns or remembers something, so that it prepares the guide.
    :param sees_image: whether a network of the estimator reads the image beside the code.
    :param relaxed: whether the sites themselves are straight-through, and the gradient biased.
    """

    elbo: str | None
    options: Mapping[str, Any] = field(default_factory=dict)
    particles: int = 1
    temperature: float | None = None
    prepared: bool = False
    sees_image: bool = False
    relaxed: bool = False


ESTIMATORS = {
    "score": Estimator("ScoreFunction_ELBO"),
    "score-average": Estimator("ScoreFunction_ELBO", {"baseline": "average"}, prepared=True),
    "score-network": Estimator(
        "ScoreFunction_ELBO", {"baseline": "network"}, prepared=True, sees_image=True
    ),
    "rloo": Estimator("RLOO_ELBO", particles=4),
    "disarm": Estimator("DisARM_ELBO"),
    "rebar": Estimator("REBAR_ELBO", temperature=0.1, prepared=True),
    "rebar-fixed": Estimator("REBAR_ELBO", {"learn": False}, temperature=0.5),
    "relax": Estimator("RELAX_ELBO", temperature=0.1, prepared=True),
    "relax-network": Estimator(
        "RELAX_ELBO", {"control_variate": "network", "hidden": 100}, prepared=True
    ),
    "straight-through": Estimator("ScoreFunction_ELBO", temperature=0.5, relaxed=True),
    "tracegraph": Estimator(None),
}
ALL = tuple(ESTIMATORS)


@dataclass(frozen=True)
class Choice:
    """An estimator with what the user asked for.

    :param name: the key in `ESTIMATORS`.
    :param exact_kl: whether the KL of the codes is integrated.
    :param particles: draws of the guide in a step.
    :param temperature: of the relaxation; None where there is none.
    """

    name: str
    exact_kl: bool
    particles: int
    temperature: float | None

    @property
    def row(self) -> Estimator:
        """The estimator's line in the table."""
        return ESTIMATORS[self.name]


def choose(
    given: Sequence[str], exact_kl: bool, particles: int | None, temperature: float | None
) -> list[Choice]:
    """Read a list of estimators and check that each can run as asked.

    :param given: keys of `ESTIMATORS`, or lists of them with commas between, or "all".
    :param exact_kl: as of `Choice`; the host's TraceGraph_ELBO always samples the KL.
    :param particles: draws in a step; None for each estimator's own.
    :param temperature: None for each estimator's own.
    :returns: one choice for each name, in the order given.
    :raises BadArgumentError: a name is unknown or repeated, or an option does not suit it.
    """
    chosen = [name.strip() for names in given for name in names.split(",")]
    if chosen == ["all"]:
        chosen = list(ALL)
    for name in chosen:
        if name not in ESTIMATORS or chosen.count(name) > 1:
            problem = "is repeated" if name in ESTIMATORS else "is unknown"
            raise BadArgumentError(
                "--estimator",
                f"{name!r} {problem}; choose some of {', '.join(ALL)}, or all",
            )
    if particles == 1 and "rloo" in chosen:
        raise BadArgumentError(
            "--particles", "rloo compares draws: 1 is not allowed; give 2 or more"
        )
    if temperature is not None and all(ESTIMATORS[n].temperature is None for n in chosen):
        raise BadArgumentError(
            "--temperature", f"{', '.join(chosen)}: no temperature here; leave it out"
        )
    return [
        Choice(
            name,
            exact_kl and ESTIMATORS[name].elbo is not None,
            particles or ESTIMATORS[name].particles,
            None
            if ESTIMATORS[name].temperature is None
            else temperature or ESTIMATORS[name].temperature,
        )
        for name in chosen
    ]


def build(choice: Choice, ours: ModuleType, tracegraph: type, **host: Any) -> Any:
    """The ELBO of a choice.

    :param choice: the estimator.
    :param ours: relaxppl.numpyro or relaxppl.pyro.
    :param tracegraph: the host's TraceGraph_ELBO.
    :param host: further arguments that every ELBO of the host takes.
    :returns: an object that the host's SVI takes as its loss.
    """
    row = choice.row
    if row.elbo is None:
        return tracegraph(num_particles=choice.particles, **host)
    options = dict(row.options)
    if choice.temperature is not None and not row.relaxed:
        options["temperature"] = choice.temperature
    return getattr(ours, row.elbo)(
        num_particles=choice.particles, exact_kl=choice.exact_kl, **options, **host
    )
