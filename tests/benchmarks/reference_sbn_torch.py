"""A linear sigmoid belief network trained by hand-written torch, with no probabilistic program.

The steps of relaxppl's ELBOs in Pyro are timed against these. The guide is
b ~ Bernoulli(logits = x W + w), the model x ~ Bernoulli(logits = b V + v), the prior uniform. Every
estimator returns h, a local gradient in the guide's logits; the surrogate of the guide is
sum(h.detach() * logits). ``reference_sbn_jax`` is the same for NumPyro.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn.functional import softplus

PIXELS, LATENTS, HIDDEN = 784, 200, 16
ESTIMATORS = ("score", "rloo", "vimco", "disarm", "rebar-fixed", "rebar", "relax")
Params = dict[str, Tensor]


def initial_params(
    seed: int, estimator: str, pixels: int = PIXELS, latents: int = LATENTS
) -> Params:
    """Glorot-uniform weights, zero biases; and what the estimator learns."""
    generator = torch.Generator().manual_seed(seed)
    bound = math.sqrt(6.0 / (pixels + latents))
    params = {
        "W": (2 * torch.rand(pixels, latents, generator=generator) - 1) * bound,
        "w": torch.zeros(latents),
        "V": (2 * torch.rand(latents, pixels, generator=generator) - 1) * bound,
        "v": torch.zeros(pixels),
    }
    if estimator in ("rebar", "relax"):
        params |= {"log_T": torch.tensor(0.1).log(), "eta": torch.tensor(1.0)}
    if estimator == "relax":
        params |= {
            "in": torch.randn(latents, HIDDEN, generator=generator) / math.sqrt(latents),
            "bias": torch.zeros(HIDDEN),
            "out": torch.zeros(HIDDEN),
            "skip": torch.zeros(latents),
            "level": torch.zeros(()),
        }
    return {name: p.requires_grad_() for name, p in params.items()}


def logistic(like: Tensor, *draws: int) -> Tensor:
    """Logistic noise for some draws of an array."""
    tiny = torch.finfo(like.dtype).tiny
    return torch.logit(torch.rand(*draws, *like.shape, dtype=like.dtype).clamp(min=tiny))


def latent_given_hard(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """A logistic latent with location a whose sign is b; v is logistic."""
    sign = 2 * b - 1
    return sign * softplus(sign * v + softplus(sign * a))


def bound_terms(params: Params, b: Tensor, a: Tensor, x: Tensor) -> Tensor:
    """log p(x, b) - log q(b) per image, also at relaxed b."""
    logits = b @ params["V"] + params["v"]
    fit = (x * logits - softplus(logits)).sum(-1)
    return fit - b.shape[-1] * math.log(2.0) - (b * a - softplus(a)).sum(-1)


def relaxed_gradients(
    value: Callable[[Tensor], Tensor], a: Tensor, b: Tensor, v: Tensor, learned: bool
) -> Tensor:
    """The control variate of a function of the latent, (batch, latents) to (batch,).

    The latents are coupled: z = z~ in value. ``learned`` keeps the graph of what the function
    closes over.
    """
    leaf = a.detach().requires_grad_()
    z = latent_given_hard(leaf, b, v)
    free = z.detach().requires_grad_()
    soft = value(free)
    (gradient,) = grad(soft.sum(), free, create_graph=learned)
    # dz/da = 1 with the noise fixed, and what becomes of dz~/da is elementwise.
    (pulled,) = grad(z, leaf, torch.ones_like(z))
    return gradient * (1 - pulled) - soft[:, None] * (b - torch.sigmoid(a))


def control(
    params: Params, a: Tensor, b: Tensor, v: Tensor, x: Tensor, T: Tensor, learned: bool
) -> Tensor:
    """REBAR's control variate at eta = 1."""
    fixed = {name: params[name].detach() for name in ("V", "v")}
    return relaxed_gradients(
        lambda z: bound_terms(fixed, torch.sigmoid(z / T), a, x), a, b, v, learned
    )


def network_control(params: Params, a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """The control variate of a small network, with a linear part, of the relaxed value at T = 1."""

    def value(z: Tensor) -> Tensor:
        soft = torch.sigmoid(z)
        hidden = torch.tanh(soft @ params["in"] + params["bias"])
        return hidden @ params["out"] + soft @ params["skip"] + params["level"]

    return relaxed_gradients(value, a, b, v, True)


def multi_sample(log_w: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """VIMCO's h and the bound of the draws along a first axis, whose log weights are log_w."""
    draws = len(log_w)
    bound = log_w.logsumexp(0) - math.log(draws)
    log_w = log_w.detach()
    others = (log_w.sum(0) - log_w) / (draws - 1)
    replaced = torch.where(torch.eye(draws, dtype=torch.bool)[..., None], others[:, None], log_w)
    baselines = replaced.logsumexp(1) - math.log(draws)
    factor = bound.detach() - baselines - log_w.softmax(0)
    return torch.einsum("kb,kbl->bl", factor, score), bound


def local_gradient(
    params: Params, a: Tensor, x: Tensor, estimator: str, draws: int
) -> tuple[Tensor, Tensor]:
    """One unbiased h (batch, latents) at logits without a graph, and the bound.

    h keeps the graph of what the estimator learns.
    """
    noise = logistic(a, draws) if estimator in ("rloo", "vimco") else logistic(a)
    b = (noise + a > 0).to(a.dtype)
    bound = bound_terms(params, b, a, x)
    reward, score = bound.detach()[..., None], b - torch.sigmoid(a)
    if estimator == "rloo":
        others = (reward.sum(0) - reward) / (draws - 1)
        return ((reward - others) * score).mean(0), bound.mean(0)
    if estimator == "vimco":
        return multi_sample(bound, score)
    if estimator == "disarm":
        # The antithetic draw mirrors the noise of the draw.
        mirrored = (a - noise > 0).to(a.dtype)
        with torch.no_grad():
            other = bound_terms(params, mirrored, a, x)[:, None]
        return 0.5 * (reward - other) * (b - mirrored) * torch.sigmoid(a.abs()), bound
    h = reward * score
    if estimator == "score":
        return h, bound
    v = logistic(a)
    if estimator == "rebar-fixed":
        return h + control(params, a, b, v, x, a.new_tensor(0.5), False).detach(), bound
    h = h + params["eta"] * control(params, a, b, v, x, params["log_T"].exp(), True)
    if estimator == "relax":
        h = h + network_control(params, a, b, v)
    return h, bound


def objective(
    params: Params, x: Tensor, estimator: str, draws: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """The surrogate whose gradient trains everything, the mean bound, and h."""
    a = x @ params["W"] + params["w"]
    h, bound = local_gradient(params, a.detach(), x, estimator, draws)
    fixed = h.detach()
    # The bound's derivative in the guide at a fixed value has mean zero: dropped.
    surrogate = bound.mean() + (fixed * a).sum(-1).mean()
    if h.requires_grad:
        # What the estimator learns minimises V = sum h^2.
        surrogate = surrogate - (h**2).sum(-1).mean()
    return surrogate, bound.mean().detach(), fixed


def make_step(
    estimator: str, seed: int = 0, learning_rate: float = 1e-3, draws: int = 4
) -> Callable[[Tensor], float]:
    """A function that takes a step of Adam on a batch and returns the negative bound."""
    params = initial_params(seed, estimator)
    adam = torch.optim.Adam(params.values(), learning_rate)

    def step(x: Tensor) -> float:
        surrogate, bound, _ = objective(params, x, estimator, draws)
        (-surrogate).backward()
        adam.step()
        adam.zero_grad()
        return -bound.item()

    return step
