"""Published reconstruction attacks: their objectives, runs with and without sample splitting, and scores of their candidates."""

from identify.attacks.decoding import Patterns, patterns
from identify.attacks.diagnosis import Diagnosis, diagnose
from identify.attacks.kinks import Corners, corners
from identify.attacks.limits import Vertices, vertices
from identify.attacks.mlp import MLP
from identify.attacks.objectives import Attack, objective
from identify.attacks.priors import Box, HighFrequency
from identify.attacks.published import HAIM_RANGES, buzaglo, haim, loo
from identify.attacks.rows import in_row_space, row_space
from identify.attacks.scores import Score, score
from identify.attacks.stationary import Stationarity, stationarity
from identify.attacks.training import Training, random_network, train
from identify.attacks.tuning import RandomSearch
from identify.base.options import BUZAGLO_PRESETS, HAIM_PRESETS

__all__ = [
    "BUZAGLO_PRESETS",
    "HAIM_PRESETS",
    "HAIM_RANGES",
    "MLP",
    "Attack",
    "Box",
    "Corners",
    "Diagnosis",
    "HighFrequency",
    "Patterns",
    "RandomSearch",
    "Score",
    "Stationarity",
    "Training",
    "Vertices",
    "buzaglo",
    "corners",
    "diagnose",
    "haim",
    "in_row_space",
    "loo",
    "objective",
    "patterns",
    "random_network",
    "row_space",
    "score",
    "stationarity",
    "train",
    "vertices",
]
