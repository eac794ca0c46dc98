"""What a trained guide and its model say, for ArviZ."""

from relaxppl.pyro.arviz.convert import to_arviz

__all__ = ["to_arviz"]
