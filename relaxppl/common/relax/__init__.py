"""What the ``relax`` of both hosts shares: which relaxation stands in for which discrete site.

Nothing here knows a host's classes or handlers; each host's registry.py gives them as a
:class:`Host`.
"""

from relaxppl.common.relax.handler import Handler, Strategy
from relaxppl.common.relax.host import FLAGS, Host, check_discrete, is_discrete, unwrap
from relaxppl.common.relax.plan import Plan, left_discrete
from relaxppl.common.relax.registry import OfWeights, Registry, factory_of_class
from relaxppl.common.relax.replacement import Replacement

__all__ = [
    "FLAGS",
    "Handler",
    "Host",
    "OfWeights",
    "Plan",
    "Registry",
    "Replacement",
    "Strategy",
    "check_discrete",
    "factory_of_class",
    "is_discrete",
    "left_discrete",
    "unwrap",
]
