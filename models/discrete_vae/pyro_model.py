"""The model, its guide and their training in Pyro; numpyro_model.py mirrors this file."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro.infer import SVI, Trace_ELBO
from torch import nn

import relaxppl.pyro as rx
from models.common.networks import Weights
from models.common.progress import train_with_progress
from models.data import Digits
from models.discrete_vae.latents import Latents, bind
from models.discrete_vae.result import Result, Settings, initial_weights

INVERSE_LINKS: dict[str | None, Any] = {"sigmoid": torch.sigmoid, "exp": torch.exp}


class TwoLayers(nn.Module):
    """A network with one hidden layer of tanh units.

    :param weights: where it begins.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))

    def forward(self, x: Any) -> Any:
        """Map (..., inputs) to (..., outputs)."""
        return torch.tanh(x @ self.w1 + self.b1) @ self.w2 + self.b2


class DiscreteVAE(nn.Module):
    """Binary images from a discrete code, and a guide that reads the code off an image.

    :param latents: the code, and the distribution that stands for it while training.
    :param weights: initial weights of "encoder" and "decoder".
    :param batch_size: images in a subsample; None takes all.
    """

    def __init__(
        self, latents: Latents, weights: dict[str, Weights], batch_size: int | None = None
    ) -> None:
        super().__init__()
        self.latents = latents
        self.encoder = TwoLayers(weights["encoder"])
        self.decoder = TwoLayers(weights["decoder"])
        self.batch_size = batch_size
        self.discrete = False
        self.exact = latents.exact
        self.link = INVERSE_LINKS.get(latents.law.inverse_link)

    def make_discrete(self) -> None:
        """Become the model proper, whose code is 0 or 1, of all images at once."""
        self.discrete = True
        self.exact = False
        self.link = None
        self.batch_size = None

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
        pyro.module("decoder", self.decoder)
        with pyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            uniform = images.new_zeros((len(index), *self.latents.kind.shape))
            code = self.draw(uniform)
            pixels = self.decoder(self.flat(code))
            pyro.sample("pixels", dist.Bernoulli(logits=pixels).to_event(1), obs=images[index])

    def guide(self, images: Any) -> None:
        """The code of each image, given its pixels; images (n, D)."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("images", len(images), subsample_size=self.batch_size) as index:
            logits = self.code_logits(images[index])
            if self.discrete:
                logits = self.latents.hard_logits(logits)
            self.draw(logits, getattr(self.encoder, "factors", None))
            if self.exact:
                pyro.factor("kl", self.kl_from_prior(logits), has_rsample=True)

    def draw(self, logits: Any, factors: Any = None) -> Any:
        """The site of the codes; its density counts unless the KL is taken exactly."""
        law = self.hard_law(logits) if self.discrete else self.latents.training(logits, factors)
        with pyro.poutine.mask(mask=False) if self.exact else nullcontext():
            return pyro.sample("code", law)

    def kl_from_prior(self, logits: Any) -> Any:
        """The KL of the codes' discrete laws, (n,)."""
        if self.latents.law.kl is not None:
            return self.latents.kl_from_prior(logits).reshape(len(logits), -1).sum(1)
        return rx.kl_divergence(self.discrete_law(logits), self.hard_law(0.0 * logits))

    def code_logits(self, images: Any) -> Any:
        """Logits of the codes, (n, *shape)."""
        return self.encoder(images).reshape(len(images), *self.latents.kind.shape)

    def hard_logits(self, images: Any) -> Any:
        """Logits of the codes' discrete laws, (n, *shape)."""
        return self.latents.hard_logits(self.code_logits(images))

    def flat(self, code: Any) -> Any:
        """A code as one row of numbers of order 1, (..., width)."""
        if self.link is not None:
            code = self.link(code)
        batch = code.shape[: code.ndim - len(self.latents.kind.shape)]
        return code.reshape(*batch, self.latents.kind.width) / self.latents.kind.unit


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
    pyro.clear_param_store()
    pyro.set_rng_seed(settings.seed)

    train_images = torch.tensor(digits.train)
    vae = DiscreteVAE(latents, weights, settings.batch_size)
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": settings.learning_rate}), Trace_ELBO())

    def step() -> float:
        try:
            return svi.step(train_images) / len(digits.train)
        except ValueError as error:
            # Pyro validates parameters and values before there is a loss to look at.
            if any(word in str(error) for word in ("nan", "inf", "invalid values")):
                return float("nan")
            raise

    def advance(size: int) -> NDArray[np.floating]:
        return np.array([step() for _ in range(size)])

    losses, step_seconds, train_seconds = train_with_progress(
        settings.steps,
        advance,
        chunk=10,
        description=f"pyro {distribution}",
        show=settings.progress,
    )

    vae.make_discrete()
    with torch.no_grad():
        test_bounds = discrete_bounds(vae, digits.test, settings.test_samples)
        probs, draws, means, samples = pictures(vae, digits.test, settings)
    trained = {
        name: {key: value.detach().numpy() for key, value in network.named_parameters()}
        for name, network in (("encoder", vae.encoder), ("decoder", vae.decoder))
    }
    return Result(
        losses, step_seconds, train_seconds, test_bounds, probs, draws, means, samples, trained
    )


def discrete_bounds(
    vae: DiscreteVAE, images: NDArray[np.float32], count: int
) -> NDArray[np.float64]:
    """Estimates of the ELBO per image of a model with discrete codes.

    :param vae: the model, after make_discrete.
    :param images: shape (n, D).
    :param count: passes over the images.
    :returns: one estimate per pass, shape (count,).
    """
    elbo = Trace_ELBO()
    test_images = torch.tensor(images)
    # Once for all passes: for some distributions it is a quadrature.
    logits = vae.hard_logits(test_images)

    def guide(images: Any) -> None:
        with pyro.plate("images", len(images)):
            vae.draw(logits)

    return np.array([-elbo.loss(vae.model, guide, test_images) / len(images) for _ in range(count)])


def pictures(
    vae: DiscreteVAE, images: NDArray[np.float32], s: Settings
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Probabilities and draws of held-out images' codes, their reconstructions, and new images."""
    shape = vae.latents.kind.shape
    posterior = vae.hard_law(vae.hard_logits(torch.tensor(images[: s.shown])))
    prior = vae.hard_law(torch.zeros((s.prior_samples, *shape)))

    def decode(code: Any) -> Any:
        return torch.sigmoid(vae.decoder(vae.flat(code)))

    draws = posterior.sample((s.posterior_draws,))
    means = decode(draws).mean(0)
    samples = decode(prior.sample())
    return (
        posterior.mean.numpy(),
        draws.numpy().astype(np.int8),
        means.numpy(),
        samples.numpy(),
    )
