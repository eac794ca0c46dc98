"""The joint laws of variables that a guide draws in sequence."""

from __future__ import annotations

from relaxppl.pyro.shell import RelaxedDistribution
from relaxppl.relaxations import autoregressive, prefix_tree


class PrefixTree(RelaxedDistribution):
    relaxation = prefix_tree.PrefixTree


class Autoregressive(RelaxedDistribution):
    relaxation = autoregressive.Autoregressive
