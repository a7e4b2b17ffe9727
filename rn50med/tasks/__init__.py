"""Tasks: what is predicted, how it is encoded, learnt and judged.

A task is written once and knows everything that depends on what is predicted: the number of logits,
the loss, the probabilities, the figures, the figure to watch. Nothing else in rn50med asks which task
it has.
"""

from __future__ import annotations

from rn50med.tasks.base import UNKNOWN, Columns, Row, Task
from rn50med.tasks.binary import Binary
from rn50med.tasks.multiclass import MultiClass
from rn50med.tasks.multilabel import MultiLabel, Policy
from rn50med.tasks.ordinal import Ordinal
from rn50med.tasks.regression import Regression

__all__ = [
    "UNKNOWN",
    "Binary",
    "Columns",
    "MultiClass",
    "MultiLabel",
    "Ordinal",
    "Policy",
    "Regression",
    "Row",
    "Task",
]

# Recipes and checkpoints name a class by this package, wherever in it the class is written.
for _task in (Task, Binary, MultiClass, MultiLabel, Ordinal, Regression):
    _task.__module__ = __name__
