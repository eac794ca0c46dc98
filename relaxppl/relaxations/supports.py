"""Why a support has no bijection with the real line, in words that both hosts give."""

from __future__ import annotations

ATOMS = (
    "this law has atoms, values with a probability of their own, and what moves on the real line, "
    "a sampler or an autoguide, never meets one. Ways out: SVI with a guide whose site is of the "
    "same class; a discrete site, which the host sums; or, of a value that is clipped, the "
    "continuous variable below it as the site (Normal, LogitRelaxedBernoulli) and the clipped "
    "value as a function of it"
)
NO_DENSITY = (
    "this law has no density, which a sampler or an autoguide needs: its log_prob says what to "
    "take instead"
)
