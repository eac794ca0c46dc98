"""What a run is asked for and what it returns: plain numbers, whichever host made them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.common.cli import RunFailedError
from models.common.networks import Weights, two_layer_weights
from models.data import pixel_logits
from models.discrete_vae.latents import HIDDEN, LatentKind


@dataclass(frozen=True)
class Settings:
    """What a host needs to know to train and to evaluate.

    :param steps: optimiser steps.
    :param batch_size: images in a subsample.
    :param learning_rate: of Adam.
    :param seed: of the initial weights and of every draw.
    :param test_samples: draws per held-out image for the discrete bound.
    :param shown: held-out images to reconstruct, and to keep the posterior of.
    :param prior_samples: images to draw from the trained model.
    :param posterior_draws: draws of the discrete code for each of the `shown` images.
    :param progress: whether to draw a progress bar.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    test_samples: int = 50
    shown: int = 16
    prior_samples: int = 100
    posterior_draws: int = 200
    progress: bool = True


@dataclass(frozen=True)
class Result:
    """What came of a run; images are flattened, D numbers each.

    :param losses: negative ELBO per training image at each step, shape (steps,), in nats.
    :param step_seconds: median time of a step.
    :param train_seconds: time of the training, compilation included.
    :param test_bounds: one estimate of the discrete ELBO per held-out image for each pass over the
        held-out images with fresh draws, shape (test_samples,).
    :param latent_probs: the guide's probabilities for the shown images, (shown, *kind.shape).
    :param latent_draws: discrete codes of the shown images, (posterior_draws, shown, *kind.shape).
    :param reconstructions: pixel probabilities averaged over those draws, (shown, D).
    :param samples: pixel probabilities of images from the model, (prior_samples, D).
    :param weights: the trained networks, "encoder" and "decoder".
    """

    losses: NDArray[np.float64]
    step_seconds: float
    train_seconds: float
    test_bounds: NDArray[np.float64]
    latent_probs: NDArray[np.float32]
    latent_draws: NDArray[np.int8]
    reconstructions: NDArray[np.float32]
    samples: NDArray[np.float32]
    weights: Mapping[str, Weights]

    @property
    def training_bound(self) -> float:
        """The ELBO per image of the model that was trained, over the last tenth of the steps."""
        return -float(self.losses[-max(1, len(self.losses) // 10) :].mean())

    def check(self) -> None:
        """Refuse a bound that no model of binary pixels can have.

        :raises RunFailedError: the training bound is above 0. Then relaxed values have rounded to 0
            and 1, where a density no longer tells them apart, and the guide has learned that.
        """
        if self.training_bound > 0:
            raise RunFailedError(
                f"the training bound is {self.training_bound:.0f}, but log-probabilities of pixels "
                "are below 0: relaxed values have rounded to 0 and 1; raise --temperature, or "
                "choose --distribution LogitRelaxedBernoulli or ExpRelaxedOneHotCategorical"
            )

    @property
    def test_bound(self) -> float:
        """The discrete ELBO per held-out image."""
        return float(self.test_bounds.mean())

    @property
    def test_bound_error(self) -> float:
        """Monte Carlo standard error of `test_bound`, for these held-out images."""
        count = len(self.test_bounds)
        return float(self.test_bounds.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")


def initial_weights(
    seed: int, images: NDArray[np.floating], kind: LatentKind, rank: int = 0
) -> dict[str, Weights]:
    """The weights at which both hosts begin.

    :param seed: of the draws.
    :param images: training images (n, D); their mean sets the bias of the pixels.
    :param kind: the latent code.
    :param rank: of the factors of the code's correlation.
    :returns: the weights of "encoder" and "decoder", as two_layer_weights returns them; with a rank
        the encoder has "factors" (kind.width, rank) besides.
    """
    rng = np.random.default_rng(seed)
    pixels = images.shape[1]
    weights = {
        "encoder": two_layer_weights(rng, pixels, HIDDEN, kind.width),
        "decoder": two_layer_weights(rng, kind.width, HIDDEN, pixels, pixel_logits(images)),
    }
    if rank:
        # Not zero, where the correlation would have no gradient.
        factors = 0.05 * rng.standard_normal((kind.width, rank))
        weights["encoder"]["factors"] = factors.astype(np.float32)
    return weights
