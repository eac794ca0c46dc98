"""The topic model: where the guide knows the topics' law, its draws have the bound of the sum."""

from __future__ import annotations

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pyro
import pytest
import torch
from numpyro.infer.util import log_density

from models.corpus import Corpus, alone_per_word, load_descriptions, top_words

SIZE, TOPICS = 7, 12
WORDS, KNOWN = (
    np.array([[3, 1, 6], [2, 2, 0], [5, 4, 0]]),
    np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0]]),
)
COUNTS = np.stack(
    [np.bincount(w[k > 0], minlength=SIZE) for w, k in zip(WORDS, KNOWN, strict=True)]
)


@pytest.fixture
def topics() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((TOPICS, SIZE))


def with_topics_summed(topics: np.ndarray, share: np.ndarray) -> float:
    """Of all words given the shares, the sum over a word's topics written out."""
    laws = np.exp(topics) / np.exp(topics).sum(-1, keepdims=True)
    total = 0.0
    for words, known, row in zip(WORDS, KNOWN, share.reshape(len(WORDS), TOPICS), strict=True):
        weights = np.exp(row) / np.exp(row).sum()
        total += sum(np.log(weights @ laws[:, w]) for w, k in zip(words, known, strict=True) if k)
    return total


def test_numpyro_draws_have_the_bound_of_the_sum(topics: np.ndarray) -> None:
    data = jnp.asarray(WORDS), jnp.asarray(KNOWN > 0), jnp.asarray(COUNTS, jnp.float32), None
    programs = importlib.import_module("models.numpyro.topic_model").programs
    rng = np.random.default_rng(1)
    share, topic = (
        rng.standard_normal((len(WORDS), 1, TOPICS)),
        rng.integers(TOPICS, size=(3, 3)),
    )
    values = {"topics": topics, "of_word": topics - np.logaddexp.reduce(topics, -1)[:, None]}
    values["of_word"] = values["of_word"].T
    for summed in (False, True):
        latent = {"share": share} | ({} if summed else {"topic": topic})
        found = 0.0
        for fn, sign in zip(programs(jnp.asarray(topics), summed), (1, -1), strict=True):
            total, run = log_density(fn, data, {}, jax.tree.map(jnp.asarray, values | latent))
            law = run["share"]["fn"].log_prob(run["share"]["value"]).sum()
            found += sign * float(total - law)
        assert found == pytest.approx(with_topics_summed(topics, share), rel=1e-5)


def test_pyro_draws_have_the_bound_of_the_sum(topics: np.ndarray) -> None:
    data = torch.as_tensor(WORDS), torch.as_tensor(KNOWN > 0), torch.as_tensor(COUNTS * 1.0), None
    program = importlib.import_module("models.pyro.topic_model")
    for summed in (False, True):
        pyro.clear_param_store()
        pyro.param("topics", torch.as_tensor(topics))
        pyro.param("of_word", torch.as_tensor(topics).log_softmax(-1).T)
        model, guide = program.programs(torch.as_tensor(topics), summed)
        drawn = pyro.poutine.trace(guide).get_trace(*data)
        run = pyro.poutine.trace(pyro.poutine.replay(model, drawn)).get_trace(*data)
        share = drawn.nodes["share"]["value"].detach().numpy()
        found = (run.log_prob_sum() - drawn.log_prob_sum()).item()
        for trace, sign in ((run, 1), (drawn, -1)):
            found -= sign * trace.nodes["share"]["log_prob_sum"].item()
        assert found == pytest.approx(with_topics_summed(topics, share), rel=1e-9)


def test_every_word_of_the_corpus_is_counted() -> None:
    train, held_out = load_descriptions()
    for part, size in ((train, 1565), (held_out, 200)):
        assert part.words.shape == part.known.shape == (size, 40)
        np.testing.assert_array_equal(part.counts.sum(-1), part.known.sum(-1))
        assert part.known.sum(-1).min() >= 5
        # Words stand at the front, in the order of the text.
        assert not (np.diff(part.known.astype(int)) > 0).any()
    assert len(set(train.titles) | set(held_out.titles)) > 1700


def test_words_alone_are_scored_by_how_often_they_are() -> None:
    vocabulary = ["a", "b"]
    train = Corpus(WORDS, KNOWN > 0, np.array([[3.0, 0.0]], np.float32), ["x"], vocabulary)
    held_out = Corpus(WORDS, KNOWN > 0, np.array([[1.0, 2.0]], np.float32), ["y"], vocabulary)
    expected = (np.log(3.5 / 4) + 2 * np.log(0.5 / 4)) / 3
    assert alone_per_word(train, held_out) == pytest.approx(expected)
    assert top_words(np.array([[0.2, 0.8]]), vocabulary) == [["b", "a"]]
