"""One gradient of the perceptron over all rows in numpy, and its clip.

usage: numpy_peer.py FOLDER CLIP OUT
"""

import sys

import numpy
import threadpoolctl

import peer

FOLDER, CLIP, OUT = sys.argv[1:]
CLIP = float(CLIP)
FEATURES, HIDDEN, CLASSES = 784, 128, 10


def main():
    flat = peer.numbers(FOLDER, "model", -1)
    shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
    ends = numpy.cumsum([numpy.prod(shape) for shape in shapes])
    parts = numpy.split(flat, ends[:-1])
    w1, b1, w2, b2 = (part.reshape(shape) for part, shape in zip(parts, shapes))
    x = peer.numbers(FOLDER, "features", -1, FEATURES)
    y = peer.numbers(FOLDER, "targets", -1, CLASSES)

    def gradient():
        h = x @ w1
        h += b1
        numpy.maximum(h, 0, out=h)
        d2 = h @ w2
        d2 += b2
        d2 -= d2.max(1, keepdims=True)
        numpy.exp(d2, out=d2)
        d2 /= d2.sum(1, keepdims=True)
        d2 -= y
        d2 *= numpy.float32(1 / len(x))
        d1 = d2 @ w2.T
        d1 *= h > 0
        parts = [x.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0)]
        norm = numpy.sqrt(sum(numpy.vdot(part, part) for part in parts))
        weight = numpy.float32(min(1, CLIP / norm))
        return [part * weight for part in parts]

    def joined(parts):
        return numpy.concatenate([part.ravel() for part in parts])

    pools = threadpoolctl.threadpool_info()
    blas = next(pool for pool in pools if pool["user_api"] == "blas")
    about = (
        f"numpy {numpy.__version__}, {blas['internal_api']} {blas['version']}, "
        f"{blas['architecture']} kernels, {blas['num_threads']} thread(s)"
    )
    peer.serve(about, gradient, joined, OUT)


main()
