"""The rows' programs on Pyro, and the same programs written by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import autoguide
from pyro.nn import PyroModule, PyroParam

import relaxppl.pyro as rx

ROWS, FEATURES, BITS = 5, 3, 2
X = torch.tensor(np.random.default_rng(0).normal(size=(ROWS, FEATURES)) + 1.0)
WEIGHTS = {n: torch.tensor(0.5 * np.random.default_rng(i).normal(size=(FEATURES, BITS)))
           for i, n in enumerate("pq")}  # fmt: skip
W = torch.ones(BITS, FEATURES, dtype=torch.float64)


class Program(NamedTuple):
    """A model, a guide, and what there is to train and to write to.

    :param leaves: from nothing to the tensors that are trained, by name.
    :param nets: the networks by name, each with a BatchNorm.
    """

    model: Any
    guide: Any
    leaves: Callable[[], dict[str, torch.Tensor]]
    nets: dict[str, Any] = {}  # noqa: RUF012


def law(logits: Any, counts: bool) -> Any:
    """The law of a row's discrete site: bits, or the counts that Coupled takes."""
    return (dist.Geometric(logits=logits) if counts else dist.Bernoulli(logits=logits)).to_event(1)


def observe(logits: Any, x: Any, w: Any, counts: bool) -> None:
    with pyro.plate("rows", ROWS):
        z = pyro.sample("z", law(logits, counts))
        pyro.sample("x", dist.Normal(z @ w, 1.0).to_event(1), obs=x)


def guess(logits: Any, counts: bool) -> None:
    with pyro.plate("rows", ROWS):
        pyro.sample("z", law(logits, counts))


class Net(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(FEATURES).double()
        self.w = torch.nn.Parameter(WEIGHTS[name].clone())

    def forward(self, x: Any) -> Any:
        return self.norm(x) @ self.w


def leaves_of(nets: dict[str, Any], w: Callable[[], Any]) -> dict[str, torch.Tensor]:
    found = {"w": w()}
    for name, net in nets.items():
        found |= {f"{name}.w": net.w, f"{name}.scale": net.norm.weight}
        found |= {f"{name}.bias": net.norm.bias}
    return found


def stored(name: str) -> torch.Tensor:
    return pyro.get_param_store()[name].unconstrained()


def with_module(counts: bool, wrap: Callable[[Any], Any] = lambda net: net) -> Program:
    nets = {name: Net(name) for name in WEIGHTS}
    run = {name: wrap(net) for name, net in nets.items()}

    def model(x: Any) -> None:
        pyro.module("p", nets["p"])
        observe(run["p"](x), x, pyro.param("w", W.clone()), counts)

    def guide(x: Any) -> None:
        pyro.module("q", nets["q"])
        guess(run["q"](x), counts)

    return Program(model, guide, lambda: leaves_of(nets, lambda: stored("w")), nets)


class Model(PyroModule):
    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.p, self.w, self.counts = Net("p"), PyroParam(W.clone()), counts

    def forward(self, x: Any) -> None:
        observe(self.p(x), x, self.w, self.counts)


class Guide(PyroModule):
    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.q, self.counts = Net("q"), counts

    def forward(self, x: Any) -> None:
        guess(self.q(x), self.counts)


def with_pyro_module(counts: bool) -> Program:
    model, guide = Model(counts), Guide(counts)
    nets = {"p": model.p, "q": guide.q}
    return Program(model, guide, lambda: leaves_of(nets, lambda: model.w_unconstrained), nets)


def by_hand(counts: bool) -> Program:
    def net(name: str, x: Any) -> Any:
        scale = pyro.param(f"{name}.scale", torch.ones(FEATURES, dtype=torch.float64))
        bias = pyro.param(f"{name}.bias", torch.zeros(FEATURES, dtype=torch.float64))
        normal = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
        return (normal * scale + bias) @ pyro.param(f"{name}.w", WEIGHTS[name].clone())

    def model(x: Any) -> None:
        observe(net("p", x), x, pyro.param("w", W.clone()), counts)

    names = ["w", *(f"{n}.{part}" for n in WEIGHTS for part in ("w", "scale", "bias"))]
    return Program(
        model, lambda x: guess(net("q", x), counts), lambda: {n: stored(n) for n in names}
    )


# A program with a continuous site beside two discrete ones, and its guides.


def mixed(x: Any) -> None:
    zeros = torch.zeros(2, dtype=torch.float64)
    m = pyro.sample("m", dist.Normal(zeros, 1.0).to_event(1))
    k = pyro.sample("k", dist.Bernoulli(torch.tensor(0.4, dtype=torch.float64)))
    with pyro.plate("rows", ROWS):
        z = pyro.sample("z", law(zeros, False))
        loc = z @ W + m[..., :1] + (k * m[..., 1]).unsqueeze(-1)
        pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def k_by_hand(x: Any) -> None:
    logits = pyro.param("k_logits", torch.zeros((), dtype=torch.float64))
    pyro.sample("k", dist.Bernoulli(logits=logits))


def z_by_hand() -> None:
    guess(pyro.param("z_logits", torch.zeros(ROWS, BITS, dtype=torch.float64)), False)


PARTS = ("AutoNormal", "AutoMultivariateNormal", "AutoLowRankMultivariateNormal", "AutoDelta")


def part_of(row: str, model: Any) -> Any:
    """The host's guide of the continuous site."""
    return getattr(autoguide, row if row in PARTS else "AutoNormal")(model)


def leaves_of_guide(part: Any, z: Any, k: Any) -> dict[str, torch.Tensor]:
    return {"z_logits": z, "k_logits": k, **{f"part.{n}": p for n, p in part.named_parameters()}}


def list_of_guides() -> Program:
    guide = rx.AutoGuideList(mixed)
    guide.append(part_of("AutoNormal", poutine.block(mixed, hide=["k", "z"])))
    guide.append(k_by_hand)  # Which returns nothing, as guides mostly do.
    bits = rx.AutoDiscrete(poutine.block(mixed, hide=["m", "k"]))
    guide.append(bits)
    return Program(
        mixed, guide, lambda: leaves_of_guide(guide[0], bits.logits.z, stored("k_logits"))
    )


def automatic(row: str) -> Program:
    guide = rx.AutoDiscrete(mixed, continuous=lambda model: part_of(row, model))
    leaves = lambda: leaves_of_guide(guide.part, guide.logits.z, guide.logits.k)  # noqa: E731
    return Program(mixed, guide, leaves)


def guided_by_hand(row: str) -> Program:
    part = part_of(row, poutine.block(mixed, hide=["k", "z"]))

    def guide(x: Any) -> None:
        part(x)
        k_by_hand(x)
        z_by_hand()

    leaves = lambda: leaves_of_guide(part, stored("z_logits"), stored("k_logits"))  # noqa: E731
    return Program(mixed, guide, leaves)


MODULES = ("plain_loop", "ELBOModule", "ddp", "compiled_step", "PyroModule")


BACKEND = os.environ.get("TORCH_COMPILE_BACKEND", "eager")
"""Of torch.compile; "inductor" takes a minute, and is run by hand."""


def program_of(row: str, counts: bool = False) -> Program:
    """Returns the program of a row."""
    if row == "pyro_module":
        return with_module(counts)
    if row == "torch_compile":
        return with_module(counts, lambda net: torch.compile(net, backend=BACKEND))
    if row in MODULES:
        return with_pyro_module(counts)
    return list_of_guides() if row == "guide_list" else automatic(row)


def written_by_hand(row: str, counts: bool = False) -> Program:
    """Returns the same program without what the row is about."""
    return guided_by_hand(row) if row == "guide_list" or row in PARTS else by_hand(counts)
