"""A row of the table on NumPyro: what each of its cells does, and what that is compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpyro.infer import SVI, Trace_ELBO

import relaxppl.numpyro as rx
from tests.composition import on_numpyro as rows

KEY = jax.random.key(0)


def close(found: Any, expected: Any, rtol: float = 1e-7) -> None:
    found, expected = rows.named(found), rows.named(expected)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=rtol)


def make(elbo: str) -> Any:
    return getattr(rx, f"{elbo}_ELBO")()


def relaxed(elbo: str, program: tuple[Any, Any]) -> tuple[Any, Any, Any]:
    """Returns a loss, and the model and guide that go with it: for "relax" the host's."""
    model, guide = program
    if elbo == "relax":
        return Trace_ELBO(), rx.relax(model, temperature=0.5), rx.relax(guide, temperature=0.5)
    loss = make(elbo)
    return loss, model, loss.prepare(guide)


def gradient(loss: Any, model: Any, guide: Any) -> Callable[..., Any]:
    """Returns a function of parameters, state and data: loss, gradient and new state."""

    def of(params: Any, state: Any, x: Any) -> Any:
        def value(params: Any) -> Any:
            given = {**params, **jax.tree.map(lambda x: x, state)}
            found = loss.loss_with_mutable_state(KEY, given, model, guide, x)
            return found["loss"], found["mutable_state"]

        return jax.value_and_grad(value, has_aux=True)(params)

    return of


@cache
def reference(row: str, elbo: str) -> Callable[..., Any]:
    """The gradient of a program by hand, compiled once for all rows that it is the oracle of."""
    return jax.jit(gradient(*relaxed(elbo, rows.written_by_hand(row, elbo == "Coupled"))))


def by_hand_of(row: str) -> str:
    """Returns one name for all rows that have the same program by hand."""
    if row == "guide_list":
        return "AutoNormal"
    return row if row in rows.PARTS else "by_hand"


class Case:
    """The cells of a row."""

    def __init__(self, row: str) -> None:
        self.row, self.x = row, jnp.asarray(rows.X)

    def svi(self, elbo: str) -> SVI:
        loss, model, guide = relaxed(elbo, rows.programs_of(self.row, elbo == "Coupled"))
        return SVI(model, guide, numpyro.optim.SGD(0.1), loss)

    def elbo(self, elbo: str) -> None:
        """The loss and the gradient are those of the program by hand."""
        svi = self.svi(elbo)
        step = gradient(svi.loss, svi.model, svi.guide)

        @jax.jit
        def run(x: Any) -> Any:
            first = svi.init(KEY, x)
            params, state = svi.get_params(first), first.mutable_state or {}
            return params, state, step(params, state, x)

        params, state, ((loss, new), grads) = run(self.x)
        plain = reference(by_hand_of(self.row), elbo)
        own = {n: x for n, x in state.items() if not n.endswith("$state")}
        (expected, _), plain_grads = plain(rows.named(params), own, jnp.asarray(rows.X))
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        close(grads, plain_grads, 1e-6)
        assert all(np.isfinite(x).all() for x in rows.named(grads).values())
        self.check_state(new or {}, state)

    def check_state(self, new: Any, state: Any) -> None:
        """The state has moved once, as by the host's own ELBO, however often the program ran."""
        names = sorted(n for n in state if n.endswith("$state"))
        assert names == (["p$state", "q$state"] if self.row in rows.NETWORKS else [])
        if not names:
            return
        once = state_by_host(self.row)
        for n in names:
            leaves = jax.tree.leaves(new[n]), jax.tree.leaves(once[n]), jax.tree.leaves(state[n])
            for moved, expected, before in zip(*leaves, strict=True):
                np.testing.assert_allclose(moved, expected, rtol=1e-6)
                assert np.asarray(before).ndim == 0 or not np.allclose(moved, before)

    def relax(self) -> None:
        self.elbo("relax")

    # What is done with trained parameters.

    def fitted(self) -> tuple[SVI, Any]:
        """Returns SVI and its state after some steps, however the row trains."""
        svi = self.svi("DisARM")
        # The host's automatic guides cannot be set up inside a compiled function.
        plain = by_hand_of(self.row) == "by_hand"
        return svi, (jax.jit(svi.init) if plain else svi.init)(KEY, self.x)

    def tool(self) -> tuple[Any, Any, Any, Any]:
        """Returns model, guide, the parameters with the state, and those of the row by hand."""
        svi, state = self.fitted()
        params = svi.get_params(state)
        own = {n: x for n, x in (state.mutable_state or {}).items() if ".baseline." not in n}
        return svi.model, svi.guide.guide, {**params, **own}, rows.named(params)

    def by_hand(self) -> tuple[Any, Any]:
        return rows.written_by_hand(by_hand_of(self.row))

    def discrete_elbo(self) -> None:
        model, guide, params, plain = self.tool()
        options = {"rng_key": KEY, "num_particles": 20}
        found = rx.discrete_elbo(model, guide, params, self.x, **options)
        expected = rx.discrete_elbo(*self.by_hand(), plain, jnp.asarray(rows.X), **options)
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def gradient_stats(self) -> None:
        model, guide, params, plain = self.tool()
        options = {"num_draws": 20, "exact": False}
        elbo = make("DisARM")
        found = rx.gradient_stats(elbo, model, guide, params, self.x, **options)
        expected = rx.gradient_stats(elbo, *self.by_hand(), plain, jnp.asarray(rows.X), **options)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
        by_name = {_short(name): value for name, value in found.mean.items()}
        assert by_name.keys() == expected.mean.keys()
        for name, value in expected.mean.items():
            np.testing.assert_allclose(by_name[name], value, rtol=1e-5, atol=1e-6)

    def to_arviz(self) -> None:
        svi, state = self.fitted()
        plain = rows.named(svi.get_params(state))
        options = {"rng_key": KEY, "num_draws": 10}
        data = rx.to_arviz(svi, state, self.x, **options)
        expected = rx.to_arviz(*self.by_hand(), plain, jnp.asarray(rows.X), **options)
        for group in ("posterior", "log_likelihood"):
            one, other = data[group], expected[group]
            assert set(one.data_vars) == set(other.data_vars)
            for name in other.data_vars:
                np.testing.assert_allclose(one[name].values, other[name].values, rtol=1e-6)

    def recommend(self) -> None:
        model, guide, params, _ = self.tool()
        found = rx.recommend(model, guide, self.x, params=params, seconds=0.5, num_draws=4, tune=1)
        assert found.loss is not None
        assert "measured below" in str(found)


def _short(name: str) -> str:
    """Returns the name of a parameter in the program by hand from that in a measurement."""
    module, found, rest = name.partition("$params")
    if not found:
        return name
    last = rows.LAST.findall(rest)[-1]
    return f"{module}.{ {'weight': 'scale'}.get(last, last) }"


@cache
def state_by_host(row: str) -> Any:
    """The state after one evaluation of the host's Trace_ELBO."""
    model, guide = rows.programs_of(row)

    @jax.jit
    def run(x: Any) -> Any:
        svi = SVI(model, guide, numpyro.optim.SGD(0.1), Trace_ELBO())
        first = svi.init(KEY, x)
        given = {**svi.get_params(first), **first.mutable_state}
        return Trace_ELBO().loss_with_mutable_state(KEY, given, model, guide, x)["mutable_state"]

    return run(jnp.asarray(rows.X))


class Trained(Case):
    """A row about how SVI trains; its cells of ELBOs train two steps."""

    def fitted(self) -> tuple[SVI, Any]:
        svi = self.svi("DisARM")
        result = svi.run(KEY, 2, self.x, progress_bar=False, **self.options)
        return svi, result.state

    options: ClassVar[dict[str, Any]] = {}

    def steps(self, svi: SVI, update: Any, *data: Any) -> list[dict[str, Any]]:
        """Returns the parameters before and after each step, compiled once."""
        state, run = jax.jit(svi.init)(KEY, self.x), jax.jit(update)
        found = [svi.get_params(state)]
        for x in data:
            state = run(state, x)[0]
            found.append(svi.get_params(state))
        return found


class Optax(Trained):
    """Clipped steps by a schedule that stops after the first."""

    chain = optax.chain(
        optax.clip(1e-3),
        optax.scale_by_schedule(lambda i: jnp.where(i < 1, 2.0, 0.0)),
        optax.scale(-1),
    )

    def svi(self, elbo: str) -> SVI:
        svi = super().svi(elbo)
        return SVI(svi.model, svi.guide, self.chain, svi.loss)

    def elbo(self, elbo: str) -> None:
        svi = self.svi(elbo)
        first, second, third = self.steps(svi, svi.update, self.x, self.x)
        for name in first:
            moved = np.abs(second[name] - first[name]).max()
            assert moved <= 2e-3 * (1 + 1e-9)
            # The last layer of RELAX's network is zero at first, and those before it have to wait.
            assert moved > 0 or ".estimator." in name
            np.testing.assert_array_equal(second[name], third[name])
        np.testing.assert_allclose(np.abs(second["w"] - first["w"]).max(), 2e-3, rtol=1e-9)


class StableUpdate(Trained):
    options: ClassVar[dict[str, Any]] = {"stable_update": True}

    def elbo(self, elbo: str) -> None:
        svi = self.svi(elbo)
        first, second, third = self.steps(svi, svi.stable_update, self.x, self.x * jnp.nan)
        assert np.abs(second["w"] - first["w"]).max() > 0
        for name in first:
            np.testing.assert_array_equal(second[name], third[name])


class ForwardMode(Trained):
    options: ClassVar[dict[str, Any]] = {"forward_mode_differentiation": True}

    def elbo(self, elbo: str) -> None:
        svi = self.svi(elbo)

        @jax.jit
        def run(x: Any) -> Any:
            first = svi.init(KEY, x)
            forward = svi.update(first, x, forward_mode_differentiation=True)[0]
            return [svi.get_params(s) for s in (first, forward, svi.update(first, x)[0])]

        first, forward, reverse = run(self.x)
        assert np.abs(reverse["w"] - first["w"]).max() > 0
        close(forward, reverse)


class Sharded(Case):
    """One device here; tests/hosts/elbo/test_data_parallel.py has four."""

    def __init__(self, row: str) -> None:
        super().__init__(row)
        mesh = Mesh(np.array(jax.devices()), ("rows",))
        self.x = jax.device_put(self.x, NamedSharding(mesh, PartitionSpec("rows")))


KINDS = {
    "optax": Optax, "stable_update": StableUpdate, "forward_mode": ForwardMode, "sharding": Sharded
}  # fmt: skip


def case(row: str) -> Case:
    return KINDS.get(row, Case)(row)
