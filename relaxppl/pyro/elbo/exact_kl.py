"""Which sites' KL between guide and model is exact and may replace the two log probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.distributions import kl_divergence

from relaxppl.common.relax import unwrap
from relaxppl.pyro.registry import HOST

__all__ = ["integrable", "kl_divergence"]


def integrable(
    guide_trace: Any, model_trace: Any, deps: Callable[[str, Any], frozenset[str]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields the guide's sites whose KL to the model's law can stand for the sampled pair, with it.

    That takes a registered rule, the same mask and scale on both sides, and a model's law that
    depends neither on the site itself nor on what the guide draws downstream of it: then the site,
    given everything else in the KL, still has the guide's law.

    :param guide_trace: of the guide.
    :param model_trace: replayed against it.
    :param deps: from a site and a value made of its laws to the names of the guide's sites,
        reparameterised or not, that it depends on.
    """
    for name, guide in guide_trace.nodes.items():
        model = model_trace.nodes.get(name)
        if model is None or guide["type"] != "sample" or guide["is_observed"]:
            continue
        if model["is_observed"] or not _same_weight(guide, model):
            continue
        try:
            kl = kl_divergence(guide["fn"], model["fn"])
        except NotImplementedError:
            continue
        # Whatever is downstream of the site carries its name too.
        if name not in deps(name, kl):
            yield name, torch.as_tensor(kl)


def _same_weight(guide: Any, model: Any) -> bool:
    q, p = guide["fn"], model["fn"]
    masks = masks_of(q), masks_of(p)
    return (
        guide["cond_indep_stack"] == model["cond_indep_stack"]
        and q.batch_shape == p.batch_shape
        and _same(guide["scale"], model["scale"])
        and _same(guide["mask"], model["mask"])
        and len(masks[0]) == len(masks[1])
        and all(_same(*pair) for pair in zip(*masks, strict=True))
    )


def masks_of(fn: Any) -> list[Any]:
    """Returns the masks of a distribution's wrappers, from the outermost."""
    return [wrapper._mask for wrapper in unwrap(HOST, fn)[1] if isinstance(wrapper, HOST.masked)]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and bool((one == other).all())
    tensors = isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor)
    return not tensors and one == other
