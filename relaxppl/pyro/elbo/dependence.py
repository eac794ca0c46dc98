"""What a program's tensors depend on, found by watching the operations that make them.

While a :class:`Tracker` is entered every operation of torch passes by it, those inside compiled
scripts, custom autograd functions and transformations too. The tensors themselves stay as they are.
A mark, the names of the sites that a tensor depends on, is kept for its storage, which all views of
it share. A value that leaves torch, as a Python number, an array or the shape of a selection, can
reach anything that the program does afterwards; it is kept in :attr:`Tracker.escaped`.
"""

from __future__ import annotations

import inspect
import os
import warnings
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pyro
import torch
import torch.distributions
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from relaxppl.estimators.jumps import NONE, Names, by_jumps, plain

_GUIDE = "\1"
"""Before a name: the dependence on it came about in the guide, and reached the model unseen."""


@cache
def handed_over(names: Names) -> Names:
    """Returns the names of the sites of which the guide left the model more than their values.

    :param names: as :meth:`Tracker.of` returns them, after :meth:`Tracker.hand_over`.
    """
    return frozenset(name[1:] for name in names if name.startswith(_GUIDE))


_FACTORIES = {
    torch.tensor,
    torch.as_tensor,
    torch.asarray,
    torch.full,
    torch.full_like,
    torch.Tensor.new_tensor,
    torch.Tensor.new_full,
}
"""Make a tensor of what they are given; some read its numbers without an operation."""

_HANDING_ON = {torch.as_tensor, torch.asarray}
"""Those of them that take a tensor as it is, with its derivative."""

_LIKE = {torch.full_like, torch.Tensor.new_tensor, torch.Tensor.new_full}
"""Those of them whose first argument gives a shape, a dtype and a device, and no numbers."""

_EXITS = {
    torch.Tensor.numpy: "numpy()",
    torch.Tensor.__array__: "a conversion to NumPy",
    torch.Tensor.tolist: "tolist()",
    torch.Tensor.__dlpack__: "an exchange by DLPack",
    torch.Tensor.data_ptr: "data_ptr()",
    torch.Tensor.untyped_storage: "untyped_storage()",
    torch.Tensor.storage: "storage()",
    torch.Tensor.__repr__: "its printed form",
    torch.Tensor.__reduce_ex__: "pickle",
    torch.Tensor.apply_: "apply_()",
    torch.Tensor.map_: "map_()",
}
"""Hand numbers to what is not torch without an operation."""

_INDEXED = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
_STOPS = {torch.Tensor.detach, torch.Tensor.data.__get__}  # type: ignore[attr-defined]
_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]
_SET_GRAD = torch._C._set_grad_enabled
_ONE_HOT = torch.nn.functional.one_hot
_WATCHED = _FACTORIES | set(_EXITS) | _INDEXED | _STOPS | {_SET_DATA, _ONE_HOT}

_STEPS = tuple(
    f"aten::{name}"
    for name in (
        "round",
        "floor",
        "ceil",
        "trunc",
        "frac",
        "sign",
        "sgn",
        "heaviside",
        "fmod",
        "remainder",
        "bernoulli",
        "poisson",
        "binomial",
    )
)
"""Operations on real numbers whose results jump."""

_SHAPES = tuple(
    f"aten::{name}"
    for name in (
        *("empty_like", "zeros_like", "ones_like", "full_like"),
        *("rand_like", "randn_like", "randint_like"),
        *("new_empty", "new_empty_strided", "new_zeros", "new_ones", "new_full"),
    )
)
"""Operations that read no number of their first argument."""

_UNDECLARED = {"running_mean", "running_var"}
"""Arguments that operations write to without saying so in their schema."""

_TORCH = os.path.dirname(torch.__file__) + os.sep
_PYRO = os.path.dirname(pyro.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_LAWS = (os.path.join(_TORCH, "distributions"), os.path.join(_PYRO, "distributions"))
_MACHINERY = tuple(os.path.join(_PYRO, part) for part in ("poutine", "infer", "util.py"))
_CHECKS = ("__init__", "_validate_sample")


class Tracker:
    """Finds what each tensor depends on while it is entered.

    :attr:`escaped` holds the names of the sites whose values have left torch so far. Of those in
    :attr:`warned` there is a warning.

    :param told: warnings that were given already; new ones are added.
    """

    def __init__(self, told: set[str] | None = None) -> None:
        self.escaped: Names = NONE
        self.warned: set[str] = set()
        self._told = set() if told is None else told
        self._marks: dict[int, tuple[Any, Names]] = {}
        self._views: dict[int, tuple[torch.Tensor, Names]] = {}
        """Views that depend on more than their storage: rows chosen by a value."""
        self.stopped = False
        """Whether the program has turned derivatives off for the while."""
        self.written: dict[int, weakref.ref[torch.Tensor]] = {}
        """What operations wrote to, as far as it is still there."""
        self._muted = 0
        self._law: Names | None = None
        self._functions, self._operations = _Functions(self), _Operations(self)

    def __enter__(self) -> Tracker:
        self._functions.__enter__()
        self._operations.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._operations.__exit__(*exception)
        self._functions.__exit__(*exception)

    def copy(self, value: torch.Tensor, names: Names) -> torch.Tensor:
        """Returns a copy with a storage of its own, which depends on the names and no others."""
        with torch._C.DisableTorchFunction():
            value = value.clone()
            self._marks.pop(key_of(value), None)
        self.mark(value, names)
        return value

    def mark(self, value: torch.Tensor, names: Names) -> None:
        """Adds names to what a tensor, and all that shares its storage, depends on."""
        if not names:
            return
        with torch._C.DisableTorchFunction():
            key = key_of(value)
            old = self._marks.get(key)
            if old is None:
                # The reference keeps the address from being used again.
                self._marks[key] = _reference(value), names
            elif not names <= old[1]:
                self._marks[key] = old[0], old[1] | names

    def hand_over(self) -> None:
        """Notes that the guide has ended: what is marked by now was made there."""

        def made(names: Names) -> Names:
            return names | {_GUIDE + name for name in plain(names)}

        self._marks = {key: (ref, made(names)) for key, (ref, names) in self._marks.items()}
        self._views = {key: (view, made(names)) for key, (view, names) in self._views.items()}

    def of(self, *values: Any) -> Names:
        """Returns the names of all sites that the tensors in some values depend on.

        A name comes twice, once for :func:`jumps`, if a dependence is none that a derivative sees:
        through a comparison, a rounding, an integer, a value detached.

        :param values: tensors; tuples, lists and dicts of them; anything else depends on nothing.
        """
        if not self._marks:
            return NONE
        found = NONE
        with torch._C.DisableTorchFunction():
            for tensor in _tensors(values):
                found |= self._of(tensor)
        return found

    def _of(self, tensor: torch.Tensor) -> Names:
        mark = self._marks.get(key_of(tensor))
        found = NONE if mark is None else mark[1]
        if self._views and id(tensor) in self._views:
            found |= self._views[id(tensor)][1]
        return found

    @contextmanager
    def inside_law(self) -> Iterator[list[Names]]:
        """While a distribution of the host samples or scores: what it decides by stays within.

        :returns: a list, which after the context holds the names that it decided by.
        """
        outer, self._law = self._law, NONE
        found: list[Names] = []
        try:
            yield found
        finally:
            found.append(self._law)
            self._law = outer

    def escape(self, names: Names, operation: str) -> None:
        """Notes that values which depend on some sites have left torch."""
        where = _where()
        if where is None:
            return
        if where is _IN_LAW and self._law is not None:
            self._law |= names
            return
        new = (names - self.escaped) & self.warned
        self.escaped |= by_jumps(names)
        if not new:
            return
        sites = ", ".join(map(repr, sorted(new)))
        text = (
            f"what depends on site {sites} leaves torch by {operation} at {where}: from there on "
            "every term of the bound counts as dependent on it. The gradient stays unbiased, at "
            "more variance; torch operations in its place (torch.where, indexing by a tensor) keep "
            "the dependence exact"
        )
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=2)

    def note_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Notes what an operation writes to, or what that is a view of."""
        for given, position in written_by(func, args, kwargs):
            tensor = base_of(given[position])
            self.written[id(tensor)] = weakref.ref(tensor)

    def kept(self) -> list[torch.Tensor]:
        """Returns the tensors that operations wrote to and that are still there."""
        found = (ref() for ref in self.written.values())
        return [tensor for tensor in found if tensor is not None]

    def _operation(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        names, shared, real = NONE, set(), False
        tags, written = _facts(func)
        read = args[1:] if "like" in tags else args
        for tensor in _tensors(read) + _tensors(kwargs.values()):
            key = key_of(tensor)
            shared.add(key)
            if key in self._marks:
                names |= self._marks[key][1]
                real = real or tensor.is_floating_point()
            if self._views and id(tensor) in self._views:
                names |= self._views[id(tensor)][1]
        if not names:
            return
        if "step" in tags or self.stopped:
            names = by_jumps(names)
        if "item" in tags:
            if not self._muted:
                self.escape(names, _READABLE.get(func.name(), func.name()))
            return
        if "shape" in tags and not _of_fixed_shape(func, args):
            self.escape(names, f"the shape of what {func.name()} selects")
        for position in written:
            value = kwargs.get(position) if isinstance(position, str) else args[position]
            for tensor in _tensors((value,)):
                self.mark(tensor, names)
        for tensor in _tensors((out,)):
            if key_of(tensor) not in shared:
                smooth = tensor.is_floating_point() or not real
                self.mark(tensor, names if smooth else by_jumps(names))

    def _function(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func in _EXITS:
            names = self.of(args, kwargs)
            if names:
                self.escape(names, _EXITS[func])
            return func(*args, **kwargs)
        if func is _ONE_HOT and _classes(*args[1:], **kwargs) < 0:
            return func(*args, **kwargs)
        names = self.of(args[1:] if func in _LIKE else args, kwargs)
        self._muted += 1
        try:
            out = func(*args, **kwargs)
        finally:
            self._muted -= 1
        if func is torch.Tensor.__setitem__:
            self.mark(args[0], names)
        elif func == _SET_DATA:
            self.mark(args[0], by_jumps(names))
        elif func is torch.Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            bounds = self.of([[i.start, i.stop, i.step] for i in index if isinstance(i, slice)])
            if bounds:
                self.escape(bounds, "the bound of a slice")
            self._view(out, args[0], names)
        elif func in _STOPS:
            self._view(out, args[0], by_jumps(names))
        elif isinstance(out, torch.Tensor):
            handed_on = func in _HANDING_ON and isinstance(args[0], torch.Tensor)
            self.mark(out, names if handed_on else by_jumps(names))
        return out

    def _view(self, out: Any, base: torch.Tensor, names: Names) -> None:
        """Marks a result that depends on more than its storage."""
        if not isinstance(out, torch.Tensor) or not names or names <= self._of(out):
            return
        if key_of(out) == key_of(base):
            # Kept, for its id not to be used again.
            self._views[id(out)] = out, names
        else:
            self.mark(out, names)

    def _through_views(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Hands on what a chosen row depends on, as its storage does not say it."""
        chosen = [t for t in _tensors((args, kwargs)) if id(t) in self._views]
        out = func(*args, **kwargs)
        for tensor in chosen:
            names = self._views[id(tensor)][1]
            for result in _tensors((out,)):
                if result is tensor:
                    self.mark(tensor, names)
                else:
                    self._view(result, tensor, names)
        return out


class _Functions(TorchFunctionMode):
    """Sees the calls that read numbers without an operation."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tracker = self.tracker
        if func is _SET_GRAD:
            tracker.stopped = not args[0]
        elif tracker._marks:
            if func in _WATCHED:
                return tracker._function(func, args, kwargs or {})
            if tracker._views:
                return tracker._through_views(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)


class _Operations(TorchDispatchMode):
    """Sees every operation, whoever calls it."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _facts(func)[1]:
            self.tracker.note_written(func, args, kwargs or {})
        if not self.tracker._marks:
            return func(*args, **kwargs) if kwargs else func(*args)
        with torch._C.DisableTorchFunction():
            out = func(*args, **kwargs) if kwargs else func(*args)
            self.tracker._operation(func, args, kwargs or {}, out)
        return out


_READABLE = {
    "aten::_local_scalar_dense": "a Python number (an if, item(), int(), float(), an index)",
    "aten::equal": "torch.equal",
}
_IN_LAW = "inside a distribution"


@cache
def _facts(func: Any) -> tuple[Names, tuple[Any, ...]]:
    """Returns how an operation lets values out, and which arguments it writes to."""
    tags = set()
    if torch.Tag.data_dependent_output in func.tags:
        tags.add("item")
    if torch.Tag.dynamic_output_shape in func.tags:
        tags.add("shape")
    if func.name().split(".")[0].rstrip("_") in _STEPS:
        tags.add("step")
    if func.name().split(".")[0] in _SHAPES:
        tags.add("like")
    written: list[Any] = []
    for i, argument in enumerate(func._schema.arguments):
        declared = argument.alias_info is not None and argument.alias_info.is_write
        if declared or argument.name in _UNDECLARED:
            written.append(argument.name if argument.kwarg_only else i)
    return frozenset(tags), tuple(written)


def written_by(func: Any, args: Any, kwargs: Any) -> list[tuple[Any, Any]]:
    """Returns where among its arguments an operation is given the tensors that it writes to.

    :returns: pairs of ``args`` or ``kwargs`` and a position in it.
    """
    found: list[tuple[Any, Any]] = []
    for position in _facts(func)[1]:
        given = kwargs if isinstance(position, str) else args
        there = position in kwargs if isinstance(position, str) else position < len(args)
        if there and isinstance(given[position], torch.Tensor):
            found.append((given, position))
    return found


def _classes(num_classes: int = -1, **kwargs: Any) -> int:
    """Returns how many classes a one-hot encoding is told of; it reads values to check them."""
    return num_classes


def _of_fixed_shape(func: Any, args: Any) -> bool:
    """Returns whether an indexing takes integers only: masks alone decide shapes."""
    if not func.name().startswith("aten::index"):
        return False
    masks = (torch.bool, torch.uint8)
    return all(index is None or index.dtype not in masks for index in args[1])


def key_of(tensor: torch.Tensor) -> int:
    """Returns a number that tensors share which share memory."""
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError:  # A sparse tensor has no storage.
        return -id(tensor)


def base_of(tensor: torch.Tensor) -> torch.Tensor:
    """Returns the tensor that one is a view of, or itself."""
    return tensor if tensor._base is None else tensor._base


def _reference(tensor: torch.Tensor) -> Any:
    try:
        return StorageWeakRef(tensor.untyped_storage())
    except NotImplementedError:
        return tensor


def _tensors(values: Iterable[Any]) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list, set)):
            found += _tensors(value)
        elif isinstance(value, dict):
            found += _tensors(value.values())
    return found


def _where() -> str | None:
    """Returns the line of the program that reads a value; None for a check of the host's."""
    frame: Any = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        if file.startswith(_LAWS):
            if code.co_name in _CHECKS:
                return None
            caller = frame.f_back
            while caller is not None and caller.f_code.co_filename.startswith((_TORCH, *_LAWS)):
                if caller.f_code.co_name in _CHECKS and caller.f_code.co_filename.startswith(_LAWS):
                    return None
                caller = caller.f_back
            return _IN_LAW
        if file.startswith(_MACHINERY):
            return None
        if file.startswith(_OURS) and file != __file__:
            return None
        if not file.startswith(_TORCH) and file != __file__:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown place"
