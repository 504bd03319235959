"""What Google's dp-accounting says of Gaussian releases, for the test `accounting`.

Reads one configuration a line and answers each with a line, both in JSON.

A configuration is `steps`, `sigma_steps`, `releases`, `delta`, and `one`, our epsilon for one
release. An answer has

    tight        epsilon of the Gaussian mechanism, by the formula of Balle and Wang 2018
    pld          epsilon by the accountant of privacy losses, pessimistic
    integer      epsilon by the Renyi accountant at integer orders, and `integer_order`, the best
    fine         the same at orders of which neighbours are close, and `fine_order`
    discrete     delta of one release of the discrete Gaussian at `one`, in one dimension;
                 null where its table would be too large
"""

import json
import math
import sys

import dp_accounting
from dp_accounting import pld, rdp
from dp_accounting.pld import privacy_loss_mechanism

# The best order is 1 + sqrt(ln(1/delta) / rho) at most: 372 for the least rho of the test.
INTEGERS = range(2, 1025)

# order - 1 from 0.0101, below which the accountant takes none, to above 1000.
FINE = [1 + 0.0101 * 1.005**place for place in range(2400)]

# The table of a discrete Gaussian has 23 numbers for each step of sigma.
LARGEST_TABLE = 20_000

# Of the accountant of privacy losses, in epsilons.
INTERVAL = 1e-3


def answer(config):
    noise = config["sigma_steps"] / config["steps"]
    releases, delta = config["releases"], config["delta"]
    event = dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(noise), releases)

    # Gaussians compose to one with less noise.
    tight = dp_accounting.get_epsilon_gaussian(noise / math.sqrt(releases), delta)
    losses = pld.PLDAccountant(value_discretization_interval=tight * INTERVAL)
    losses.compose(event)

    def renyi(orders):
        accountant = rdp.RdpAccountant(orders)
        accountant.compose(event)
        return accountant.get_epsilon_and_optimal_order(delta)

    integer, integer_order = renyi(INTEGERS)
    fine, fine_order = renyi(FINE)
    return {
        "tight": tight,
        "pld": losses.get_epsilon(delta),
        "integer": integer,
        "integer_order": integer_order,
        "fine": fine,
        "fine_order": fine_order,
        "discrete": discrete(config),
    }


def discrete(config):
    if config["sigma_steps"] > LARGEST_TABLE:
        return None
    loss = privacy_loss_mechanism.DiscreteGaussianPrivacyLoss(
        config["sigma_steps"], sensitivity=config["steps"]
    )
    return loss.get_delta_for_epsilon(config["one"])


for line in sys.stdin:
    found = answer(json.loads(line))
    # numpy's numbers are not JSON's.
    print(json.dumps({name: x if x is None else float(x) for name, x in found.items()}))
