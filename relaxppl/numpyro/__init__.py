"""relaxppl for NumPyro: ``import relaxppl.numpyro as rx``."""

try:
    import numpyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.numpyro needs NumPyro: pip install "relaxppl[numpyro]"') from error

from relaxppl.common.arviz import pareto_k as pareto_k
from relaxppl.common.public import NAMES
from relaxppl.numpyro.arviz import to_arviz as to_arviz
from relaxppl.numpyro.auto import AutoDiscrete as AutoDiscrete
from relaxppl.numpyro.bound import discrete_elbo as discrete_elbo
from relaxppl.numpyro.calibrate import calibrate as calibrate
from relaxppl.numpyro.diagnostics import compare_estimators as compare_estimators
from relaxppl.numpyro.diagnostics import gradient_stats as gradient_stats
from relaxppl.numpyro.distributions import *  # noqa: F403
from relaxppl.numpyro.divergences import kl_divergence as kl_divergence
from relaxppl.numpyro.elbo.classes import *  # noqa: F403
from relaxppl.numpyro.evidence import log_evidence as log_evidence
from relaxppl.numpyro.finite_count import FiniteCount as FiniteCount
from relaxppl.numpyro.fit import fit as fit
from relaxppl.numpyro.guide_list import AutoGuideList as AutoGuideList
from relaxppl.numpyro.laplace_bridge import laplace_bridge as laplace_bridge
from relaxppl.numpyro.laplace_bridge import laplace_bridge_inverse as laplace_bridge_inverse
from relaxppl.numpyro.recommend import recommend as recommend
from relaxppl.numpyro.registry import register_relaxation as register_relaxation
from relaxppl.numpyro.registry import relaxation_of as relaxation_of
from relaxppl.numpyro.relax import RelaxReparam as RelaxReparam
from relaxppl.numpyro.relax import relax as relax
from relaxppl.numpyro.step import count_steps as count_steps
from relaxppl.numpyro.step import current_step as current_step
from relaxppl.numpyro.truncate import truncate as truncate
from relaxppl.schedules import ConstantSchedule as ConstantSchedule
from relaxppl.schedules import CosineSchedule as CosineSchedule
from relaxppl.schedules import ExponentialSchedule as ExponentialSchedule
from relaxppl.schedules import LinearSchedule as LinearSchedule
from relaxppl.schedules import PiecewiseSchedule as PiecewiseSchedule

__all__ = list(NAMES)
