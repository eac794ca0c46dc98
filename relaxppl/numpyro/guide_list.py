"""The host's list of guides, for models with discrete sites and parts that return nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpyro
from numpyro import handlers
from numpyro.infer import autoguide as host

from relaxppl.common.relax import is_discrete
from relaxppl.numpyro.without_sites import without_sites


class AutoGuideList(host.AutoGuideList):
    """NumPyro's ``AutoGuideList``, whose own refuses a model that has a discrete site.

    Its arguments and methods are NumPyro's. A part may be a guide by hand that returns nothing, as
    guides mostly do.
    """

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        model: Any = self.model  # type: ignore[has-type]
        with handlers.block():
            seeded = handlers.seed(model, numpyro.prng_key())
            trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        hidden = [
            name
            for name, site in trace.items()
            if site["type"] == "sample" and not site["is_observed"] and is_discrete(site["fn"])
        ]
        self.model = without_sites(model, frozenset(hidden))
        try:
            super()._setup_prototype(*args, **kwargs)
        finally:
            self.model = model

    def append(self, part: Callable[..., Any]) -> None:
        """Adds a guide for part of the model.

        :param part: an autoguide of the model with the other sites hidden by ``block``, or a
            function of the model's arguments.
        """
        super().append(part if isinstance(part, host.AutoGuide) else _ByHand(part))


class _ByHand:
    """A guide by hand, as the host's list takes it.

    :param guide: a function of the model's arguments.
    """

    def __init__(self, guide: Callable[..., Any]) -> None:
        self.guide = guide

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        returned = self.guide(*args, **kwargs)
        return returned if isinstance(returned, dict) else {}
