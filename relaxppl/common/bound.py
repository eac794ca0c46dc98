"""What `discrete_elbo` checks and leaves out on either host."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from relaxppl.common.relax import Host, check_discrete
from relaxppl.estimators.summed_out import is_marked


class MarkedError(Exception):
    """The model has sites to be summed out, which the host's plain ELBO would draw."""


class Refuse:
    """Refuses what has no discrete bound, or none that a draw of the guide estimates.

    A mixin beside the host's ``Messenger``.

    :param args: of the host's.
    :param guide: of the model: the names that the guide's run, which comes first, has seen.
    """

    def __init__(self, *args: Any, guide: Mapping[str, None] | None = None) -> None:
        super().__init__(*args)
        self.guide = guide
        self.host = True
        """Whether the host evaluates it, which would draw what is marked to be summed out."""
        self.seen: dict[str, None] = {}

    def meet(self, host: Host, msg: Any) -> None:
        """Checks a latent site, and leaves its estimator out.

        :raises ValueError: naming the site, if it has no discrete form.
        :raises MarkedError: if the host would draw what is marked to be summed out.
        """
        check_discrete(host, msg["name"], msg["fn"])
        self.seen[msg["name"]] = None
        infer = msg["infer"] or {}
        msg["infer"] = {key: value for key, value in infer.items() if key != "estimator"}
        if self.host and self.guide is not None and is_marked(msg, self.guide):
            raise MarkedError


def check(importance_samples: int) -> None:
    """Refuses a number of draws that makes no bound.

    With K importance samples it is that of the bound E log (1/K) sum_k p(x, z_k) / q(z_k), which
    grows with K to log p(x): for each element of the plates that every latent site lies in, added
    up, as ``VIMCO_ELBO`` has it; else one for the whole program.

    :param model: the discrete model, or that wrapped in ``relax``, which is then ignored.
    :param guide: the same of the guide.
    :param args: the arguments of model and guide.
    :param num_particles: how many draws of the guide are averaged, or how many sets of draws.
    :param importance_samples: K, how many draws make one set.
    :param vectorize_particles: as in the host's ``ELBO``.
    :param kwargs: the keyword arguments of model and guide.
    :raises ValueError: naming the site, if a site is written with a relaxed distribution, so that
        the program has no discrete form; or if K is no whole number of at least 1.
    :raises NotImplementedError: naming the site, if the model has one that the guide has not, that
        is marked to be summed out, and that cannot be.
    """
    if not isinstance(importance_samples, Integral) or importance_samples < 1:
        raise ValueError(
            "discrete_elbo: importance_samples must be a whole number of at least 1, got "
            f"{importance_samples!r}"
        )
