"""The joint laws of variables that a guide draws in sequence."""

from __future__ import annotations

from relaxppl.numpyro.shell import RelaxedDistribution
from relaxppl.relaxations import autoregressive


class Autoregressive(RelaxedDistribution):
    relaxation = autoregressive.Autoregressive
