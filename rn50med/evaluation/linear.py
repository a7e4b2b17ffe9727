"""A linear model of a few numbers of each image: the yardstick of baselines and shortcuts."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from rn50med.evaluation.arrays import UNKNOWN, Floats, Ints

INVERSE_PENALTY = 0.01
"""scikit-learn's ``C``, fixed and not searched for: a strong penalty, as there are about as many inputs as
images."""

_STEPS = 2000
_LEAST_LOG = -20.0  # of a class that was not learnt: less probable than any that was


def linear_logits(learnt: Floats, target: Ints, judged: Floats, outputs: int) -> Floats:
    """Fit a logistic regression to images of train, and return its logits of other images.

    Inputs are standardised by train's mean and standard deviation; the penalty is L2. Of classes that
    exclude each other there is one regression, of labels one each.

    Args:
        learnt: Numbers of each image of train, ``(N, D)``.
        target: Their targets: class numbers, ``(N,)``, or 0, 1 and -100 (unknown) of each label, ``(N, L)``.
        judged: The same numbers of the images to judge, ``(M, D)``.
        outputs: Number of logits, K: 1 for a finding that is there or not, else one per class or label.

    Shape:
        - output: ``(M, K)``; a sigmoid or, of classes, a softmax makes probabilities of them.

    Example:
        >>> numbers = np.array([[0.0], [0.0], [1.0], [1.0]])
        >>> linear_logits(numbers, np.array([0, 0, 1, 1]), np.array([[0.0], [0.5], [1.0]]), 1).round(3)
        array([[-0.02],
               [ 0.  ],
               [ 0.02]])
    """
    scaler = StandardScaler().fit(learnt)
    learnt, judged = scaler.transform(learnt), scaler.transform(judged)
    if target.ndim == 2:
        labels = (_fitted(learnt, target[:, k], judged, 1) for k in range(outputs))
        return np.concatenate(list(labels), axis=1)
    return _fitted(learnt, target, judged, outputs)


def _fitted(learnt: Floats, target: Ints, judged: Floats, outputs: int) -> Floats:
    known = target != UNKNOWN
    classes = np.unique(target[known])
    if classes.size < 2:  # nothing to tell apart: all images are alike
        return np.zeros((len(judged), outputs))
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=_STEPS).fit(learnt[known], target[known])
    if outputs == 1:
        return np.asarray(model.decision_function(judged), dtype=np.float64)[:, None]
    logits = np.full((len(judged), outputs), _LEAST_LOG)
    logits[:, classes] = np.maximum(model.predict_log_proba(judged), _LEAST_LOG)
    return logits
