"""A step of an ELBO traced once into a graph of torch operations, which later steps run alone.

What is left out is Python: the messengers, the distributions' objects, the search for dependencies.
The graph holds the gradient too, and draws random numbers anew in each run. It knows the parameters
by reference and the arguments by value, so that it serves as long as both stay of one kind; for
arguments of other shapes, or other parameters, a step is traced again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pyro
import pyro.poutine as poutine
import torch
from pyro.infer.util import torch_item
from pyro.util import warn_if_nan
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from relaxppl.pyro.elbo.engine import VERIFIED, DiscreteELBO
from relaxppl.pyro.elbo.kept import undone
from relaxppl.pyro.random_state import rewound, rng_state

_EXITS = {
    torch.Tensor.numpy: "numpy()",
    torch.Tensor.__array__: "a conversion to NumPy",
    torch.Tensor.tolist: "tolist()",
    torch.Tensor.__dlpack__: "an exchange by DLPack",
}
"""Hand numbers to Python that would be those of one step for ever."""


class _Traced(NamedTuple):
    """A step for arguments of one kind."""

    leaves: dict[str, torch.Tensor]
    """The unconstrained parameters, which the graph refers to."""
    graph: Callable[..., Any] | None
    """Returns the loss and the gradients; None until the second step of this kind."""


class Compiled:
    """The loss and the gradient of an ELBO, traced once for arguments of one kind.

    The first step of a kind runs as ever, and so do the tenth, hundredth and so on of them all:
    those make the ELBO's checks, and compare what the graph makes of the same random numbers.

    :param elbo: an ELBO of this library.
    :raises TypeError: for another loss.
    """

    def __init__(self, elbo: Any) -> None:
        if not isinstance(elbo, DiscreteELBO):
            raise TypeError(
                f"compile=True takes the ELBOs of this library, got {type(elbo).__name__}; Pyro's "
                "own have classes of their own for it, such as JitTrace_ELBO"
            )
        self.elbo = elbo
        self._traced: dict[Any, _Traced] = {}
        self._steps = 0

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """Returns the loss, and adds its gradient to the parameters' ``grad``.

        :raises RuntimeError: if the program reads a number out of a tensor in Python, or if its
            loss depends on more than its tensors.
        """
        values, spec = tree_flatten((args, kwargs))
        tensors = [x for x in values if isinstance(x, torch.Tensor)]
        key = _kind(model, guide, values, spec)
        found, self._steps = self._traced.get(key), self._steps + 1
        store = dict(pyro.get_param_store().named_parameters())
        if found is None or any(store.get(name) is not x for name, x in found.leaves.items()):
            return self._eagerly(key, model, guide, args, kwargs)
        if found.graph is None:
            graph = self._trace(found, model, guide, values, spec)
            found = self._traced[key] = found._replace(graph=graph)
        if self._steps - 1 in VERIFIED:
            self._compare(found, tensors, model, guide, args, kwargs)
            return self._eagerly(key, model, guide, args, kwargs, found)
        for name in found.leaves:  # For SVI to see which parameters there are.
            pyro.param(name)
        assert found.graph is not None
        with torch.no_grad():
            loss, grads = found.graph(*tensors)
        for leaf, grad in zip(found.leaves.values(), grads, strict=True):
            if grad is not None:
                leaf.grad = grad if leaf.grad is None else leaf.grad.add_(grad)
        loss = torch_item(loss)
        warn_if_nan(loss, "loss")
        return loss

    def _eagerly(
        self,
        key: Any,
        model: Any,
        guide: Any,
        args: Any,
        kwargs: Any,
        known: _Traced | None = None,
    ) -> float:
        with poutine.trace(param_only=True) as seen:
            loss = self.elbo.loss_and_grads(model, guide, *args, **kwargs)
        if known is None:
            leaves = {n: site["value"].unconstrained() for n, site in seen.trace.nodes.items()}
            self._check(model, guide, args, kwargs)
            self._traced[key] = _Traced(leaves, None)
        return loss

    def _check(self, model: Any, guide: Any, args: Any, kwargs: Any) -> None:
        """Refuses what an estimator keeps in Python from step to step."""
        with undone():
            programs = self.elbo.programs(model, guide, args, kwargs)
        for program in programs:
            for name, estimator in self.elbo.chosen(program).items():
                kinds = {p.kind for p in estimator.parameters(program.sites[name].candidate)}
                if kinds & {"average", "count"} or estimator.every != 1:
                    raise NotImplementedError(
                        f"compile=True: the estimator of site {name!r}, {estimator!r}, does not do "
                        "the same in each step (an average, a schedule of the steps, or "
                        "variance_every): leave compile out, or choose an option without it"
                    )

    def _trace(self, found: _Traced, model: Any, guide: Any, values: Any, spec: Any) -> Any:
        # It takes longer to import than torch's own parts.
        from torch.fx.experimental.proxy_tensor import make_fx

        elbo, leaves = self.elbo, list(found.leaves.values())
        fixed = [None if isinstance(x, torch.Tensor) else x for x in values]

        def step(*tensors: torch.Tensor) -> Any:
            given = iter(tensors)
            whole = [
                next(given) if isinstance(x, torch.Tensor) else fixed[i]
                for i, x in enumerate(values)
            ]
            args, kwargs = tree_unflatten(whole, spec)
            loss, surrogate = elbo.unverified(model, guide, args, kwargs)
            grads = [None] * len(leaves)
            if surrogate.requires_grad:
                grads = torch.autograd.grad(surrogate, leaves, allow_unused=True)
            return torch.as_tensor(loss), grads

        tensors = [x for x in values if isinstance(x, torch.Tensor)]
        try:
            # Validation looks at values. What Pyro warns of, the step before has warned of.
            with (
                rewound(),
                undone(),
                pyro.validation_enabled(False),
                _NoExit(),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                return make_fx(step)(*tensors)
        except RuntimeError as error:
            if "tracing tensor" in str(error) or "_local_scalar_dense" in str(error):
                raise RuntimeError(_READS.format("an if, item(), int() or float()")) from error
            raise

    def _compare(
        self, found: _Traced, tensors: Any, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> None:
        """Compares the graph with a run of the program at the same random numbers."""
        assert found.graph is not None
        state = rng_state()
        with rewound(state), undone(), torch.no_grad():
            here = float(found.graph(*tensors)[0])
        with rewound(state), undone():
            there = self.elbo.loss(model, guide, *args, **kwargs)
        if not _close(here, there):
            raise RuntimeError(
                f"compile=True: with the same random numbers the traced step has the loss {here:g} "
                f"and the program {there:g}: it depends on something besides its tensors, such as "
                "a number that Python counts up. Hand it as an argument, or leave compile out"
            )


def _close(one: float, other: float) -> bool:
    if one != one or other != other:
        return one != one and other != other
    return abs(one - other) <= 1e-3 * max(abs(one), abs(other), 1e-3)


_READS = (
    "compile=True: the program reads a number out of a tensor in Python, by {}, and a traced step "
    "would keep that of one step for ever. Write it with torch.where or indexing by a tensor, or "
    "leave compile out"
)


class _NoExit(TorchFunctionMode):
    """Refuses what hands numbers to Python unseen."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _EXITS:
            raise RuntimeError(_READS.format(_EXITS[func]))
        return func(*args, **(kwargs or {}))


def _kind(model: Any, guide: Any, values: list[Any], spec: Any) -> Any:
    """Returns what a graph is for: the programs, and all of the arguments but tensors' values."""
    found: list[Any] = []
    for x in values:
        if isinstance(x, torch.Tensor):
            found.append((x.shape, x.dtype, x.device, x.requires_grad))
            continue
        try:
            hash(x)
        except TypeError as error:
            raise TypeError(
                f"compile=True: an argument of the program is a {type(x).__name__}, whose values "
                "may change unseen; hand it as a tensor"
            ) from error
        found.append((type(x), x))
    return model, guide, _mode(model), _mode(guide), str(spec), tuple(found)


def _mode(program: Any) -> bool | None:
    """Returns whether a module, or the one that a method is of, is in training."""
    module = getattr(program, "__self__", program)
    return module.training if isinstance(module, torch.nn.Module) else None
