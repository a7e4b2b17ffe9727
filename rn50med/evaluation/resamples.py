"""Figures of images that count several times, as every resample of a bootstrap needs them.

Each `weighted_` function is called with what was said, the truth, and weights ``(R, N)``: how often each of
N images counts in each of R resamples. It returns ``(R,)``, ``nan`` where the figure is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from rn50med.evaluation.arrays import Bools, Floats, Ints
from rn50med.evaluation.scoring import squared_errors, surprises

# Cells of a matrix of levels by resamples that are held at once; 16 MB of float64.
_CELLS = 2_000_000


def quotient(part: Floats, whole: Floats) -> Floats:
    """Divide, with ``nan`` where the whole is 0.

    Args:
        part: Dividends.
        whole: Divisors, of the same shape.

    Example:
        >>> quotient(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
        array([0.5, nan])
    """
    result = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) != 0)
    return result


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of a finding, sorted once, to be judged under any draw of patients.

    A ranking figure changes only at the scores of positive images: its levels, highest first. Each matrix
    says how many images every patient adds on the way down to a level.

    Args:
        found: Positive images at a level.
        called: Images at a level, or between it and the one above.
        ahead: Negative images likewise; one at a level counts half there and half at the next.
        negatives: Negative images of each patient, ``(P,)``.

    Shape:
        - found, called, ahead: ``(levels, P)``, sparse.
    """

    found: csr_array
    called: csr_array
    ahead: csr_array
    negatives: Floats

    @classmethod
    def of(cls, scores: Floats, positive: Bools, index: Ints, patients: int) -> Ranking:
        """Sort scores.

        Args:
            scores: Higher is more likely positive.
            positive: Whether each image is positive.
            index: Patient of each image, from 0.
            patients: Number of patients, P.

        Shape:
            - scores, positive, index: ``(N,)``.

        Example:
            >>> scores, positive = np.array([0.9, 0.5, 0.5]), np.array([True, True, False])
            >>> ranking = Ranking.of(scores, positive, np.arange(3), 3)
            >>> ranking.auroc(np.ones((3, 1))), ranking.average_precision(np.ones((3, 1)))
            (array([0.75]), array([0.83333333]))
        """
        levels = np.unique(scores[positive])
        # The number of levels above a score is the level, counted from the top, that first calls its image.
        level = levels.size - np.searchsorted(levels, scores, side="right")
        tied = ~positive & np.isin(scores, levels)
        share = np.where(tied, 0.5, 1.0)

        def summed(*parts: tuple[Ints, Ints, Floats]) -> csr_array:
            rows, columns, data = (np.concatenate(each) for each in zip(*parts, strict=True))
            inside = rows < levels.size
            entries = data[inside], (rows[inside], columns[inside])
            return csr_array(entries, shape=(levels.size, patients))

        return cls(
            summed((level[positive], index[positive], np.ones(int(positive.sum())))),
            summed((level, index, np.ones(scores.size))),
            summed(
                (level[~positive], index[~positive], share[~positive]),
                (level[tied] + 1, index[tied], share[tied]),
            ),
            np.bincount(index[~positive], minlength=patients).astype(np.float64),
        )

    def auroc(self, counts: Floats) -> Floats:
        """Return the AUROC of each resample, ties counting half.

        Args:
            counts: How often each patient counts, ``(P, R)``.
        """
        lost, positives = np.empty(counts.shape[1]), np.empty(counts.shape[1])
        for part in self._parts(counts.shape[1]):
            found = self.found @ counts[:, part]
            lost[part] = np.einsum("lr,lr->r", found, np.cumsum(self.ahead @ counts[:, part], axis=0))
            positives[part] = found.sum(axis=0)
        return 1.0 - quotient(lost, positives * (self.negatives @ counts))

    def average_precision(self, counts: Floats) -> Floats:
        """Return the area under each resample's precision-recall curve, as a step function.

        Args:
            counts: How often each patient counts, ``(P, R)``.
        """
        area, positives = np.empty(counts.shape[1]), np.empty(counts.shape[1])
        for part in self._parts(counts.shape[1]):
            found = self.found @ counts[:, part]
            called = np.cumsum(self.called @ counts[:, part], axis=0)
            reached = np.cumsum(found, axis=0)
            precision = np.divide(reached, called, out=np.zeros_like(reached), where=called > 0)
            area[part] = np.einsum("lr,lr->r", found, precision)
            positives[part] = found.sum(axis=0)
        defined = (positives > 0) & (self.negatives @ counts > 0)
        return quotient(area, np.where(defined, positives, 0.0))

    def _parts(self, resamples: int) -> list[slice]:
        step = max(1, _CELLS // max(1, self.found.shape[0]))
        return [slice(start, start + step) for start in range(0, resamples, step)]


def _ranking(scores: Floats, target: Floats) -> Ranking:
    """Return scores as a ranking in which each image is a patient of its own."""
    return Ranking.of(scores, np.asarray(target) == 1, np.arange(scores.size), scores.size)


def weighted_auroc(scores: Floats, target: Floats, weights: Floats) -> Floats:
    """Return the AUROC under each row of weights.

    Args:
        scores: Higher is more likely positive, ``(N,)``.
        target: 0 or 1, ``(N,)``.
        weights: How often each image counts, ``(R, N)``.

    Example:
        >>> weighted_auroc(np.array([0.9, 0.5, 0.1]), np.array([0, 1, 0]), np.array([[1.0, 3.0, 3.0]]))
        array([0.75])
    """
    return _ranking(scores, target).auroc(np.ascontiguousarray(weights.T))


def weighted_average_precision(scores: Floats, target: Floats, weights: Floats) -> Floats:
    """Return the average precision under each row of weights.

    Args:
        scores: Higher is more likely positive, ``(N,)``.
        target: 0 or 1, ``(N,)``.
        weights: How often each image counts, ``(R, N)``.

    Example:
        >>> weighted_average_precision(np.array([0.9, 0.5]), np.array([0.0, 1.0]), np.array([[1.0, 3.0]]))
        array([0.75])
    """
    return _ranking(scores, target).average_precision(np.ascontiguousarray(weights.T))


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Return the mean under each row of weights.

    Args:
        values: One per image, ``(N,)``.
        weights: How often each image counts, ``(R, N)``.

    Example:
        >>> weighted_mean(np.array([1.0, 3.0]), np.array([[1.0, 3.0], [0.0, 0.0]]))
        array([2.5, nan])
    """
    return quotient(weights @ values, weights.sum(axis=1))


def weighted_brier(probabilities: Floats, target: Floats, weights: Floats) -> Floats:
    """Return the Brier score under each row of weights.

    Args:
        probabilities: ``(N,)`` of the positive class, or ``(N, K)`` of every class.
        target: Class indices, ``(N,)``.
        weights: How often each image counts, ``(R, N)``.

    Example:
        >>> weighted_brier(np.array([0.5, 1.0]), np.array([1, 1]), np.array([[1.0, 3.0]]))
        array([0.0625])
    """
    return weighted_mean(squared_errors(probabilities, target), weights)


def weighted_log_loss(probabilities: Floats, target: Floats, weights: Floats) -> Floats:
    """Return the log-loss under each row of weights, in nats.

    Args:
        probabilities: ``(N,)`` of the positive class, or ``(N, K)`` of every class.
        target: Class indices, ``(N,)``.
        weights: How often each image counts, ``(R, N)``.

    Example:
        >>> weighted_log_loss(np.array([0.5, 0.5]), np.array([0, 1]), np.ones((1, 2))).round(6)
        array([0.693147])
    """
    return weighted_mean(surprises(probabilities, target), weights)
