"""Cases of made-up predictions: each image a case, with its patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.cases import Cases, Grouping, Membership
from rn50med.evaluation.predictions import Predictions
from rn50med.tasks import Task


def owned(task: Task, predictions: Predictions, patients: ArrayLike) -> Cases:
    """Return predictions as cases of one image each, with the patients they are of."""
    names = np.asarray(patients).astype(str)
    return task.cases(predictions, Membership(names, Grouping.alone(len(names))))
