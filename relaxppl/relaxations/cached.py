"""What a law derives from its parameters once."""

from __future__ import annotations

import functools
from typing import Any


class cached_property(functools.cached_property[Any]):
    """That of functools without the lock of Python 3.11, at which torch.compile ends its graph."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        cache, name = instance.__dict__, self.attrname
        if name not in cache:
            cache[name] = self.func(instance)
        return cache[name]
