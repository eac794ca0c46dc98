"""The unbiased ELBOs, one an estimator."""

from __future__ import annotations

from relaxppl.estimators.arms import ARMS
from relaxppl.estimators.coupled import Coupled
from relaxppl.estimators.disarm import DisARM
from relaxppl.estimators.local_expectation import LocalExpectation
from relaxppl.estimators.rebar import REBAR
from relaxppl.estimators.relax import RELAX
from relaxppl.estimators.reweighted_wake_sleep import ReweightedWakeSleep
from relaxppl.estimators.rloo import RLOO
from relaxppl.estimators.score import ScoreFunction
from relaxppl.estimators.vimco import VIMCO
from relaxppl.numpyro.elbo.engine import DiscreteELBO


class ScoreFunction_ELBO(DiscreteELBO, estimator=ScoreFunction): ...


class RLOO_ELBO(DiscreteELBO, estimator=RLOO): ...


class DisARM_ELBO(DiscreteELBO, estimator=DisARM): ...


class ARMS_ELBO(DiscreteELBO, estimator=ARMS): ...


class Coupled_ELBO(DiscreteELBO, estimator=Coupled): ...


class LocalExpectation_ELBO(DiscreteELBO, estimator=LocalExpectation): ...


class REBAR_ELBO(DiscreteELBO, estimator=REBAR): ...


class RELAX_ELBO(DiscreteELBO, estimator=RELAX): ...


class VIMCO_ELBO(DiscreteELBO, estimator=VIMCO): ...


class ReweightedWakeSleep_ELBO(DiscreteELBO, estimator=ReweightedWakeSleep): ...
