"""The private names of the hosts that the library relies on: all of them, and as they were.

A host may change these without notice. Then this file fails first, and says what changed; a new use
of something private fails here until it is listed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import jax
import numpyro
import pyro
import pytest
import torch
from pyro.poutine.subsample_messenger import SubsampleMessenger

import relaxppl

PACKAGE = Path(relaxppl.__file__).parent
HOSTS = ("numpyro", "pyro", "torch", "jax")

# Module and name, to the names of its parameters, or to its type where it is not called.
IMPORTED = {
    ("numpyro.optim", "_NumPyroOptim"): ("optim_fn", "args", "kwargs"),
    ("numpyro.primitives", "_PYRO_STACK"): list,
    ("numpyro.util", "_validate_model"): ("model_trace", "plate_warning"),
    ("pyro.poutine.runtime", "_PYRO_STACK"): list,
    ("torch._C", "_functorch"): type(ast),
    ("torch.utils._python_dispatch", "TorchDispatchMode"): type,
    ("torch.utils._pytree", "tree_flatten"): ("tree", "is_leaf"),
    ("torch.utils._pytree", "tree_unflatten"): ("leaves", "treespec"),
}

_TRACERS: list[object] = []
jax.make_jaxpr(lambda x: _TRACERS.append(x) or x)(1.0)

# Attributes that are read or called, by a string too, to objects of the hosts that have them.
ATTRIBUTES: dict[str, tuple[object, ...]] = {
    "_C": (torch,),
    "_cdata": (torch.ones(2).untyped_storage(),),
    "_categorical": (torch.distributions.OneHotCategorical(torch.ones(2)),),
    "_get_checked_instance": (torch.distributions.Distribution,),
    "_guess_max_plate_nesting": (pyro.infer.Trace_ELBO(),),
    "_jit_interpret_graph": (torch._C,),
    "_local_scalar_dense": (torch.ops.aten,),
    "_mask": (
        numpyro.distributions.MaskedDistribution(numpyro.distributions.Normal(), False),
        pyro.distributions.Normal(0.0, 1.0).mask(torch.tensor(False)),
    ),
    "_process_message": (pyro.poutine.messenger.Messenger(),),
    "_prototype_frame_full_sizes": (numpyro.infer.autoguide.AutoNormal(lambda: None),),
    "_schema": (torch.ops.aten.add.Tensor,),
    "_set_grad_enabled": (torch._C,),
    "_subsample": (SubsampleMessenger,),
    "_version": (torch.ones(2),),
}

# Those that the package's own definitions of the same name hide from the search.
HIDDEN: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(
        ("_create_plates", "_setup_prototype"),
        (numpyro.infer.autoguide.AutoGuide, pyro.infer.autoguide.AutoGuide),
    ),
    "_base": (torch.ones(2).expand(3, 2),),
    "_batch_shape": (numpyro.distributions.Normal(),),
    "_param": (
        torch.distributions.Bernoulli(0.5),
        torch.distributions.Categorical(torch.ones(2)),
    ),
    "_prototype_frames": (
        numpyro.infer.autoguide.AutoNormal(lambda: None),
        pyro.infer.autoguide.AutoNormal(lambda: None),
    ),
    "_trace": tuple(_TRACERS),
}


def syntax() -> list[ast.AST]:
    return [n for f in PACKAGE.rglob("*.py") for n in ast.walk(ast.parse(f.read_text()))]


def private_imports() -> set[tuple[str, str]]:
    """What the package imports from a host under a private name or from a private module."""
    found = set()
    for node in syntax():
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in HOSTS:
            for alias in node.names:
                parts = f"{node.module}.{alias.name}".split(".")
                if any(part.startswith("_") for part in parts):
                    found.add((node.module, alias.name))
    return found


def private_attributes() -> set[str]:
    """The private attributes that the package reads and nowhere defines itself."""
    used, own = set(), set()
    for node in syntax():
        if isinstance(node, ast.Attribute):
            # What is set on anything but self is the host's, as a patched function.
            of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
            (own if isinstance(node.ctx, ast.Store) and of_self else used).add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # The host's, unless the package defines it: getattr(x, "_name"), vars(x)["_name"].
            used.update(re.findall(r"^_[A-Za-z]\w*$", node.value))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Assign):
            own.update(t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
    own.add("_replace")  # A named tuple's, and public.
    # Parts of names that users see.
    own |= {
        "_hard",
        "_dim",
        "_dim_",
        "_draws",
        "_free",
        "_joint",
        "_class",
        "_ELBO",
        "_probability",
    }
    # In the names of torch's operations that jump; most of them are run in test_pyro_tracker.py.
    own |= {"_airy_", "_backward", "_bessel_", "_foreach_", "_histogramdd", "_polynomial_"}
    own |= {"_cdist_forward", "_pdist_forward", "_prelu_kernel"}
    # By which JAX's own functions are known: without it they would count as a user's, and
    # test_numpyro_jumps.py would fail.
    own |= {"_src", "_erfcx", "_prim"}
    own.add("_scan_current_index")  # In NumPyro's infer dict of a site: its own tests say so.
    own.add("_enumerate_dim")  # What Pyro's replay of a site's infer dict looks for.
    return {n for n in used - own if n.startswith("_") and not n.startswith("__")}


def test_the_lists_are_complete_and_as_short_as_they_can_be() -> None:
    assert private_imports() == set(IMPORTED)
    assert private_attributes() == set(ATTRIBUTES)


@pytest.mark.parametrize(("module", "name"), IMPORTED)
def test_a_private_name_is_what_it_was(module: str, name: str) -> None:
    expected = IMPORTED[module, name]
    host = importlib.import_module(module)
    assert hasattr(host, name), f"{module} has no {name} any more, which relaxppl uses"
    found = getattr(host, name)
    if isinstance(expected, tuple):
        parameters = tuple(inspect.signature(found).parameters)
        assert parameters == expected, f"{module}.{name} takes {parameters}, no more {expected}"
    else:
        assert isinstance(found, expected), f"{module}.{name} is a {type(found).__name__} now"


@pytest.mark.parametrize("name", ATTRIBUTES | HIDDEN)
def test_a_private_attribute_is_where_it_was(name: str) -> None:
    for owner in (ATTRIBUTES | HIDDEN)[name]:
        kind = owner if isinstance(owner, type) else type(owner)
        assert hasattr(owner, name), f"{kind.__name__} has no {name} any more"


def test_the_patched_function_takes_what_it_took() -> None:
    parameters = tuple(inspect.signature(SubsampleMessenger._subsample).parameters)
    assert parameters[:4] == ("name", "size", "subsample_size", "subsample"), parameters
