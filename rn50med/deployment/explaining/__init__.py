"""Heat maps: what they are computed from, how they are drawn, and how they are put to the test."""

from rn50med.deployment.explaining.maps import BASELINES, METHODS, Baseline, Method, heat_map
from rn50med.deployment.explaining.sanity import likeness, pointing_game, randomised

__all__ = [
    "BASELINES",
    "METHODS",
    "Baseline",
    "Method",
    "heat_map",
    "likeness",
    "pointing_game",
    "randomised",
]
