"""What a program's tensors depend on, found by watching the operations that make them.

While a :class:`Tracker` is entered every operation of torch passes by it, those inside compiled
scripts, custom autograd functions and transformations too. The tensors themselves stay as they are.
A mark, the names of the sites that a tensor depends on, is kept for its storage, which all views of
it share. A value that leaves torch, as a Python number, an array or the shape of a selection, can
reach anything that the program does afterwards; it is kept in :attr:`Tracker.escaped`.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import is_inference_mode_enabled as inferring
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from relaxppl.estimators.jumps import NONE, Names, by_jumps, plain
from relaxppl.pyro.elbo import operations
from relaxppl.pyro.elbo.operations import is_step
from relaxppl.pyro.elbo.places import IN_LAW, reading_place
from relaxppl.pyro.elbo.scripts import watched_scripts
from relaxppl.pyro.elbo.storages import base_of, key_of, reference_to, tensors_in

_GUIDE = "\1"
"""Before a name: the dependence on it came about in the guide, and reached the model unseen."""


@cache
def handed_over(names: Names) -> Names:
    """Returns the names of the sites of which the guide left the model more than their values.

    :param names: as :meth:`Tracker.of` returns them, after :meth:`Tracker.hand_over`.
    """
    return frozenset(name[1:] for name in names if name.startswith(_GUIDE))


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
        self._marks: dict[int, tuple[Callable[[], Any], Names]] = {}
        self._views: dict[int, tuple[torch.Tensor, Names]] = {}
        """Views that depend on more than their storage: rows chosen by a value."""
        self.stopped = False
        """Whether the program has turned derivatives off for the while."""
        self.written: dict[int, weakref.ref[torch.Tensor]] = {}
        """What operations wrote to, as far as it is still there."""
        self._muted = 0
        self._law: Names | None = None
        self._functions, self._operations = _Functions(self), _Operations(self)
        self._scripts = watched_scripts(self)

    def __enter__(self) -> Tracker:
        self._scripts.__enter__()
        self._functions.__enter__()
        self._operations.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._operations.__exit__(*exception)
        self._functions.__exit__(*exception)
        self._scripts.__exit__(*exception)

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
            old = self._at(key)
            if not names <= old:
                self._marks[key] = reference_to(value), old | names

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
        with torch._C.DisableTorchFunction():
            return NONE.union(*map(self._of, tensors_in(values)))

    def _at(self, key: int) -> Names:
        mark = self._marks.get(key)
        return NONE if mark is None or mark[0]() is None else mark[1]

    def _of(self, tensor: torch.Tensor) -> Names:
        found = self._at(key_of(tensor))
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
        where = reading_place()
        if where is None:
            return
        if where is IN_LAW and self._law is not None:
            self._law |= names
            return
        new = (names - self.escaped) & self.warned
        self.escaped |= by_jumps(names)
        if not new:
            return
        sites = ", ".join(map(repr, sorted(new)))
        text = (
            f"what depends on site {sites} leaves torch by {operation} at {where}: from there on "
            "every term of the bound counts as dependent on all sites drawn by then. The gradient "
            "stays unbiased, at more variance; torch operations in its place (torch.where, "
            "indexing by a tensor) keep the dependence exact"
        )
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=2)

    def note_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Notes what an operation writes to, or what that is a view of."""
        for given, position in operations.written_by(func, args, kwargs):
            tensor = base_of(given[position])
            self.written[id(tensor)] = weakref.ref(tensor)

    def kept(self) -> list[torch.Tensor]:
        """Returns the tensors that operations wrote to and that are still there."""
        found = (ref() for ref in self.written.values())
        return [tensor for tensor in found if tensor is not None]

    def _operation(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        names, shared, real = NONE, set(), False
        tags, written = operations.facts_of(func)
        read = args[1:] if "like" in tags else args
        for tensor in tensors_in(read) + (tensors_in(kwargs.values()) if kwargs else []):
            key = key_of(tensor)
            shared.add(key)
            if marked := self._at(key):
                names |= marked
                real = real or tensor.is_floating_point()
            if self._views and id(tensor) in self._views:
                names |= self._views[id(tensor)][1]
        if not names:
            return
        if self.stopped or inferring() or (tags and real and is_step(func, tags, args, kwargs)):
            names = by_jumps(names)
        if "item" in tags:
            if not self._muted:
                self.escape(names, operations.READABLE.get(func.name(), func.name()))
            return
        if "shape" in tags and not operations.of_fixed_shape(func, args):
            self.escape(names, f"the shape of what {func.name()} selects")
        made = [t for t in tensors_in((out,)) if key_of(t) not in shared]
        if written:
            made += tensors_in(operations.targets(written, args, kwargs))
        for tensor in made:
            smooth = tensor.is_floating_point() or not real
            self.mark(tensor, names if smooth else by_jumps(names))

    def _function(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func in operations.EXITS:
            names = self.of(args, kwargs)
            if names:
                self.escape(names, operations.EXITS[func])
            return func(*args, **kwargs)
        if func is operations.ONE_HOT and operations.classes_told(*args[1:], **kwargs) < 0:
            return func(*args, **kwargs)
        names = self.of(args[1:] if func in operations.LIKE else args, kwargs)
        names = by_jumps(names) if self.stopped or inferring() else names
        self._muted += 1
        try:
            out = func(*args, **kwargs)
        finally:
            self._muted -= 1
        if func is torch.Tensor.__setitem__:
            self.mark(args[0], names)
        elif func == operations.SET_DATA:
            self.mark(args[0], by_jumps(names))
        elif func is torch.Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            bounds = self.of([[i.start, i.stop, i.step] for i in index if isinstance(i, slice)])
            if bounds:
                self.escape(bounds, "the bound of a slice")
            self._view(out, args[0], names)
        elif func in operations.STOPS:
            self._view(out, args[0], by_jumps(names))
        elif isinstance(out, torch.Tensor) and not (args and out is args[0]):
            handed_on = func in operations.HANDING_ON and isinstance(args[0], torch.Tensor)
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
        """Hands on what storages do not say: of a chosen row, of a view without derivatives."""
        off = self.stopped or inferring()
        chosen = [t for t in tensors_in((args, kwargs)) if off or id(t) in self._views]
        out = func(*args, **kwargs)
        for tensor in chosen:
            names = self._views.get(id(tensor), (tensor, NONE))[1]
            for result in tensors_in((out,)):
                if result is tensor:
                    self.mark(tensor, names)
                elif off and key_of(result) == key_of(tensor):
                    self._view(result, tensor, by_jumps(self._of(tensor)))
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
        if func is operations.SET_GRAD:
            tracker.stopped = not args[0]
        elif tracker._marks:
            if func in operations.WATCHED:
                return tracker._function(func, args, kwargs or {})
            if tracker._views or tracker.stopped or inferring():
                return tracker._through_views(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)


class _Operations(TorchDispatchMode):
    """Sees every operation, whoever calls it."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operations.facts_of(func)[1]:
            self.tracker.note_written(func, args, kwargs or {})
        if not self.tracker._marks:
            return func(*args, **kwargs) if kwargs else func(*args)
        with torch._C.DisableTorchFunction():
            out = func(*args, **kwargs) if kwargs else func(*args)
            self.tracker._operation(func, args, kwargs or {}, out)
        return out
