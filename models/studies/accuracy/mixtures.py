"""Rows of unknown classes, below what the classes share."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from models.studies.accuracy.hosts import Fit, Host
from relaxppl import ops

Theta = Mapping[str, Any]
"""What the classes share, by site: ``share``, (..., K), and more."""


class Mixture(NamedTuple):
    """A mixture, written once for both hosts.

    :param size: how many rows.
    :param above: samples what is above the rows.
    :param log_likelihood: of every row in every class, (..., rows, K).
    :param observe: samples the data of all rows, given the classes' parameters and indicators of
        each row's class, (..., rows, K).
    :param draws: of the posterior of the guide that knows the classes' parameters.
    """

    size: int
    above: Callable[[Host], Theta]
    log_likelihood: Callable[[Host, Theta], Any]
    observe: Callable[[Host, Theta, Any], None]
    draws: int = 10_000

    def model(self, host: Host) -> None:
        """Samples what is shared, each row's class ``z``, and the data."""
        theta = self.above(host)
        eye = host.array(np.eye(theta["share"].shape[-1]))
        with host.lib.plate("row", self.size):
            z = host.lib.sample("z", host.dist.Categorical(theta["share"]))
            self.observe(host, theta, eye[z])

    def programs(self, host: Host) -> tuple[Callable[[], Any], Mapping[str, Fit]]:
        """Returns the model, and how its guides are made."""
        lib = host.lib

        def model() -> None:
            self.model(host)

        def scores(theta: Theta) -> Any:
            return self.log_likelihood(host, theta) + ops.log(theta["share"])

        def summed() -> None:
            theta = self.above(host)
            with lib.plate("row", self.size):
                lib.factor("y", ops.logsumexp(scores(theta), axis=-1))

        start = {"init_loc_fn": host.init_to_median}
        continuous = lib.infer.autoguide.AutoMultivariateNormal(summed, **start)

        def guide() -> None:
            logits = scores(continuous())
            with lib.plate("row", self.size):
                lib.sample("z", host.dist.Categorical(logits=logits))

        apart = host.rx.AutoDiscrete(model, **start)
        draws = {"num_particles": 8}
        return model, {
            "mean field": Fit(apart, "LocalExpectation_ELBO", steps=300, draws=4000),
            # The sum over classes in the model trains the same bound as the guide that draws them,
            # which are drawn from their exact law: more of them for one draw above add nothing.
            "dependent": Fit(guide, "Trace_ELBO", draws, continuous, summed, 1000, 1, self.draws),
        }
