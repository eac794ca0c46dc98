"""Programs in Pyro, each a file to read and to copy."""

from models.common.cli import needed

needed("pyro", "pyro", "torch")
needed("models", "arviz", "matplotlib", "sklearn", "tqdm")
