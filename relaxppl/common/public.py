"""The public names, the same on both hosts."""

from relaxppl import relaxations
from relaxppl.estimators.choice import ESTIMATORS

NAMES = (
    *relaxations.__all__,
    *(f"{estimator.__name__}_ELBO" for estimator in ESTIMATORS.values()),
    "AutoDiscrete",
    "AutoGuideList",
    "ConstantSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "FiniteCount",
    "LinearSchedule",
    "PiecewiseSchedule",
    "RelaxReparam",
    "calibrate",
    "compare_estimators",
    "count_steps",
    "current_step",
    "discrete_elbo",
    "fit",
    "gradient_stats",
    "kl_divergence",
    "laplace_bridge",
    "laplace_bridge_inverse",
    "log_evidence",
    "pareto_k",
    "recommend",
    "register_relaxation",
    "relax",
    "relaxation_of",
    "to_arviz",
    "truncate",
)
"""What ``import relaxppl.numpyro as rx`` and ``import relaxppl.pyro as rx`` have."""
