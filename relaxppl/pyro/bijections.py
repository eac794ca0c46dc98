"""From the real line to the sites of a relaxed program: what autoguides and samplers move on."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch.distributions import biject_to, constraints, transform_to, transforms

from relaxppl.common import bijections as common
from relaxppl.common.bijections import ATOMS, NO_DENSITY, WITH_ATOMS, caller
from relaxppl.pyro.constraints import CONSTRAINTS


class LogRatio(common.LogRatio, transforms.Transform):
    domain, codomain = constraints.real_vector, CONSTRAINTS["log_simplex"]
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogRatio)

    def __hash__(self) -> int:
        return hash(LogRatio)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return functional.log_softmax(functional.pad(x, (0, 1)), dim=-1)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.new_zeros(x.shape[:-1])


def _for_values(reason: str) -> Any:
    """Returns a registry's entry for a support that no density on the real line describes."""

    def bijection(constraint: Any) -> Any:
        raise NotImplementedError(f"{_site()}{reason}")

    return bijection


def _site() -> str:
    # The host's own error names a site only where it is discrete.
    start = caller("pyro.infer.autoguide.initialization", "_pyro_sample")
    guide = caller("pyro.infer.autoguide.guides", "_setup_prototype")
    name = start.f_locals["msg"]["name"] if start else guide.f_locals.get("name") if guide else None
    return f"site {name!r}: " if name else ""


def _with_atoms(constraint: Any) -> Any:
    # An autoguide is an approximation that leaves the atoms out and whose bound holds. A sampler
    # would be wrong.
    sampler = caller("pyro.infer.mcmc.util", "initialize_model")
    if sampler:
        raise NotImplementedError(f"site {sampler.f_locals.get('name')!r}: {ATOMS}")
    return transforms.SigmoidTransform()


biject_to.register(CONSTRAINTS["simplex"], lambda _: transforms.StickBreakingTransform())
transform_to.register(CONSTRAINTS["simplex"], lambda _: transforms.SoftmaxTransform())
biject_to.register(CONSTRAINTS["unit_interval_with_atoms"], _with_atoms)
transform_to.register(
    CONSTRAINTS["unit_interval_with_atoms"], lambda _: transforms.SigmoidTransform()
)
for registry in (biject_to, transform_to):
    registry.register(CONSTRAINTS["real"], lambda _: transforms.identity_transform)
    registry.register(CONSTRAINTS["log_simplex"], lambda _: LogRatio())
    registry.register(CONSTRAINTS["scaled_simplex"], _for_values(NO_DENSITY))
    for name in WITH_ATOMS:
        registry.register(CONSTRAINTS[name], _for_values(ATOMS))
