"""Published reconstruction attacks: their objectives, runs with and without sample splitting, and scores of what they find."""

from identify.attacks.mlp import MLP
from identify.attacks.objectives import Attack, Box, objective
from identify.attacks.published import BUZAGLO_PRESETS, HAIM_PRESETS, HAIM_RANGES, buzaglo, haim, loo
from identify.attacks.scores import Score, score
from identify.attacks.stationary import Stationarity, stationarity
from identify.attacks.training import Training, random_network, train
from identify.attacks.tuning import RandomSearch

__all__ = [
    "BUZAGLO_PRESETS",
    "HAIM_PRESETS",
    "HAIM_RANGES",
    "MLP",
    "Attack",
    "Box",
    "RandomSearch",
    "Score",
    "Stationarity",
    "Training",
    "buzaglo",
    "haim",
    "loo",
    "objective",
    "random_network",
    "score",
    "stationarity",
    "train",
]
