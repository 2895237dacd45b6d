"""How good a model is on a table: errors, baselines, intervals, alarms, worst stretches."""

from .evaluate import evaluate, judge
from .evaluation import Evaluation, Score
from .held_back import evaluate_held_back

__all__ = ["Evaluation", "Score", "evaluate", "evaluate_held_back", "judge"]
