"""How often each class occurs in train, and the weights that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn50med.errors import RecipeError, unknown
from rn50med.evaluation.arrays import UNKNOWN

Weighting = Literal["none", "pos_weight", "class_balanced"]
"""How classes weigh: alike; by negatives per positive; or by the effective number of their images."""


@dataclass(frozen=True)
class ClassCounts:
    """How many training images have each class or finding.

    A softmax asks one question, which of K classes, and a sigmoid asks one for each finding: whether it is
    absent or present. Counts are kept by question and answer, so that both are treated alike.

    Args:
        numbers: For each question, the images of each answer. Unknown labels are not among them.
        exclusive: Whether the classes exclude each other, so that a softmax goes over the logits; else
            each logit has a sigmoid.

    Example:
        >>> ClassCounts.of([0, 1, 1, 1], num_outputs=1, exclusive=False).numbers
        ((1, 3),)
        >>> ClassCounts.of([0, 2, 2, 1], num_outputs=3, exclusive=True).numbers
        ((1, 1, 2),)
        >>> ClassCounts.of([[1, 0], [-100, 0]], num_outputs=2, exclusive=False).numbers
        ((0, 1), (2, 0))
    """

    numbers: tuple[tuple[int, ...], ...]
    exclusive: bool

    @classmethod
    def of(cls, targets: ArrayLike, num_outputs: int, exclusive: bool) -> ClassCounts:
        """Count the targets of the training images, and of no others.

        Args:
            targets: Class numbers, ``(N,)``; or 0, 1 and `UNKNOWN` for each finding, ``(N, L)``.
            num_outputs: Number of logits.
            exclusive: Whether the classes exclude each other.
        """
        questions = 1 if exclusive else num_outputs
        answers = np.asarray(targets, np.int64).reshape(-1, questions)
        size = num_outputs if exclusive else 2
        found = [np.bincount(column[column != UNKNOWN], minlength=size) for column in answers.T]
        return cls(tuple(tuple(count.tolist()) for count in found), exclusive)

    @property
    def num_outputs(self) -> int:
        """Number of logits."""
        return len(self.numbers[0]) if self.exclusive else len(self.numbers)

    def shares(self) -> NDArray[np.float64]:
        """Return how frequent each answer is; one that no image has counts as half an image.

        Shape:
            - output: ``(questions, answers)``; a question's sum to 1.
        """
        numbers = np.maximum(np.array(self.numbers, np.float64), 0.5)
        return np.asarray(numbers / numbers.sum(axis=1, keepdims=True))

    def weights(self, weighting: Weighting, beta: float) -> NDArray[np.float64]:
        r"""Return what an image of each answer weighs.

        `pos_weight`: a positive weighs as much as there are negatives for one, a negative 1.
        `class_balanced`: an answer with n images weighs in proportion to
        :math:`(1 - \beta) / (1 - \beta^n)`, and the images of train weigh 1 in the mean, so that the learning
        rate keeps its meaning. (The authors let the weights of the classes sum to their number.)

        Args:
            weighting: Which of them.
            beta: For `class_balanced`, from 0, all alike, to 1, the inverse frequency.

        Shape:
            - output: ``(questions, answers)``.

        Raises:
            RecipeError: If positives are asked for where there are none: of classes that exclude each other.

        Source:
            Cui et al., *Class-balanced loss based on effective number of samples*, CVPR 2019, section 4;
            arXiv:1901.05555.
        """
        numbers = np.array(self.numbers, np.float64)
        present = np.maximum(numbers, 1.0)  # an answer without an image is never weighed
        if weighting == "none":
            return np.ones_like(numbers)
        if weighting == "class_balanced":
            weights = 1 / (present if beta == 1 else (1 - beta**present) / (1 - beta))
            images, total = numbers.sum(axis=1), (weights * numbers).sum(axis=1)
            return np.asarray(weights * np.where(images > 0, images / np.maximum(total, 1e-300), 1)[:, None])
        if self.exclusive:
            raise RecipeError(
                "model.loss.weights: is 'pos_weight', but classes that exclude each other have no negatives; "
                "give class_balanced."
            )
        ratio = np.where(numbers.min(axis=1) > 0, present[:, 0] / present[:, 1], 1.0)
        return np.stack([np.ones_like(ratio), ratio], axis=1)

    def statement(self, names: Sequence[str], weights: NDArray[np.float64]) -> str:
        """Return one line that says how frequent the classes of train are, and what they weigh.

        Args:
            names: The classes in the order of the logits; of one sigmoid, negative and positive.
            weights: As `weights` returns them.

        Example:
            >>> counts = ClassCounts.of([0, 1, 1, 1], num_outputs=1, exclusive=False)
            >>> counts.statement(["normal", "pneumonia"], counts.weights("pos_weight", 0.0))
            'train has normal 1 (weight 1), pneumonia 3 (weight 0.333)'
        """
        numbers = np.array(self.numbers).ravel()
        if not self.exclusive and len(names) != 2 * self.num_outputs:
            names = [f"{answer}{name}" for name in names for answer in ("no ", "")]
        weighed = not bool((weights == 1).all())
        said = [
            f"{name} {number}" + (f" (weight {weight:.3g})" if weighed else "")
            for name, number, weight in zip(names, numbers.tolist(), weights.ravel().tolist(), strict=True)
        ]
        return f"train has {', '.join(said)}"


def weighting_fault(weighting: str, beta: float) -> list[str]:
    """Return what is wrong with the options of a loss that weighs classes.

    Args:
        weighting: One of `Weighting`.
        beta: In [0, 1].
    """
    known = get_args(Weighting)
    faults = [] if 0 <= beta <= 1 else [f"beta is {beta!r}; give a number in [0, 1]."]
    if weighting not in known:
        faults.append(unknown("weighting", weighting, known, f"Give one of {', '.join(known)}."))
    return faults
