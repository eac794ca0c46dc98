"""Trains attend, infer, repeat on Pyro."""

import argparse
from collections.abc import Callable
from typing import Any

from models.pyro import attend_infer_repeat as air


def judged(method: str, steps: int, data: Any) -> Callable[[int], tuple[Any, float]]:
    """What trains by a method from the first weights of a seed, then counts and bounds."""

    def one(seed: int) -> tuple[Any, float]:
        options = argparse.Namespace(method=method, steps=steps, seed=seed, quiet=True)
        return air.judge(*air.train(options, data.train), data.test)

    return one
