"""Published reconstruction attacks: their objectives, runs with and without sample splitting, and scores of what they find."""

from identify.attacks.mlp import MLP
from identify.attacks.objectives import Attack, Box, objective
from identify.attacks.published import BUZAGLO_PRESETS, HAIM_PRESETS, HAIM_RANGES, buzaglo, haim, loo
from identify.attacks.scores import Score, score
from identify.attacks.stationary import Stationarity, stationarity

__all__ = [
    "BUZAGLO_PRESETS",
    "HAIM_PRESETS",
    "HAIM_RANGES",
    "MLP",
    "Attack",
    "Box",
    "Score",
    "Stationarity",
    "buzaglo",
    "haim",
    "loo",
    "objective",
    "score",
    "stationarity",
]
