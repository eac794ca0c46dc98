"""relaxppl for Pyro: ``import relaxppl.pyro as rx``."""

try:
    import pyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.pyro needs Pyro: pip install "relaxppl[pyro]"') from error

from pyro.infer.autoguide import AutoGuideList as AutoGuideList

from relaxppl.common.arviz import pareto_k as pareto_k
from relaxppl.common.public import NAMES
from relaxppl.pyro.arviz import to_arviz as to_arviz
from relaxppl.pyro.auto import AutoDiscrete as AutoDiscrete
from relaxppl.pyro.bound import discrete_elbo as discrete_elbo
from relaxppl.pyro.calibrate import calibrate as calibrate
from relaxppl.pyro.diagnostics import compare_estimators as compare_estimators
from relaxppl.pyro.diagnostics import gradient_stats as gradient_stats
from relaxppl.pyro.distributions import *  # noqa: F403
from relaxppl.pyro.divergences import kl_divergence as kl_divergence
from relaxppl.pyro.elbo.classes import *  # noqa: F403
from relaxppl.pyro.evidence import log_evidence as log_evidence
from relaxppl.pyro.finite_count import FiniteCount as FiniteCount
from relaxppl.pyro.fit import fit as fit
from relaxppl.pyro.laplace_bridge import laplace_bridge as laplace_bridge
from relaxppl.pyro.laplace_bridge import laplace_bridge_inverse as laplace_bridge_inverse
from relaxppl.pyro.recommend import recommend as recommend
from relaxppl.pyro.registry import register_relaxation as register_relaxation
from relaxppl.pyro.registry import relaxation_of as relaxation_of
from relaxppl.pyro.relax import RelaxReparam as RelaxReparam
from relaxppl.pyro.relax import relax as relax
from relaxppl.pyro.step import count_steps as count_steps
from relaxppl.pyro.step import current_step as current_step
from relaxppl.pyro.truncate import truncate as truncate
from relaxppl.schedules import ConstantSchedule as ConstantSchedule
from relaxppl.schedules import CosineSchedule as CosineSchedule
from relaxppl.schedules import ExponentialSchedule as ExponentialSchedule
from relaxppl.schedules import LinearSchedule as LinearSchedule
from relaxppl.schedules import PiecewiseSchedule as PiecewiseSchedule

__all__ = list(NAMES)
