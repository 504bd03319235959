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

With `sampling` and `order` in it, a configuration is of rounds that each unit takes part in with
that probability, and the answer has

    renyi        the Renyi divergence of that order of all releases together
    epsilon      epsilon by the Renyi accountant of that order alone
    pld          epsilon by distributions of privacy losses, optimistic; null where releases are
                 too many for them
"""

import json
import math
import sys

import dp_accounting
from dp_accounting import pld, rdp
from dp_accounting.pld import privacy_loss_distribution, privacy_loss_mechanism

# The best order is 1 + sqrt(ln(1/delta) / rho) at most: 372 for the least rho of the test.
INTEGERS = range(2, 1025)

# order - 1 from 0.0101, below which the accountant takes none, to above 1000.
FINE = [1 + 0.0101 * 1.005**place for place in range(2400)]

# The table of a discrete Gaussian has 23 numbers for each step of sigma.
LARGEST_TABLE = 20_000

# Beyond so many releases distributions of privacy losses take too long.
MOST_CONVOLVED = 60

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


def sampled(config):
    noise = config["sigma_steps"] / config["steps"]
    releases, delta = config["releases"], config["delta"]
    one = dp_accounting.PoissonSampledDpEvent(
        config["sampling"], dp_accounting.GaussianDpEvent(noise)
    )
    event = dp_accounting.SelfComposedDpEvent(one, releases)
    accountant = rdp.RdpAccountant([config["order"]])
    accountant.compose(event)
    losses = None
    if releases <= MOST_CONVOLVED:
        distribution = privacy_loss_distribution.from_gaussian_mechanism(
            noise,
            value_discretization_interval=1e-3,
            pessimistic_estimate=False,
            use_connect_dots=False,
            sampling_prob=config["sampling"],
        )
        losses = distribution.self_compose(releases).get_epsilon_for_delta(delta)
    return {
        # The vector has one divergence for each order.
        "renyi": accountant._rdp[0],
        "epsilon": accountant.get_epsilon(delta),
        "pld": losses,
    }


def discrete(config):
    if config["sigma_steps"] > LARGEST_TABLE:
        return None
    loss = privacy_loss_mechanism.DiscreteGaussianPrivacyLoss(
        config["sigma_steps"], sensitivity=config["steps"]
    )
    return loss.get_delta_for_epsilon(config["one"])


for line in sys.stdin:
    config = json.loads(line)
    found = sampled(config) if "sampling" in config else answer(config)
    # numpy's numbers are not JSON's.
    print(json.dumps({name: x if x is None else float(x) for name, x in found.items()}))
