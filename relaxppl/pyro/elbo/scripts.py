"""Calls of compiled scripts, whose operations may run as one kernel that no mode of torch sees.

TorchScript fuses operations after a few calls, on a GPU by default. Where the arguments are tensors
a call runs its operations one by one in place of the kernel. Else what it returns and writes to is
taken for a function of all that it was given.
"""

from __future__ import annotations

from typing import Any

import torch

from relaxppl.estimators.jumps import by_jumps
from relaxppl.pyro.elbo.storages import tensors_in

_METHOD = torch._C.ScriptMethod
_CALLS = {kind: kind.__call__ for kind in (torch.jit.ScriptFunction, _METHOD)}


class watched_scripts:
    """Scripts that are called while it is entered hand on what their arguments depend on.

    :param tracker: the tracker that finds what tensors depend on.
    """

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker

    def __enter__(self) -> None:
        self.outer = {kind: kind.__call__ for kind in _CALLS}
        for kind, call in _CALLS.items():
            kind.__call__ = self._watched(call)

    def __exit__(self, *exception: Any) -> None:
        for kind, call in self.outer.items():
            kind.__call__ = call

    def _watched(self, call: Any) -> Any:
        def watched(script: Any, *args: Any, **kwargs: Any) -> Any:
            names = self.tracker.of(args, kwargs)
            if not names:
                return call(script, *args, **kwargs)
            owner = (script.owner,) if isinstance(script, _METHOD) else ()
            whole = len(owner) + len(args) == len(script.schema.arguments)
            if whole and all(isinstance(x, torch.Tensor) for x in args):
                return torch._C._jit_interpret_graph(script.inlined_graph, (*owner, *args))
            given = tensors_in((args, kwargs))
            versions = [tensor._version for tensor in given]
            out = call(script, *args, **kwargs)
            written = [t for t, v in zip(given, versions, strict=True) if t._version != v]
            for tensor in tensors_in((out,)) + written:
                if not names <= self.tracker.of(tensor):
                    self.tracker.mark(tensor, by_jumps(names))
            return out

        return watched
