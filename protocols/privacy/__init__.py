"""Differential privacy for sums: vectors as integers, exact noise, what it costs, and the mechanisms that tie
them together.
"""

from protocols.privacy.accounting import (
    Budget,
    DiscreteGaussians,
    Gaussian,
    PoissonSampling,
    Skellam,
    WithoutReplacement,
    epsilon,
    noise_for,
)
from protocols.privacy.mechanisms import (
    DistributedDiscreteGaussian,
    DistributedSkellam,
    JointDiscreteGaussian,
)
from protocols.privacy.vectors import Encoding

__all__ = [
    "Budget",
    "DiscreteGaussians",
    "DistributedDiscreteGaussian",
    "DistributedSkellam",
    "Encoding",
    "Gaussian",
    "JointDiscreteGaussian",
    "PoissonSampling",
    "Skellam",
    "WithoutReplacement",
    "epsilon",
    "noise_for",
]
