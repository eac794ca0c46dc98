"""The Pyro class that every relaxation is made into."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch.distributions.utils import lazy_property

from relaxppl.pyro.constraints import CONSTRAINTS, constraint
from relaxppl.relaxations.base import OneOf, Relaxation


class RelaxedDistribution(TorchDistribution):
    """A Pyro distribution whose mathematics is a :class:`~relaxppl.relaxations.base.Relaxation`.

    A subclass names its relaxation; constructor, constraints, ``expand`` and support follow.
    """

    relaxation: ClassVar[type[Relaxation]]
    arg_constraints: dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        relaxation = cls.relaxation
        parameters = relaxation.flat_parameters()
        arrays = [p for p in parameters if not p.static]
        cls.arg_constraints = {p.name: CONSTRAINTS[p.constraint] for p in arrays}
        cls.has_rsample = relaxation.reparameterized
        cls.has_enumerate_support = relaxation.enumerable
        if isinstance(relaxation.enumerable, property):
            cls.has_enumerate_support = property(lambda self: self.law.enumerable)
        for name in relaxation.further:
            setattr(cls, name, _forwarded(relaxation, name))
        for entry in relaxation.parameters:
            if isinstance(entry, OneOf):
                for p in (p for group in entry.groups() for p in group):
                    setattr(cls, p.name, _derived(p.name))
        if cls.__doc__ is None:
            cls.__doc__ = relaxation.__doc__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            self._init(*args, **kwargs)

        __init__.__signature__ = _with_self(relaxation)  # type: ignore[attr-defined]
        __init__.__doc__ = f"Takes {', '.join(p.name for p in parameters)}."
        cls.__init__ = __init__  # type: ignore[method-assign]

    def _init(self, *args: Any, validate_args: bool | None = None, **kwargs: Any) -> None:
        given = self.relaxation.bind(args, kwargs)
        static = {p.name for p in self.relaxation.flat_parameters() if p.static}
        dtype, device = _dtype_and_device([v for n, v in given.items() if n not in static])
        ranks = {p.name: p.event_rank for p in self.relaxation.flat_parameters()}
        for name, value in given.items():
            if name not in static:
                value = torch.as_tensor(value, dtype=dtype, device=device)
                if value.ndim < ranks[name]:
                    raise ValueError(
                        f"{type(self).__name__}: {name} needs at least {ranks[name]} dimension(s) "
                        f"for the event, got shape {tuple(value.shape)}"
                    )
            self.__dict__[name] = value
        law = self.law
        law.check()
        batch_shape = torch.Size(law.batch_shape)
        self._expand_parameters(self, batch_shape)
        super().__init__(batch_shape, torch.Size(law.event_shape), validate_args=validate_args)

    def _expand_parameters(self, target: Any, batch_shape: torch.Size) -> None:
        for p in self.relaxation.flat_parameters():
            value = self.__dict__.get(p.name)
            if value is not None and not p.static:
                event = value.shape[value.ndim - p.event_rank :]
                value = value.expand(batch_shape + event)
            if value is not None:
                target.__dict__[p.name] = value

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(type(self), _instance)
        batch_shape = torch.Size(batch_shape)
        self._expand_parameters(new, batch_shape)
        super(RelaxedDistribution, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def law(self) -> Relaxation:
        """The relaxation at this distribution's parameters."""
        names = (p.name for p in self.relaxation.flat_parameters())
        return self.relaxation(**{n: self.__dict__[n] for n in names if n in self.__dict__})

    @property
    def support(self) -> Any:
        return constraint(self.law.support)

    @property
    def _reference(self) -> torch.Tensor:
        """A tensor of the parameters' dtype and device."""
        return next(self.__dict__[n] for n in self.arg_constraints if n in self.__dict__)

    def draw_noise(self, sample_shape: Any = ()) -> torch.Tensor:
        """Returns the noise of one sample, (*sample_shape, *batch_shape, *noise_shape).

        :param sample_shape: the shape of the independent draws.
        """
        shape = torch.Size(sample_shape) + self.batch_shape + torch.Size(self.law.noise_shape)
        return _NOISE[self.relaxation.noise](shape, self._reference)

    def from_noise(self, noise: torch.Tensor) -> torch.Tensor:
        """Returns the sample that the noise makes, (*sample_shape, *batch_shape, *event_shape)."""
        return self.law.sample(noise)

    def rsample(self, sample_shape: Any = torch.Size()) -> torch.Tensor:
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} is not reparameterized: use sample")
        return self.from_noise(self.draw_noise(sample_shape))

    def sample(self, sample_shape: Any = torch.Size()) -> torch.Tensor:
        with torch.no_grad():
            return self.from_noise(self.draw_noise(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_prob = self.law.log_prob(value)
        batch = torch.broadcast_shapes(
            self.batch_shape, value.shape[: value.ndim - len(self.event_shape)]
        )
        return log_prob.expand(batch)

    @property
    def mean(self) -> torch.Tensor:
        return self.law.mean().expand(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> torch.Tensor:
        return self.law.variance().expand(self.batch_shape + self.event_shape)

    def entropy(self) -> torch.Tensor:
        return self.law.entropy().expand(self.batch_shape)

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        return self.law.cdf(value)

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        return self.law.icdf(value)

    def harden(self, value: torch.Tensor) -> torch.Tensor:
        """Returns the discrete value that a relaxed one stands for, of the same shape."""
        return self.law.harden(value)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        values = self.law.enumerate_support()
        # A support that differs within the batch comes with the batch's dimensions.
        expand |= values.ndim > 1 + self.event_dim
        if values.ndim == 1 + self.event_dim:
            values = values.reshape((-1,) + (1,) * len(self.batch_shape) + self.event_shape)
        if expand:
            values = values.expand(values.shape[:1] + self.batch_shape + self.event_shape)
        return values


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


def _forwarded(relaxation: type[Relaxation], name: str) -> Any:
    original = getattr(relaxation, name)

    if isinstance(original, property):
        return property(lambda self: getattr(self.law, name), doc=original.__doc__)

    @functools.wraps(original)
    def method(self: Any, *args: Any) -> Any:
        device = self._reference.device
        return getattr(self.law, name)(*(torch.as_tensor(arg, device=device) for arg in args))

    return method


def _derived(name: str) -> Derived:
    def parameter(self: Any) -> Any:
        return getattr(self.law, name)

    parameter.__name__ = name
    parameter.__doc__ = f"The parameter {name}, derived from the alternative if that was given."
    return Derived(parameter)


def _with_self(relaxation: type[Relaxation]) -> inspect.Signature:
    signature = relaxation.signature()
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(parameters=[first, *signature.parameters.values()])
