"""The rows' programs on NumPyro, and the same programs written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from flax import linen, nnx
from numpyro import handlers
from numpyro.contrib.module import eqx_module, flax_module, nnx_module
from numpyro.infer import autoguide
from numpyro.primitives import mutable

import relaxppl.numpyro as rx

ROWS, FEATURES, BITS = 5, 3, 2
X = np.random.default_rng(0).normal(size=(ROWS, FEATURES)) + 1.0
WEIGHTS = {
    n: 0.5 * np.random.default_rng(i).normal(size=(FEATURES, BITS)) for i, n in enumerate("pq")
}
Net = Callable[[str, Any], Any]


def law(logits: Any, counts: bool) -> Any:
    """The law of a row's discrete site: bits, or the counts that Coupled takes."""
    return (dist.Geometric(logits=logits) if counts else dist.Bernoulli(logits=logits)).to_event(1)


def with_networks(net: Net) -> Any:
    """A program whose model and guide have a network each."""

    def program(counts: bool) -> tuple[Any, Any]:
        def model(x: Any) -> None:
            logits = net("p", x)
            w = numpyro.param("w", jnp.ones((BITS, FEATURES)))
            with numpyro.plate("rows", ROWS):
                z = numpyro.sample("z", law(logits, counts))
                numpyro.sample("x", dist.Normal(z @ w, 1.0).to_event(1), obs=x)

        def guide(x: Any) -> None:
            logits = net("q", x)
            with numpyro.plate("rows", ROWS):
                numpyro.sample("z", law(logits, counts))

        return model, guide

    return program


def by_hand(name: str, x: Any) -> Any:
    scale = numpyro.param(f"{name}.scale", jnp.ones(FEATURES))
    bias = numpyro.param(f"{name}.bias", jnp.zeros(FEATURES))
    normal = (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5)
    return (normal * scale + bias) @ numpyro.param(f"{name}.w", jnp.asarray(WEIGHTS[name]))


class NnxNet(nnx.Module):
    def __init__(self, weights: Any) -> None:
        options = {"rngs": nnx.Rngs(0), "momentum": 0.9, "dtype": float, "param_dtype": float}
        self.norm = nnx.BatchNorm(FEATURES, **options)
        # It has no argument for their precision.
        self.norm.mean = nnx.BatchStat(jnp.zeros(FEATURES))
        self.norm.var = nnx.BatchStat(jnp.ones(FEATURES))
        self.w = nnx.Param(jnp.asarray(weights))

    def __call__(self, x: Any) -> Any:
        return self.norm(x) @ self.w[...]


class EqxNet(eqx.Module):
    norm: eqx.nn.BatchNorm
    w: jax.Array

    def __init__(self, weights: Any) -> None:
        options = {"axis_name": "rows", "momentum": 0.9, "mode": "batch", "dtype": float}
        self.norm, self.w = eqx.nn.BatchNorm(FEATURES, **options), jnp.asarray(weights)

    def __call__(self, x: Any, state: Any) -> Any:
        normal, state = self.norm(x, state)
        return normal @ self.w, state


class LinenNet(linen.Module):
    name_of: str

    @linen.compact
    def __call__(self, x: Any) -> Any:
        options = {"use_running_average": False, "momentum": 0.9, "param_dtype": float}
        normal = linen.BatchNorm(**options)(x)
        return normal @ self.param("w", lambda key: jnp.asarray(WEIGHTS[self.name_of]))


def nnx_net() -> Net:
    modules = {name: NnxNet(WEIGHTS[name]) for name in WEIGHTS}
    return lambda name, x: nnx_module(name, modules[name])(x)


def eqx_net() -> Net:
    modules = {name: eqx.nn.make_with_state(EqxNet)(WEIGHTS[name]) for name in WEIGHTS}

    def net(name: str, x: Any) -> Any:
        module, first = modules[name]
        holder = mutable(f"{name}$state", {"state": first})
        axes = {"in_axes": (0, None), "out_axes": (0, None), "axis_name": "rows"}
        logits, holder["state"] = jax.vmap(eqx_module(name, module), **axes)(x, holder["state"])
        return logits

    return net


def flax_net() -> Net:
    return lambda name, x: flax_module(name, LinenNet(name), x, mutable=["batch_stats"])(x)


# A program with a continuous site beside two discrete ones, and its guides.


def mixed(x: Any) -> None:
    m = numpyro.sample("m", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    k = numpyro.sample("k", dist.Bernoulli(0.4))
    with numpyro.plate("rows", ROWS):
        z = numpyro.sample("z", law(jnp.zeros(BITS), False))
        loc = z @ jnp.ones((BITS, FEATURES)) + m[0] + k * m[1]
        numpyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def k_by_hand(x: Any) -> None:
    logits = numpyro.param("k_auto_logits", jnp.zeros(()))
    numpyro.sample("k", dist.Bernoulli(logits=logits))


def z_by_hand() -> None:
    logits = numpyro.param("z_auto_logits", jnp.zeros((ROWS, BITS)))
    with numpyro.plate("rows", ROWS):
        numpyro.sample("z", law(logits, False))


NETWORKS = {"nnx_module": nnx_net, "eqx_module": eqx_net, "flax_module": flax_net}
PARTS = ("AutoNormal", "AutoMultivariateNormal", "AutoLowRankMultivariateNormal", "AutoDelta")


@cache
def part_of(row: str) -> Any:
    """The host's guide of the continuous site, set up, which the row and its oracle share."""
    kind = getattr(autoguide, row if row in PARTS else "AutoNormal")
    part = kind(handlers.block(mixed, hide=["k", "z"]))
    handlers.seed(part, rng_seed=0)(jnp.asarray(X))
    return part


def list_of_guides() -> Any:
    guide = rx.AutoGuideList(mixed)
    guide.append(part_of("AutoNormal"))
    guide.append(k_by_hand)  # Which returns nothing, as guides mostly do.
    guide.append(rx.AutoDiscrete(handlers.block(mixed, hide=["m", "k"])))
    return guide


def programs_of(row: str, counts: bool = False) -> tuple[Any, Any]:
    """Returns the model and the guide of a row."""
    if row in NETWORKS:
        return with_networks(NETWORKS[row]())(counts)
    if row == "guide_list":
        return mixed, list_of_guides()
    if row in PARTS:
        return mixed, rx.AutoDiscrete(mixed, continuous=part_of(row))
    return with_networks(by_hand)(counts)


def written_by_hand(row: str, counts: bool = False) -> tuple[Any, Any]:
    """Returns the same program without what the row is about."""
    if row not in PARTS:
        return with_networks(by_hand)(counts)

    def guide(x: Any) -> None:
        part_of(row)(x)
        k_by_hand(x)
        z_by_hand()

    return mixed, guide


LAST = re.compile(r"\w+")


def named(params: dict[str, Any]) -> dict[str, Any]:
    """Returns parameters, or what has their names, as the program by hand calls them."""
    found = {}
    for name, value in params.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
            own = LAST.findall(name + jax.tree_util.keystr(path))
            module = name.partition("$params")[0]
            last = {"weight": "scale"}.get(own[-1], own[-1])
            found[f"{module}.{last}" if "$params" in name else name] = leaf
    return found
