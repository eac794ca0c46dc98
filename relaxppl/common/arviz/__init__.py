"""What ``to_arviz`` of both hosts shares; nothing here knows a host.

``request`` holds what is asked for, ``sites`` names the dimensions, ``draws`` fills the arrays
batch by batch, ``tree`` makes ArviZ's object of them, and ``pareto`` reads the fit's k-hat off it.
"""

from relaxppl.common.arviz.pareto import pareto_k

__all__ = ["pareto_k"]
