"""The model, its guide and their training in NumPyro; pyro_model.py mirrors this file."""

from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax, random
from numpy.typing import NDArray
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.svi import SVIState

import relaxppl.numpyro as rx
from models.common.networks import Weights
from models.common.progress import train_with_progress
from models.data import Digits
from models.discrete_vae.latents import Latents, bind
from models.discrete_vae.result import Result, Settings, initial_weights

CHUNK = 50
"""Steps between two updates of the progress bar."""

INVERSE_LINKS: dict[str | None, Any] = {"sigmoid": jax.nn.sigmoid, "exp": jnp.exp}


def two_layers(weights: Weights, x: Any) -> Any:
    """A network with one hidden layer of tanh units."""
    return jnp.tanh(x @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]


class DiscreteVAE:
    """Binary images from a discrete code, and a guide that reads the code off an image.

    :param latents: the code, and the distribution that stands for it while training.
    :param weights: initial weights of "encoder" and "decoder".
    :param batch_size: images in a subsample; None takes all.
    :param discrete: True for the model proper, whose code is 0 or 1, instead of the trained one.
    """

    def __init__(
        self,
        latents: Latents,
        weights: dict[str, Weights],
        batch_size: int | None = None,
        discrete: bool = False,
    ) -> None:
        self.latents = latents
        self.weights = jax.tree.map(jnp.asarray, weights)
        self.batch_size = batch_size
        self.discrete = discrete
        self.exact = latents.exact and not discrete
        self.link = None if discrete else INVERSE_LINKS.get(latents.law.inverse_link)

    def discrete_law(self, logits: Any) -> Any:
        """The true law of codes that train with these logits: that of the hard values."""
        return self.hard_law(self.latents.hard_logits(logits))

    def hard_law(self, logits: Any) -> Any:
        """The discrete law with these logits; at zero that of the model, for every latent."""
        if self.latents.law.kl is not None:
            return self.latents.training(logits)
        if self.latents.kind.event_dim:
            return rx.OneHotCategorical(logits=logits).to_event(1)
        return dist.Bernoulli(logits=logits).to_event(1)

    def model(self, images: Any) -> None:
        """A code for each image from the prior, and its pixels given the code; images (n, D)."""
        decoder = numpyro.param("decoder", self.weights["decoder"])
        with numpyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            uniform = jnp.zeros((len(index), *self.latents.kind.shape))
            code = self.draw(uniform)
            pixels = two_layers(decoder, self.flat(code))
            numpyro.sample("pixels", dist.Bernoulli(logits=pixels).to_event(1), obs=images[index])

    def guide(self, images: Any) -> None:
        """The code of each image, given its pixels; images (n, D)."""
        encoder = numpyro.param("encoder", self.weights["encoder"])
        with numpyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            logits = self.code_logits(encoder, images[index])
            if self.discrete:
                logits = self.latents.hard_logits(logits)
            self.draw(logits, encoder.get("factors"))
            if self.exact:
                numpyro.factor("kl", self.kl_from_prior(logits))

    def draw(self, logits: Any, factors: Any = None) -> Any:
        """The site of the codes; its density counts unless the KL is taken exactly."""
        law = self.hard_law(logits) if self.discrete else self.latents.training(logits, factors)
        with numpyro.handlers.mask(mask=False) if self.exact else nullcontext():
            return numpyro.sample("code", law)

    def kl_from_prior(self, logits: Any) -> Any:
        """The KL of the codes' discrete laws, (n,)."""
        if self.latents.law.kl is not None:
            return self.latents.kl_from_prior(logits).reshape(len(logits), -1).sum(1)
        return rx.kl_divergence(self.discrete_law(logits), self.hard_law(0.0 * logits))

    def code_logits(self, encoder: Weights, images: Any) -> Any:
        """Logits of the codes, (n, *shape)."""
        return two_layers(encoder, images).reshape(len(images), *self.latents.kind.shape)

    def hard_logits(self, encoder: Weights, images: Any) -> Any:
        """Logits of the codes' discrete laws, (n, *shape)."""
        return self.latents.hard_logits(self.code_logits(encoder, images))

    def flat(self, code: Any) -> Any:
        """A code as one row of numbers of order 1, (..., width)."""
        if self.link is not None:
            code = self.link(code)
        batch = code.shape[: code.ndim - len(self.latents.kind.shape)]
        flat = code.reshape(*batch, self.latents.kind.width).astype(jnp.float32)
        return flat / self.latents.kind.unit


def fit_and_evaluate(
    digits: Digits, latent: str, distribution: str, temperature: float | None, settings: Settings
) -> Result:
    """Train the model on digits and evaluate it with discrete codes on those held out.

    :param digits: the images.
    :param latent: a key of latents.KINDS.
    :param distribution: a key of latents.LAWS.
    :param temperature: None for the distribution's default.
    :param settings: everything else.
    :returns: what came of it.
    :raises RunFailedError: the loss stopped being finite.
    """
    latents = bind(rx, latent, distribution, temperature)
    weights = initial_weights(settings.seed, digits.train, latents.kind, latents.law.rank)
    start_key, bound_key, draw_key = random.split(random.key(settings.seed), 3)

    train_images = jnp.asarray(digits.train)
    relaxed = DiscreteVAE(latents, weights, settings.batch_size)
    svi = SVI(
        relaxed.model, relaxed.guide, numpyro.optim.Adam(settings.learning_rate), Trace_ELBO()
    )
    state = svi.init(start_key, train_images)

    def step(index: Any, carried: tuple[SVIState, Any]) -> tuple[SVIState, Any]:
        state, losses = carried
        state, loss = svi.update(state, train_images)
        return state, losses.at[index].set(loss / len(digits.train))

    # One compilation for every number of steps up to a chunk.
    @jax.jit
    def take(state: SVIState, count: Any) -> tuple[SVIState, Any]:
        return lax.fori_loop(0, count, step, (state, jnp.zeros(CHUNK)))

    def advance(size: int) -> NDArray[np.floating]:
        nonlocal state
        state, losses = take(state, size)
        return np.asarray(losses)[:size]

    losses, step_seconds, train_seconds = train_with_progress(
        settings.steps,
        advance,
        chunk=CHUNK,
        description=f"numpyro {distribution}",
        show=settings.progress,
    )

    params = svi.get_params(state)
    discrete = DiscreteVAE(latents, weights, discrete=True)
    test_bounds = discrete_bounds(discrete, params, digits.test, bound_key, settings.test_samples)
    probs, draws, means, samples = pictures(discrete, params, digits.test, draw_key, settings)
    trained = {name: jax.tree.map(np.asarray, params[name]) for name in ("encoder", "decoder")}
    return Result(
        losses, step_seconds, train_seconds, test_bounds, probs, draws, means, samples, trained
    )


def discrete_bounds(
    vae: DiscreteVAE, params: dict[str, Any], images: NDArray[np.float32], key: Any, count: int
) -> NDArray[np.float64]:
    """Estimates of the ELBO per image of a model with discrete codes.

    :param vae: the model, made with discrete=True.
    :param params: trained parameters.
    :param images: shape (n, D).
    :param key: the source of the draws.
    :param count: passes over the images.
    :returns: one estimate per pass, shape (count,).
    """
    elbo = Trace_ELBO()
    test_images = jnp.asarray(images)
    # Once for all passes: for some distributions it is a quadrature.
    logits = jax.jit(vae.hard_logits)(params["encoder"], test_images)

    def guide(images: Any) -> None:
        with numpyro.plate("images", len(images)):
            vae.draw(logits)

    def one(key: Any) -> Any:
        return -elbo.loss(key, params, vae.model, guide, test_images) / len(images)

    return np.asarray(jax.jit(lambda keys: lax.map(one, keys))(random.split(key, count)), float)


def pictures(
    vae: DiscreteVAE, params: dict[str, Any], images: NDArray[np.float32], key: Any, s: Settings
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Probabilities and draws of held-out images' codes, their reconstructions, and new images."""
    shape = vae.latents.kind.shape
    shown_key, prior_key = random.split(key)
    shown = jnp.asarray(images[: s.shown])
    posterior = vae.hard_law(jax.jit(vae.hard_logits)(params["encoder"], shown))
    prior = vae.hard_law(jnp.zeros((s.prior_samples, *shape)))

    def decode(code: Any) -> Any:
        return jax.nn.sigmoid(two_layers(params["decoder"], vae.flat(code)))

    draws = posterior.sample(shown_key, (s.posterior_draws,))
    means = decode(draws).mean(0)
    samples = decode(prior.sample(prior_key))
    return (
        np.asarray(posterior.mean, np.float32),
        np.asarray(draws, np.int8),
        np.asarray(means),
        np.asarray(samples),
    )
