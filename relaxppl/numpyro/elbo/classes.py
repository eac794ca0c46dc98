"""The five unbiased ELBOs.

All take ``num_particles`` and ``vectorize_particles`` as the host's ELBOs do, and ``exact_kl``:
where the KL of a guide's site to its model's is registered and exact, and provenance shows that the
mean-field condition holds for it, the KL is integrated and the estimator covers only the rest. A
site of the guide may ask for another estimator by ``infer={"estimator": name}``, the name being one
of score, rloo, disarm, rebar and relax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relaxppl.estimators.plan import Options
from relaxppl.numpyro.elbo.engine import DiscreteELBO

Vectorize = bool | Callable[..., Any]


class ScoreFunction_ELBO(DiscreteELBO):
    """The score function with each site's downstream cost only, and a baseline.

    :param num_particles: how many draws the estimate averages over.
    :param vectorize_particles: as of the host's ELBOs.
    :param baseline: None; "average", a decaying average of the site's cost; or "network", a small
        network of the array that the guide gives as ``infer={"estimator_input": ...}``, of shape
        (*plates, features). The latter two need :meth:`prepare`.
    :param decay: how much of the average stays at each step, in [0, 1).
    :param hidden: the hidden units of the network.
    :param exact_kl: whether to integrate exact KL divergences.

    Mnih & Gregor, 2014 (arXiv:1402.0030); Schulman et al., 2015 (arXiv:1506.05254).
    """

    def __init__(
        self,
        num_particles: int = 1,
        vectorize_particles: Vectorize = True,
        *,
        baseline: str | None = None,
        decay: float = 0.9,
        hidden: int = 16,
        exact_kl: bool = False,
    ) -> None:
        options = Options("score", exact_kl, baseline=baseline, decay=decay, hidden=hidden)
        super().__init__(options, num_particles, vectorize_particles)


class RLOO_ELBO(DiscreteELBO):
    """The score function, the mean cost of the other draws as each draw's baseline.

    :param num_particles: how many draws, at least 2; they share the plates' subsamples.
    :param vectorize_particles: as of the host's ELBOs.
    :param exact_kl: whether to integrate exact KL divergences.

    Kool et al., 2019, "Buy 4 REINFORCE samples, get a baseline for free".
    """

    def __init__(
        self,
        num_particles: int = 2,
        vectorize_particles: Vectorize = True,
        *,
        exact_kl: bool = False,
    ) -> None:
        if num_particles < 2:
            raise ValueError(f"RLOO_ELBO needs num_particles >= 2, got {num_particles}")
        super().__init__(Options("rloo", exact_kl), num_particles, vectorize_particles)


class DisARM_ELBO(DiscreteELBO):
    """The antithetic estimator: one more evaluation of the model at a level's mirrored draw.

    :param num_particles: how many pairs the estimate averages over.
    :param vectorize_particles: as of the host's ELBOs.
    :param exact_kl: whether to integrate exact KL divergences.

    Dong et al., 2020 (arXiv:2006.10680), and 2021 (arXiv:2106.08056) for categorical sites.
    """

    def __init__(
        self,
        num_particles: int = 1,
        vectorize_particles: Vectorize = True,
        *,
        exact_kl: bool = False,
    ) -> None:
        super().__init__(Options("disarm", exact_kl), num_particles, vectorize_particles)


class REBAR_ELBO(DiscreteELBO):
    """The score function with the model at relaxed values as its control variate.

    :param num_particles: how many draws the estimate averages over.
    :param vectorize_particles: as of the host's ELBOs.
    :param temperature: of the relaxed values; where learned, its initial value.
    :param eta: the factor of the control variate; where learned, its initial value.
    :param learn: whether temperature and factor are learned for each site, to minimise the
        gradient's variance. None: learned if the guide was prepared by :meth:`prepare`; True: an
        error if it was not; False: never.
    :param coupled: whether the two latents of the control variate share their value. Then one
        relaxed evaluation of the model serves both, at about the same variance; else two.
    :param variance_every: the temperature's gradient is computed every so many steps, on average,
        and multiplied by that number, so that its mean is that of every step; that of the factor
        costs nothing and is taken at every step.
    :param exact_kl: whether to integrate exact KL divergences.

    Tucker et al., 2017 (arXiv:1703.07370).
    """

    def __init__(
        self,
        num_particles: int = 1,
        vectorize_particles: Vectorize = True,
        *,
        temperature: float = 0.5,
        eta: float = 1.0,
        learn: bool | None = None,
        coupled: bool = True,
        variance_every: int = 1,
        exact_kl: bool = False,
    ) -> None:
        options = Options(
            "rebar",
            exact_kl,
            temperature,
            eta,
            learn,
            coupled,
            variance_every,
        )
        super().__init__(options, num_particles, vectorize_particles)


class RELAX_ELBO(DiscreteELBO):
    """The score function with a learned control variate: a network, REBAR's, or their sum.

    The network needs :meth:`prepare`.

    :param num_particles: how many draws the estimate averages over.
    :param vectorize_particles: as of the host's ELBOs.
    :param control_variate: "both", "rebar" or "network": a network of the site's relaxed value and,
        if the guide gives it, of ``infer={"estimator_input": array of (*plates, features)}``. An
        integer Categorical always uses the network alone.
    :param hidden: the hidden units of the network.
    :param temperature: as of :class:`REBAR_ELBO`.
    :param eta: as of :class:`REBAR_ELBO`.
    :param learn: as of :class:`REBAR_ELBO`, for temperature and factor; the network always learns.
    :param coupled: as of :class:`REBAR_ELBO`.
    :param variance_every: as of :class:`REBAR_ELBO`.
    :param exact_kl: whether to integrate exact KL divergences.

    Grathwohl et al., 2018 (arXiv:1711.00123).
    """

    def __init__(
        self,
        num_particles: int = 1,
        vectorize_particles: Vectorize = True,
        *,
        control_variate: str = "both",
        hidden: int = 16,
        temperature: float = 0.5,
        eta: float = 1.0,
        learn: bool | None = None,
        coupled: bool = True,
        variance_every: int = 1,
        exact_kl: bool = False,
    ) -> None:
        options = Options(
            "relax",
            exact_kl,
            temperature,
            eta,
            learn,
            coupled,
            variance_every,
            control_variate,
            hidden=hidden,
        )
        super().__init__(options, num_particles, vectorize_particles)
