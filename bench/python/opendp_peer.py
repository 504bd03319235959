"""Discrete Gaussians of OpenDP, from its secure generator, added to a vector of zeros.

A sigma of 0 leaves what it takes to give it a list and to get one back.

usage: opendp_peer.py FOLDER SIGMA COUNT OUT
"""

import importlib.metadata
import sys

import opendp.prelude as dp

import peer

_, SIGMA, COUNT, OUT = sys.argv[1:]


def main():
    # Its measurements are "contrib": not all of their proofs are finished.
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T=int), size=int(COUNT))
    noise = dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=float(SIGMA))
    zeros = [0] * int(COUNT)
    about = f"OpenDP {importlib.metadata.version('opendp')}"
    peer.serve(about, lambda: noise(zeros), lambda samples: samples, OUT)


main()
