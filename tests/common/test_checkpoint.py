"""fit(checkpoint=...): a training that was broken off goes on as if it had not been."""

from __future__ import annotations

import importlib
import shutil
from typing import Any

import jax
import numpy as np
import pyro
import pytest
import torch

import relaxppl.pyro as rx
from tests.adapter import both

STEPS, BREAK = 30, 20


def training(host: Any, size: int = 3) -> Any:
    """SVI whose estimator learns and follows the count of steps."""

    def model() -> None:
        z = host.sample("z", host.dist.Bernoulli(host.array(np.full(size, 0.3))).to_event(1))
        host.sample("x", host.dist.Normal(z.sum(-1), 1.0), obs=host.array(1.4))

    def guide() -> None:
        logits = host.lib.param("logits", host.array(np.zeros(size)))
        host.sample("z", host.dist.Bernoulli(logits=logits).to_event(1))

    elbo = host.rx.REBAR_ELBO(debias=host.rx.LinearSchedule(0.0, 1.0, STEPS))
    adam = host.lib.optim.Adam(0.05) if host.name == "numpyro" else pyro.optim.Adam({"lr": 0.05})
    optim = host.rx.count_steps(adam)
    return host.lib.infer.SVI(model, elbo.prepare(guide), optim, elbo)


def fitted(host: Any, path: Any, steps: int = STEPS, size: int = 3) -> Any:
    options = {"progress": False, "checkpoint": path, "checkpoint_every": BREAK}
    if host.name == "numpyro":
        return host.rx.fit(training(host, size), jax.random.key(0), steps, **options)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    return host.rx.fit(training(host, size), steps, **options)


@both
def test_a_training_goes_on_bit_for_bit(host: Any, tmp_path: Any, monkeypatch: Any) -> None:
    path, early = tmp_path / "whole", tmp_path / "early"
    module = importlib.import_module(f"relaxppl.{host.name}.fit")
    save = module.save

    def kept(file: Any, *args: Any) -> None:
        save(file, *args)
        if not early.exists():
            shutil.copy(file, early)

    monkeypatch.setattr(module, "save", kept)
    whole = fitted(host, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["early", "whole"]
    if host.name == "pyro":
        torch.manual_seed(99)  # What comes back is the file's own state, not the seed's.
    rest = fitted(host, early)
    assert {"z.estimator.temperature", "z.estimator.eta", "relaxppl_step"} <= rest.params.keys()
    np.testing.assert_array_equal(np.asarray(whole.losses), np.asarray(rest.losses))
    for name, value in whole.params.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(rest.params[name]))
    # The file of the second is at its end: nothing is left to do, and nothing to undo.
    again = fitted(host, early)
    np.testing.assert_array_equal(np.asarray(again.losses), np.asarray(rest.losses))
    with pytest.raises(ValueError, match="has taken 30 steps, more than num_steps=10"):
        fitted(host, early, 10)
    with pytest.raises(ValueError, match=r"another program.*logits.*\(3,\), here \(2,\)"):
        fitted(host, early, size=2)


@both
def test_checkpoint_refusals(host: Any, tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="the folder of the checkpoint"):
        fitted(host, tmp_path / "none" / "file")
    key = (jax.random.key(0),) if host.name == "numpyro" else ()
    with pytest.raises(ValueError, match="checkpoint_every must be a whole number from 1, got 0"):
        host.rx.fit(training(host), *key, 3, checkpoint_every=0)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Any) -> None:
    from relaxppl.common import checkpoint

    path = tmp_path / "file"
    checkpoint.write(path, lambda file: file.write(b"old"))

    def fail(file: Any) -> None:
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_running_means_of_modules_in_functions_go_on(tmp_path: Any) -> None:
    """A function that hands a module to pyro.module says nowhere that it has one."""

    def fitted_with_batches(path: Any, steps: int) -> tuple[Any, Any]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1)).double()
        x = torch.tensor([[0.0, 1.0], [2.0, -1.0], [1.0, 3.0]], dtype=torch.float64)

        def model() -> None:
            with pyro.plate("rows", 3):
                pyro.sample("z", pyro.distributions.Bernoulli(0.3))

        def guide() -> None:
            logits = pyro.module("net", net)(x).squeeze(-1)
            with pyro.plate("rows", 3):
                pyro.sample("z", pyro.distributions.Bernoulli(logits=logits))

        svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), rx.DisARM_ELBO())
        rx.fit(svi, steps, progress=False, checkpoint=path)
        return {n: p.detach().clone() for n, p in net.named_parameters()}, dict(net.named_buffers())

    whole = fitted_with_batches(tmp_path / "whole", 8)
    fitted_with_batches(tmp_path / "broken", 5)
    rest = fitted_with_batches(tmp_path / "broken", 8)
    assert int(whole[1]["0.num_batches_tracked"]) == 8
    for one, other in zip(whole, rest, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value.numpy(), other[name].numpy(), err_msg=name)
