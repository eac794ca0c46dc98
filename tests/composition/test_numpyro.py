"""Every cell of the table on NumPyro."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import relaxppl.numpyro as rx
from relaxppl.numpyro.auto.drawing import Drawing
from tests.composition.matrix import cells, check
from tests.composition.numpyro_case import case
from tests.composition.on_numpyro import X


@pytest.mark.parametrize(("row", "column"), cells("numpyro"))
@pytest.mark.filterwarnings("ignore:Currently, SVI with Trace_ELBO")
def test_cell(row: Any, column: str) -> None:
    check(case(row.name), row, column)


def test_parameters_without_their_state_are_told() -> None:
    """Running means that begin anew would be those of no data."""
    for row in ("flax_module", "nnx_module"):
        model, guide, given, _ = case(row).tool()
        params = {name: value for name, value in given.items() if not name.endswith("$state")}

        def bound(params: Any, model: Any = model, guide: Any = guide) -> Any:
            return rx.discrete_elbo(model, guide, params, jnp.asarray(X), rng_key=jax.random.key(0))

        if row == "flax_module":
            with pytest.raises(
                ValueError, match=r"without the mutable state 'q\$state'.*give both"
            ):
                jax.eval_shape(bound, params)
        else:
            with pytest.warns(
                UserWarning, match=r"without the mutable state 'q\$state', 'p\$state'"
            ):
                jax.eval_shape(bound, params)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            jax.eval_shape(bound, given)


class _Setting:
    def __init__(self, size: int) -> None:
        self.size = size


def test_a_guide_draws_by_one_compiled_program() -> None:
    traced = []

    def draw(key: Any, params: Any, args: Any, kwargs: Any) -> Any:
        traced.append(kwargs)
        return params["shift"] + args[0].sum() + jax.random.normal(key)

    drawing, keys = Drawing(), jax.random.split(jax.random.key(0), 3)
    for shift in (0.0, 1.0):
        drawn = drawing(draw, keys, {"shift": jnp.array(shift)}, (np.ones(2),), {"kind": "a"})
        assert drawn.shape == (3,)
    assert len(traced) == 1
    drawing(draw, keys, {"shift": jnp.array(2.0)}, (np.ones(2),), {"kind": "b"})
    unknown = {"kind": {1, 2}}  # No key of a dict: compiled each time.
    drawing(draw, keys, {"shift": jnp.array(2.0)}, (np.ones(2),), unknown)
    assert [x["kind"] for x in traced] == ["a", "b", {1, 2}]
    assert pickle.loads(pickle.dumps(drawing))._compiled == {}


def test_a_guide_is_compiled_anew_for_what_looks_the_same() -> None:
    drawing, keys = Drawing(), jax.random.split(jax.random.key(0), 3)

    def value(key: Any, params: Any, args: Any, kwargs: Any) -> Any:
        x = kwargs["x"]
        return jnp.asarray(x.size if isinstance(x, _Setting) else x)

    ones = [drawing(value, keys, {}, (), {"x": x}).dtype.kind for x in (1, True, 1.0)]
    assert ones == ["i", "b", "f"]  # Equal, and one key of a dict.
    setting = _Setting(3)
    for size in (3, 4):
        setting.size = size
        assert (drawing(value, keys, {}, (), {"x": setting}) == size).all()
