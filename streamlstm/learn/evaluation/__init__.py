"""How good a model is on a table: errors, baselines, intervals, alarms, worst stretches."""

from .evaluate import evaluate, judge
from .evaluation import Evaluation, Score

__all__ = ["Evaluation", "Score", "evaluate", "judge"]
