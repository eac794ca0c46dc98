"""Programs in NumPyro, each a file to read and to copy."""

from models.common.cli import needed

needed("numpyro", "numpyro", "jax")
needed("models", "arviz", "equinox", "matplotlib", "sklearn", "tqdm")
