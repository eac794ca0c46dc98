"""The Pyro class that every relaxation is made into."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch._C import _functorch
from torch.distributions.utils import lazy_property

import relaxppl.pyro.bijections  # noqa: F401  Registers them.
from relaxppl.common.shell import Shell
from relaxppl.pyro.constraints import constraint, satisfied, wide
from relaxppl.relaxations.base import Relaxation


class RelaxedDistribution(Shell, TorchDistribution):
    """A Pyro distribution whose mathematics is a :class:`~relaxppl.relaxations.base.Relaxation`.

    A subclass names its relaxation; constructor, constraints, ``expand`` and support follow.
    """

    _validate_args: bool

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.adopt(constraint, Derived)
        cls.has_rsample = cls.relaxation.reparameterized

    def _init(self, *args: Any, validate_args: bool | None = None, **kwargs: Any) -> None:
        law = self.take(args, kwargs)
        shapes = torch.Size(law.batch_shape), torch.Size(law.event_shape)
        super().__init__(*shapes, validate_args=False)
        # None leaves the host's switch in charge, now and later.
        del self._validate_args
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()
        # One Cholesky factor for the whole batch, say, is computed once and not once an element.
        names = self.relaxation.parameter_names()
        self._compact = {n: self.__dict__[n] for n in names if n in self.__dict__}
        self._expand_parameters(self, self.batch_shape)

    @property
    def compact_law(self) -> Relaxation:
        return self._law_at(self._compact)

    def _validate_parameters(self) -> None:
        # The host's message does not say what is allowed.
        for name, requirement in self.arg_constraints.items():
            value = self.__dict__.get(name)
            # torch's constraints on matrices fail on an empty batch.
            if value is None or _inside_vmap(value) or value.numel() == 0:
                continue
            if not satisfied(requirement, value):
                raise self.refusal(name, value)

    def _validate_sample(self, value: torch.Tensor) -> None:
        if value.numel() and not _inside_vmap(value, *self._parameters().values()):
            super()._validate_sample(value)

    def _parameters(self) -> dict[str, torch.Tensor]:
        given = self.__dict__
        return {n: given[n] for n in self.arg_constraints if given.get(n) is not None}

    def _expand_parameters(self, target: Any, batch_shape: torch.Size) -> None:
        for p in self.relaxation.flat_parameters():
            value = self.__dict__.get(p.name)
            if value is not None and not p.static:
                value = value.expand(batch_shape + value.shape[value.ndim - p.event_rank :])
            if value is not None:
                target.__dict__[p.name] = value

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(type(self), _instance)
        batch_shape = torch.Size(batch_shape)
        self._expand_parameters(new, batch_shape)
        new._compact = self._compact
        super(RelaxedDistribution, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def draw_noise(self, sample_shape: Any = ()) -> torch.Tensor:
        """Returns the noise of one sample, (*sample_shape, *batch_shape, *noise_shape).

        Of parameters in half precision it is of float32.

        :param sample_shape: the shape of the independent draws.
        """
        law = self.compact_law
        shape = torch.Size(sample_shape) + self.batch_shape + torch.Size(law.noise_shape)
        return _NOISE[law.noise](shape, self._wide(self.reference))

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} is not reparameterized: use sample")
        return self.from_noise(self.draw_noise(sample_shape))

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        with torch.no_grad():
            return self.from_noise(self.draw_noise(sample_shape))

    def log_prob(self, value: Any) -> torch.Tensor:
        value = self._value(value)
        if self._validate_args:
            self._validate_sample(value)
        return self._log_prob(value)

    @staticmethod
    def _of_shape(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape)

    def _arrays(self, given: dict[str, Any]) -> dict[str, torch.Tensor]:
        dtype, device = _dtype_and_device(list(given.values()))
        return {n: torch.as_tensor(v, dtype=dtype, device=device) for n, v in given.items()}

    def _value(self, value: Any) -> torch.Tensor:
        reference = self.reference
        if not isinstance(value, torch.Tensor):
            return torch.as_tensor(value, dtype=reference.dtype, device=reference.device)
        return value if value.is_floating_point() else value.to(reference.dtype)

    def _argument(self, value: Any) -> torch.Tensor:
        return torch.as_tensor(value, device=self.reference.device)

    def _wide(self, value: Any) -> Any:
        return wide(value)

    def _narrow(self, result: torch.Tensor) -> torch.Tensor:
        return result.to(self.dtype) if result.is_floating_point() else result


def _inside_vmap(*values: torch.Tensor) -> bool:
    # A batched value has no truth value that Python could branch on.
    for value in values:
        while _functorch.is_functorch_wrapped_tensor(value):
            if _functorch.is_batchedtensor(value):
                return True
            value = _functorch.get_unwrapped(value)
    return False


def _uniform(shape: torch.Size, reference: torch.Tensor) -> torch.Tensor:
    # rand returns 0 for the whole cell below its step; a point inside stands for it, because the
    # least float would put an atom at a logit of -87.
    u = torch.rand(shape, dtype=reference.dtype, device=reference.device)
    return u.clamp(min=torch.finfo(reference.dtype).eps / 4)


def _logistic(shape: torch.Size, reference: torch.Tensor) -> torch.Tensor:
    return torch.logit(_uniform(shape, reference))


def _gumbel(shape: torch.Size, reference: torch.Tensor) -> torch.Tensor:
    return -torch.log(-torch.log(_uniform(shape, reference)))


def _normal(shape: torch.Size, reference: torch.Tensor) -> torch.Tensor:
    return torch.randn(shape, dtype=reference.dtype, device=reference.device)


_NOISE = {"uniform": _uniform, "logistic": _logistic, "gumbel": _gumbel, "normal": _normal}


def _dtype_and_device(values: list[Any]) -> tuple[torch.dtype, torch.device]:
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    dtype = torch.get_default_dtype()
    floating = [t.dtype for t in tensors if t.dtype.is_floating_point]
    if floating:
        dtype = floating[0]
        for other in floating[1:]:
            dtype = torch.promote_types(dtype, other)
    # A scalar on the CPU follows the tensors on a device, as in torch's own arithmetic.
    devices = [t.device for t in tensors if t.device.type != "cpu"] or [t.device for t in tensors]
    return dtype, devices[0] if devices else torch.device("cpu")


class Derived(lazy_property):
    """An alternative parameter that was not given, derived from the one that was.

    The host skips attributes of this type when it validates. Nothing is cached: a derived tensor
    must not keep the graph of an earlier step.
    """

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        return self if instance is None else self.wrapped(instance)
