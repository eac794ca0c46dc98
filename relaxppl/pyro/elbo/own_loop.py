"""What an ELBO learns, for a training loop in place of SVI: as a module and as parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pyro
import torch
from pyro.infer.elbo import ELBOModule

_MOVED = 100
"""By which gradient of an ELBO an optimiser has moved what the estimators learn, if ever."""


class LossModule(ELBOModule):
    """A loss as a module, whose parameters hold what the estimators learn too."""

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, torch.Tensor]]:
        yield from super().named_parameters(prefix, recurse, remove_duplicate)
        for name, leaf in self.elbo.named_parameters() if recurse else ():
            yield f"{prefix}{'.' if prefix else ''}{name}", leaf


class OwnLoop:
    """The part of an ELBO that hands out what its estimators learn: a mixin beside the host's."""

    prepare: Callable[[Any], Any]
    expects_training = True
    """Whether a hundred gradients that train nothing of its own are worth a warning."""
    _at_first: dict[str, torch.Tensor]
    """What the estimators learn, by name, as it was at the first gradient."""

    def __call__(self, model: Any, guide: Any) -> LossModule:
        """Returns the loss as a module, as the host's ELBOs do, and prepares for it.

        :param model: the model.
        :param guide: the guide.
        :returns: a module that takes the arguments of both. After its first call its parameters
            hold what the estimators learn, beside those of the model and the guide.
        """
        return LossModule(model, self.prepare(guide), self)

    def parameters(self) -> list[torch.Tensor]:
        """Returns what the estimators learn, for an optimiser of one's own.

        SVI finds these parameters by itself. A loop over ``differentiable_loss`` hands them to its
        optimiser beside those of the model and the guide. They are there after the first gradient.

        :returns: unconstrained leaf tensors, out of Pyro's parameter store.
        """
        return [leaf for _, leaf in self.named_parameters()]

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yields what the estimators learn by name, as :meth:`parameters`."""
        store = pyro.get_param_store()
        for name in self._at_first:
            if name in store:
                yield name, store[name].unconstrained()

    def _warn_unmoved(self, names: list[str], gradients: int) -> None:
        """Warns once if nothing trains what the estimators learn.

        :param names: of what they learn.
        :param gradients: how many there were.
        """
        store = pyro.get_param_store()
        if gradients == 1:
            self._at_first = {name: store[name].detach().clone() for name in names}
        if gradients != _MOVED or not self._at_first or not self.expects_training:
            return
        if all(name in store and torch.equal(store[name], x) for name, x in self._at_first.items()):
            warnings.warn(
                f"{type(self).__name__}: after {_MOVED} gradients {', '.join(self._at_first)} are "
                "what they were at the first: no optimiser holds these parameters of the "
                "estimators, which lie in Pyro's parameter store and in no module. SVI finds them "
                "by itself; in a loop of your own hand elbo.parameters() to the optimiser too, "
                "after the first gradient, or keep them fixed by learn=False",
                stacklevel=2,
            )
