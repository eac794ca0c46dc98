"""What the tracker knows of each operation: whom its result depends on, and how."""

from __future__ import annotations

import copy
import resource
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from relaxppl.estimators.jumps import jumps, plain
from relaxppl.pyro.elbo.dependence import Tracker
from relaxppl.pyro.elbo.storages import key_of

Z = torch.tensor([1.0, 0.0])
ROWS = torch.tensor([1.0, 2.0])


@torch.jit.script
def scripted(z: torch.Tensor):
    return z.exp() * 2


@torch.jit.script
def branching(z: torch.Tensor):
    if bool(z[0] > 0.5):
        return z * 2
    return z


def written_through_a_view():
    v = torch.zeros(3)
    v.view(-1)[0] = Z[0]
    return v


def filled_by_mask():
    v = torch.zeros(2)
    v[Z > 0.5] = 1.0
    return v


def row_filled_in_place():
    v = torch.zeros(2, 3)
    v[Z[0].long()].fill_(1.0)
    return v


def row_assigned():
    v = torch.zeros(2, 3)
    v[Z[0].long()] = 1.0
    return v


def out_argument():
    v = torch.empty(2)
    torch.add(Z, 1.0, out=v)
    return v


def data_assigned():
    v = torch.zeros(2)
    v.data = Z * 1.0
    return v


def without_gradient():
    with torch.no_grad():
        return Z * 2.0


def in_inference_mode():
    with torch.inference_mode():
        return Z * 2.0


def view_without_gradient():
    with torch.no_grad():
        return Z.view(-1)


def number_without_gradient():
    with torch.no_grad():
        b = Z[0]
    return b * 2.0


def parts_without_gradient():
    with torch.no_grad():
        first, _ = Z.split(1)
    return first + 1.0


def alike_without_gradient():
    with torch.no_grad():
        return torch.zeros_like(Z), Z.shape, ROWS.view(-1)


def itself_without_gradient():
    with torch.no_grad():
        torch.as_tensor(Z).contiguous()
        Z.view(-1)
    return Z * 2.0


def view_in_inference_mode():
    with torch.inference_mode():
        return Z.view(-1)


def compared_in_place():
    return Z.clone().gt_(0.5)


def compared_into_floats():
    return torch.gt(Z, 0.5, out=torch.empty(2))


def written_to_integers():
    v = torch.zeros(2, dtype=torch.long)
    v.copy_(Z)
    return v.float()


def assigned_to_integers():
    v = torch.zeros(2, dtype=torch.long)
    v[...] = Z
    return v.float()


def rounded_lists():
    return torch._foreach_round([Z, Z])


def sampled_grid(mode):
    grid, image = Z.reshape(1, 1, 1, 2), torch.ones(1, 1, 3, 3)
    return torch.nn.functional.grid_sample(image, grid, mode=mode, align_corners=True)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2.0 * x


def running_mean():
    mean = torch.zeros(1)
    torch.nn.functional.batch_norm(Z[:, None], mean, torch.ones(1), training=True)
    return mean


def called_for_each():
    seen = []
    Z.clone().apply_(lambda value: seen.append(value) or value)
    return torch.tensor(seen)


def sparse():
    index = torch.tensor([[0, 1]])
    return torch.sparse_coo_tensor(index, Z, (2,), check_invariants=True).to_dense()


SMOOTH = {
    "arithmetic": lambda: torch.sin(Z) * 2.0 + 1.0,
    "matmul": lambda: torch.eye(2) @ Z,
    "einsum": lambda: torch.einsum("i,i->", Z, Z),
    "write through a view": written_through_a_view,
    "out": out_argument,
    "script": lambda: scripted(Z),
    "vmap": lambda: torch.func.vmap(lambda a: a * 2.0)(Z),
    "grad": lambda: torch.func.grad(lambda a: (a**2).sum())(Z),
    "Function": lambda: Doubled.apply(Z),
    "Dirichlet": lambda: torch.distributions.Dirichlet(Z + 1.0).rsample(),
    "as_tensor": lambda: torch.as_tensor(Z) + torch.asarray(Z),
    "deepcopy": lambda: copy.deepcopy(Z),
    "recurrent": lambda: torch.nn.GRU(2, 2)(Z[None])[0],
    "sparse": sparse,
    "running mean": running_mean,
    "unbind": lambda: torch.stack(list(Z)),
    "Normal": lambda: torch.distributions.Normal(Z, 1.0).rsample(),
    "log_prob": lambda: torch.distributions.Normal(0.0, Z + 1.0).log_prob(torch.tensor(0.3)),
    "division": lambda: torch.div(Z, 2.0, rounding_mode=None),
    "between points": lambda: sampled_grid("bilinear"),
    "kinks": lambda: F.hardtanh(F.softshrink(F.leaky_relu(F.relu(Z)))).clamp(0.2, 0.8).abs(),
    "norm": lambda: (torch.linalg.vector_norm(Z), torch.cdist(Z[None], Z[None], p=1.0)),
    "itself in no_grad": itself_without_gradient,
    "largest": lambda: (Z.max(), Z.sort().values, Z.cummax(0).values),
}
JUMPS = {
    "comparison": lambda: torch.where(Z > 0.5, 1.0, 2.0),
    "index": lambda: ROWS[Z.long()],
    "row": lambda: ROWS[Z[0].long()] * 2.0,
    "row in place": row_filled_in_place,
    "row assigned": row_assigned,
    "mask": filled_by_mask,
    "rounding": lambda: Z.round(),
    "sign": lambda: torch.sign(Z),
    "detach": lambda: Z.detach() * 2.0,
    "torch.detach": lambda: torch.detach(Z) * 2.0,
    "detach in place": lambda: (Z * 2.0).detach_(),
    "data": lambda: Z.data * 2.0,
    "data assigned": data_assigned,
    "no_grad": without_gradient,
    "tensor": lambda: torch.tensor([Z[0], Z[1]]),
    "new_tensor": lambda: Z.new_tensor([Z[0]]),
    "full": lambda: torch.full((2,), Z[0]),
    "full_like": lambda: torch.full_like(ROWS, Z[0]),
    "new_full": lambda: ROWS.new_full((2,), fill_value=Z[0]),
    "one_hot": lambda: torch.nn.functional.one_hot(Z.long(), 3),
    "sample": lambda: torch.distributions.Bernoulli(logits=Z).sample(),
    "division to the floor": lambda: torch.div(Z, 2.0, rounding_mode="floor"),
    "division to zero in place": lambda: Z.clone().div_(2.0, rounding_mode="trunc"),
    "floor_divide": lambda: Z // 2.0,
    "threshold": lambda: F.threshold(Z, 0.5, -1.0),
    "hardshrink": lambda: F.hardshrink(Z),
    "copysign": lambda: torch.copysign(torch.ones(2), Z - 0.5),
    "angle": lambda: torch.angle(Z - 0.5),
    "atan2": lambda: torch.atan2(Z - 0.5, -torch.ones(2)),
    "fake quantization": lambda: torch.fake_quantize_per_tensor_affine(Z, 1.0, 0, 0, 3),
    "normal": lambda: torch.normal(Z, torch.ones(2)),
    "nearest point": lambda: sampled_grid("nearest"),
    "mantissa": lambda: torch.frexp(Z).mantissa,
    "most frequent": lambda: Z.mode().values,
    "histogram": lambda: torch.histc(Z, 2, 0.0, 1.0),
    "histogram with edges": lambda: torch.histogram(Z, 2).hist,
    "count as a norm": lambda: torch.linalg.vector_norm(Z, ord=0),
    "count as a distance": lambda: torch.cdist(Z[None], ROWS[None], p=0.0),
    "degree": lambda: torch.special.hermite_polynomial_h(ROWS, Z),
    "Bessel": lambda: torch.special.bessel_j0(Z),
    "ends": lambda: torch.linspace(Z[0], 3.0, 3),
    "derivative of a kink": lambda: torch.func.grad(lambda a: F.relu(a - 0.5).sum())(Z),
    "comparison in place": compared_in_place,
    "comparison with out": compared_into_floats,
    "logic in place": lambda: Z.clone().logical_not_(),
    "list": rounded_lists,
    "integers written": written_to_integers,
    "integers assigned": assigned_to_integers,
    "inference_mode": in_inference_mode,
    "view in inference_mode": view_in_inference_mode,
    "view in no_grad": view_without_gradient,
    "element in no_grad": number_without_gradient,
    "parts in no_grad": parts_without_gradient,
}
ESCAPES = {
    "item": lambda: torch.tensor(Z[0].item()),
    "if": lambda: torch.ones(()) if Z[0] > 0.5 else torch.zeros(()),
    "index of a list": lambda: torch.tensor([1.0, 2.0][Z[0].int()]),
    "numpy": lambda: torch.from_numpy(Z.numpy()),
    "asarray": lambda: torch.tensor(np.asarray(Z) * 2.0),
    "tolist": lambda: torch.tensor(Z.tolist()),
    "dlpack": lambda: torch.from_dlpack(np.from_dlpack(Z)),
    "format": lambda: torch.tensor(float(f"{Z[0]:.1f}")),
    "equal": lambda: torch.tensor(float(torch.equal(Z, Z))),
    "bound of a slice": lambda: ROWS[: Z[0].int()],
    "shape of a selection": lambda: torch.ones(len(Z[Z > 0.5])),
    "script": lambda: branching(Z),
    "apply_": called_for_each,
    "as many classes as there are": lambda: torch.nn.functional.one_hot(Z.long()),
    "law": lambda: torch.distributions.Normal(0.0, 1.0).sample((int(Z[0]),)),
}
NOTHING = {
    "other tensors": lambda: ROWS * 2.0,
    "shape": lambda: torch.ones(Z.shape, dtype=Z.dtype),
    "like": lambda: (torch.full_like(Z, 1.0), torch.zeros_like(Z), Z.new_full((2,), 1.0)),
    "made alike": lambda: (Z.new_zeros(2), Z.new_tensor(1.0), torch.rand_like(Z)),
    "alike in no_grad": alike_without_gradient,
    "the rows themselves": lambda: (ROWS[Z[0].long()], ROWS * 1.0)[1],
}


def watched(operation):
    tracker = Tracker()
    with tracker, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracker.mark(Z, frozenset("z"))
        found = tracker.of(operation())
    return found, tracker.escaped


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_see_it(name):
    found, escaped = watched(SMOOTH[name])
    assert plain(found) == {"z"}
    assert not jumps(found)
    assert not escaped


@pytest.mark.parametrize("name", JUMPS)
def test_derivatives_do_not_see_it(name):
    found, escaped = watched(JUMPS[name])
    assert plain(found) == jumps(found) == {"z"}
    assert not escaped


@pytest.mark.parametrize("name", ESCAPES)
def test_it_leaves_torch(name):
    assert plain(watched(ESCAPES[name])[1]) == {"z"}


@pytest.mark.parametrize("name", NOTHING)
def test_it_does_not_depend(name):
    assert watched(NOTHING[name]) == (frozenset(), frozenset())


def test_a_check_of_the_hosts_is_no_branch_of_the_program():
    with Tracker() as tracker:
        tracker.mark(Z, frozenset("z"))
        torch.distributions.Normal(Z, 1.0 + Z, validate_args=True).log_prob(Z)
    assert not tracker.escaped


def test_freed_memory_is_used_again_while_it_watches():
    z = torch.ones(100_000)
    with Tracker() as tracker:
        tracker.mark(z, frozenset("z"))
        for _ in range(10):
            z * 2.0
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            z * 2.0
        new_pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    # Each product takes a hundred pages.
    assert new_pages < 1_000


def test_what_comes_in_the_place_of_a_freed_tensor_is_not_marked():
    with Tracker() as tracker:
        tracker.mark(Z, frozenset("z"))
        freed = {key_of(Z * 2.0) for _ in range(20)}
        later = [torch.ones(2) for _ in range(20)]
        assert freed & {key_of(x) for x in later}
        assert not tracker.of(later)
