"""Clipped sums of the gradients of single rows in JAX, in floats: no grid, no integers.

usage: jax_peer.py FOLDER vmap|ghost logistic|perceptron CLIP CHUNKS OUT

`vmap` is what a person writes: jax.grad of one row's loss, mapped over rows, each gradient
clipped, summed. `ghost` never makes a row's gradient: its norm follows from that of its factors,
and the sum is one gradient of the batch with a weight for each row. Both go through the rows in
chunks, so that they fit into memory and cache; of the sizes that CHUNKS names, the quickest.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy

import peer

FOLDER, METHOD, PROBLEM, CLIP, CHUNKS, OUT = sys.argv[1:]
CLIP, CHUNKS = float(CLIP), [int(chunk) for chunk in CHUNKS.split(",")]


def logistic():
    features = 30
    model = peer.numbers(FOLDER, "model", features + 1)
    x = peer.numbers(FOLDER, "features", -1, features)
    y = peer.numbers(FOLDER, "targets", -1)

    def loss(model, x, y):
        z = x @ model[:-1] + model[-1]
        return jax.nn.softplus(z) - y * z

    def ghost(model, x, y):
        error = jax.nn.sigmoid(x @ model[:-1] + model[-1]) - y
        norm = jnp.abs(error) * jnp.sqrt((x * x).sum(1) + 1)
        error = error * scale(norm)
        return jnp.append(x.T @ error, error.sum())

    return jnp.asarray(model), x, y, loss, ghost


def perceptron():
    features, hidden, classes = 784, 128, 10
    flat = peer.numbers(FOLDER, "model", -1)
    shapes = [(features, hidden), (hidden,), (hidden, classes), (classes,)]
    ends = numpy.cumsum([numpy.prod(shape) for shape in shapes])
    parts = numpy.split(flat, ends[:-1])
    model = tuple(jnp.asarray(part.reshape(shape)) for part, shape in zip(parts, shapes))
    x = peer.numbers(FOLDER, "features", -1, features)
    y = peer.numbers(FOLDER, "targets", -1, classes)

    def loss(model, x, y):
        w1, b1, w2, b2 = model
        z = jax.nn.relu(x @ w1 + b1) @ w2 + b2
        return -(y * jax.nn.log_softmax(z)).sum()

    def ghost(model, x, y):
        w1, b1, w2, b2 = model
        h = jax.nn.relu(x @ w1 + b1)
        d2 = jax.nn.softmax(h @ w2 + b2) - y
        d1 = (d2 @ w2.T) * (h > 0)
        square = lambda m: (m * m).sum(1)
        weight = scale(jnp.sqrt((square(x) + 1) * square(d1) + (square(h) + 1) * square(d2)))
        d1, d2 = d1 * weight[:, None], d2 * weight[:, None]
        return x.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0)

    return model, x, y, loss, ghost


def scale(norm):
    return jnp.minimum(1.0, CLIP / jnp.maximum(norm, 1e-30))


def vmap_of(loss):
    square = jax.vmap(lambda leaf: jnp.vdot(leaf, leaf))

    def clipped(model, x, y):
        gradients = jax.vmap(jax.grad(loss), (None, 0, 0))(model, x, y)
        weight = scale(jnp.sqrt(sum(square(leaf) for leaf in jax.tree.leaves(gradients))))
        # Three times as fast as to multiply and then sum.
        weighted = lambda leaf: jnp.einsum("b...,b->...", leaf, weight)
        return jax.tree.map(weighted, gradients)

    return clipped


def in_chunks(of_chunk, model, x, y, chunk):
    """The work: the sum over all rows, `chunk` of them at a time."""
    assert len(x) % chunk == 0, "chunks of one size"
    x, y = (jnp.asarray(a.reshape((-1, chunk) + a.shape[1:])) for a in (x, y))

    @jax.jit
    def whole(model, x, y):
        def add(total, chunk):
            return jax.tree.map(jnp.add, total, of_chunk(model, *chunk)), None

        return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, model), (x, y))[0]

    return lambda: jax.block_until_ready(whole(model, x, y))


def seconds(work):
    """The quicker of two runs of compiled work."""
    work()
    times = [time.perf_counter()]
    for _ in range(2):
        work()
        times.append(time.perf_counter())
    return min(times[1] - times[0], times[2] - times[1])


def main():
    model, x, y, loss, ghost = {"logistic": logistic, "perceptron": perceptron}[PROBLEM]()
    of_chunk = {"vmap": vmap_of(loss), "ghost": ghost}[METHOD]
    works = {chunk: in_chunks(of_chunk, model, x, y, chunk) for chunk in CHUNKS}
    best = min(works, key=lambda chunk: seconds(works[chunk]))

    def flat(sums):
        return numpy.concatenate([numpy.asarray(leaf).ravel() for leaf in jax.tree.leaves(sums)])

    about = f"JAX {jax.__version__} on {jax.devices()[0].platform}, {best} rows at once"
    peer.serve(about, works[best], flat, OUT)


main()
