"""How a peer in Python talks to the bench.

The bench starts one process for each row. It prints a line about itself when it is warm, and
leaves its sum in a file, which the bench compares with its own. For each line that it reads it
does the work once and prints the seconds that this took, on the wall and on processors.
"""

import json
import sys
import time

import numpy


def numbers(folder, name, *shape):
    """A file of the bench's: 32-bit floats, little endian."""
    return numpy.fromfile(f"{folder}/{name}.f32", dtype="<f4").reshape(shape)


def serve(about, work, result, out):
    """Runs `work`, which returns when everything is computed, whenever asked."""
    for _ in range(2):
        found = work()
    numpy.asarray(result(found), dtype="<f4").tofile(out)
    del found
    print(json.dumps({"about": about}), flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        work()
        took = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(took), flush=True)
