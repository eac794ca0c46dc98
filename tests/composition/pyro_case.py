"""A row of the table on Pyro: what each of its cells does, and what that is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import JitTrace_ELBO, Trace_ELBO

import relaxppl.pyro as rx
from relaxppl.pyro.compiled import Compiled
from tests.composition import on_pyro as rows
from tests.composition.on_pyro import Program

Numbers = dict[str, np.ndarray]


def made(column: str, program: Program) -> tuple[Any, Any, Any]:
    """Returns a loss, and the model and guide that go with it: for "relax" the host's."""
    if column != "relax":
        loss = getattr(rx, f"{column}_ELBO")()
        return loss, program.model, loss.prepare(program.guide)
    model, guide = (rx.relax(fn, temperature=0.5) for fn in program[:2])
    return Trace_ELBO(), model, guide


def numbers(leaves: dict[str, torch.Tensor], grads: bool = False) -> Numbers:
    found = {}
    for name, leaf in leaves.items():
        value = leaf.grad if grads else leaf.detach()
        found[name] = np.zeros(leaf.shape) if value is None else value.numpy().copy()
    return found


class Case:
    """The cells of a row."""

    steps = 1
    """How often the loss is evaluated before it is compared."""
    own_count = False
    """Whether the row's loss is one of the host's that averages batches when it is traced too."""

    def __init__(self, row: str) -> None:
        self.row = row

    def gradient(self, loss: Any, model: Any, guide: Any, program: Program) -> float:
        """Adds the gradient of a loss to the leaves, as the row does."""
        return loss.loss_and_grads(model, guide, rows.X)

    def program(self, column: str = "") -> Program:
        """Returns the row's program, its parameters there."""
        pyro.clear_param_store()
        program = rows.program_of(self.row, column == "Coupled")
        set_up(program)
        return program

    def elbo(self, column: str) -> None:
        """The loss and the gradient are those of the program by hand, and BatchNorm counts once."""
        program = self.program(column)
        loss, model, guide = made(column, program)
        self.before(loss, model, guide, program)
        buffers = written(program)
        pyro.set_rng_seed(3)
        value = self.gradient(loss, model, guide, program)
        found, leaves = numbers(program.leaves(), True), numbers(program.leaves())
        counted = 0 if self.own_count else tracked(program)
        counted -= int(buffers.get("p.num_batches_tracked", 0))

        plain = rows.written_by_hand(self.row, column == "Coupled")
        pyro.clear_param_store()
        set_up(plain)
        copy(leaves, plain)
        loss, model, guide = made(column, plain)
        for _ in range(self.steps):  # What a loss counts of its steps is then the same.
            pyro.set_rng_seed(3)
            for leaf in plain.leaves().values():
                leaf.grad = None
            expected = loss.loss_and_grads(model, guide, rows.X)
        np.testing.assert_allclose(value, expected, rtol=1e-9)
        for name, grad in numbers(plain.leaves(), True).items():
            np.testing.assert_allclose(found[name], grad, rtol=1e-8, atol=1e-9, err_msg=name)
        assert np.abs(found.get("w", found.get("z_logits"))).max() > 0
        if program.nets and not self.own_count:
            # As often as the host's own loss runs the program: once for each particle.
            assert counted == loss.num_particles
        self.after(column)

    def before(self, loss: Any, model: Any, guide: Any, program: Program) -> None:
        """Does what the row does before the step that is compared."""

    def after(self, column: str) -> None:
        """Checks what the row promises beside the gradient."""

    def relax(self) -> None:
        self.elbo("relax")

    # What is done with trained parameters; it leaves them and all running means as they are.

    def measured(self, of: Any) -> tuple[Any, Any]:
        """Returns what something gives for the row's program and for that by hand."""
        program = self.program()
        before = written(program)
        pyro.set_rng_seed(5)
        found = of(program.model, program.guide)
        assert written(program).keys() == before.keys()
        for name, value in written(program).items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)
        plain, leaves = rows.written_by_hand(self.row), numbers(program.leaves())
        names = {id(leaf): name for name, leaf in program.leaves().items()}
        self.names = {n: names[id(p)] for n, p in pyro.get_param_store().named_parameters()}
        pyro.clear_param_store()
        set_up(plain)
        copy(leaves, plain)
        pyro.set_rng_seed(5)
        expected = of(plain.model, plain.guide)
        names = {id(leaf): name for name, leaf in plain.leaves().items()}
        self.by_hand = {n: names[id(p)] for n, p in pyro.get_param_store().named_parameters()}
        return found, expected

    def discrete_elbo(self) -> None:
        def of(model: Any, guide: Any) -> float:
            return rx.discrete_elbo(model, guide, None, rows.X, num_particles=5)

        np.testing.assert_allclose(*self.measured(of), rtol=1e-9)

    def gradient_stats(self) -> None:
        def of(model: Any, guide: Any) -> Any:
            options = {"num_draws": 4, "tune": 1, "exact": False}
            return rx.gradient_stats(rx.REBAR_ELBO(), model, guide, None, rows.X, **options)

        found, expected = self.measured(of)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-9)
        mean = {self.names[name]: value for name, value in found.mean.items()}
        for name, value in expected.mean.items():
            np.testing.assert_allclose(mean[self.by_hand[name]], value, rtol=1e-7, atol=1e-9)

    def to_arviz(self) -> None:
        def of(model: Any, guide: Any) -> Any:
            return rx.to_arviz(model, guide, None, rows.X, num_draws=5)

        found, expected = self.measured(of)
        for group in ("posterior", "log_likelihood"):
            assert set(found[group].data_vars) == set(expected[group].data_vars)
            for name in expected[group].data_vars:
                one, other = found[group][name].values, expected[group][name].values
                np.testing.assert_allclose(one, other, rtol=1e-9)

    def recommend(self) -> None:
        def of(model: Any, guide: Any) -> Any:
            return rx.recommend(model, guide, rows.X, seconds=0.05, num_draws=2, tune=1)

        for found in self.measured(of):
            assert "measured below" in str(found)


def set_up(program: Program) -> None:
    """Runs a program once, for its parameters to be there."""
    pyro.set_rng_seed(1)
    training = {name: net.training for name, net in program.nets.items()}
    for net in program.nets.values():
        net.eval()
    with torch.no_grad():
        trace = pyro.poutine.trace(program.guide).get_trace(rows.X)
        pyro.poutine.replay(program.model, trace=trace)(rows.X)
    for name, net in program.nets.items():
        net.train(training[name])


def copy(values: Numbers, program: Program) -> None:
    for name, leaf in program.leaves().items():
        leaf.data.copy_(torch.as_tensor(values[name]))


def written(program: Program) -> dict[str, np.ndarray]:
    return {
        f"{name}.{key.rpartition('.')[2]}": buffer.numpy().copy()
        for name, net in program.nets.items()
        for key, buffer in net.named_buffers()
    }


def tracked(program: Program) -> int:
    """Returns how often both networks have averaged a batch, which is the same for both."""
    if not program.nets:
        return 0
    counts = {int(net.norm.num_batches_tracked) for net in program.nets.values()}
    assert len(counts) == 1
    (count,) = counts
    for net in program.nets.values():
        mean = rows.X.mean(0) * (1 - 0.9**count)
        torch.testing.assert_close(net.norm.running_mean, mean, rtol=1e-9, atol=1e-12)
    return count


class PlainLoop(Case):
    def gradient(self, loss: Any, model: Any, guide: Any, program: Program) -> float:
        self.loss, self.last = loss, program
        value = loss.differentiable_loss(model, guide, rows.X)
        value.backward()
        return float(value.detach())

    def learned(self) -> list[torch.Tensor]:
        """What the row hands an optimiser for the estimators."""
        return self.loss.parameters()

    def after(self, column: str) -> None:
        if column in ("REBAR", "RELAX"):
            assert len(self.learned()) >= 2
            assert all(p.grad is not None for p in self.learned())


class AsModule(PlainLoop):
    """The host's class of it knows nothing of what the estimators learn."""

    def gradient(self, loss: Any, model: Any, guide: Any, program: Program) -> float:
        self.module = self.wrapped(loss(model, guide))
        self.loss, self.last = loss, program
        value = self.module(rows.X)
        value.backward()
        return float(value.detach())

    def wrapped(self, module: Any) -> Any:
        return module

    def after(self, column: str) -> None:
        super().after(column)
        assert {id(p) for p in self.last.leaves().values()} <= {
            id(p) for p in self.module.parameters()
        }

    def learned(self) -> list[torch.Tensor]:
        mine = {id(p) for p in self.last.leaves().values()}
        return [p for p in self.module.parameters() if id(p) not in mine]


class Parallel(AsModule):
    """One process here; tests/hosts/elbo/test_data_parallel.py has two."""

    def wrapped(self, module: Any) -> Any:
        return torch.nn.parallel.DistributedDataParallel(module)

    def learned(self) -> list[torch.Tensor]:
        # Not through the wrapper: each process learns its own.
        return self.loss.parameters()


class CompiledStep(Case):
    """The third step runs the graph alone."""

    steps = 3

    def before(self, loss: Any, model: Any, guide: Any, program: Program) -> None:
        self.graph = JitTrace_ELBO(ignore_jit_warnings=True)
        self.own_count = isinstance(loss, Trace_ELBO)
        if not self.own_count:
            self.graph = Compiled(loss)
        for _ in range(2):
            pyro.set_rng_seed(3)
            self.graph.loss_and_grads(model, guide, rows.X)
        for leaf in program.leaves().values():
            leaf.grad = None

    def gradient(self, loss: Any, model: Any, guide: Any, program: Program) -> float:
        return self.graph.loss_and_grads(model, guide, rows.X)


KINDS = {
    "plain_loop": PlainLoop,
    "ELBOModule": AsModule,
    "ddp": Parallel,
    "compiled_step": CompiledStep,
}


def case(row: str) -> Case:
    return KINDS.get(row, Case)(row)
