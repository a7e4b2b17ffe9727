"""Splits by patient: images of one patient, of one study or of equal pixels stay together."""

from rn50med.data.splits.columns import given_splits
from rn50med.data.splits.folds import fold_of, multilabel_fold_of, rare_labels
from rn50med.data.splits.frozen import FrozenSplits, hold_to, read_splits, write_splits
from rn50med.data.splits.groups import connected_groups
from rn50med.data.splits.making import Made, assign_splits, make_splits
from rn50med.data.splits.plan import SPLITS, SplitPlan
from rn50med.data.splits.strata import Strata
from rn50med.data.splits.table import split_lines

__all__ = [
    "SPLITS", "FrozenSplits", "Made", "SplitPlan", "Strata", "assign_splits", "connected_groups", "fold_of",
    "given_splits", "hold_to", "make_splits", "multilabel_fold_of", "rare_labels", "read_splits",
    "split_lines", "write_splits",
]  # fmt: skip
