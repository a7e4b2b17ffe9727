"""Three questions of a reviewer: does it hold on worse images, is it more than simple, is it a shortcut?

Nothing here is used for any choice: images of test are looked at in the same opening as its figures.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import ImageDataset
from rn50med.data.progress import bar
from rn50med.data.units import owners
from rn50med.evaluation.arrays import Floats, Ints, stored
from rn50med.evaluation.baselines import baselines
from rn50med.evaluation.cases import Cases, Grouping, Membership, grouped
from rn50med.evaluation.linear import linear_logits
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.sampling import sampled
from rn50med.evaluation.shortcuts import in_bins, in_categories, shortcut
from rn50med.evaluation.thumbnails import borders, thumbnails
from rn50med.training.module import FineTuneModule
from rn50med.training.robustness import changed_logits, most_cases, robustness

log = logging.getLogger(__name__)

MOST_LEARNT = 5000
"""Images of train that the linear models learn from; more are drawn from."""

_SITES = frozenset(
    {"site", "scanner", "manufacturer", "manufacturermodelname", "institution", "institutionname", "hospital"}
)
"""Usual names of columns that say where an image was taken, without case, spaces, dashes, underscores."""

_TOGETHER = 64  # images in memory at once


def checks(module: FineTuneModule, data: ManifestDataModule, judge: Trainer, split: str) -> dict[str, Any]:
    """Return what ``checks.json`` holds: robustness, baselines and shortcuts, on images that were judged.

    Args:
        module: The best epoch, with its predictions of the split.
        data: Its images.
        judge: That evaluated it; the network runs on its device, in 32 bits.
        split: Whose images: test where it was opened, else val.

    Returns:
        Plain types, without names of images or patients.
    """
    start = perf_counter()
    checked = _Checked(module, data, split)
    found: dict[str, Any] = {"split": split, "unit": module.unit.of, "seed": data.seed}
    found["robustness"] = checked.robustness(judge.strategy.root_device)
    found["baselines"] = checked.baselines()
    found["shortcuts"] = told = checked.shortcuts()
    found["findings"] = [
        {"code": f"shortcut-{name}", "severity": "warning", "message": each["message"]}
        for name, each in told.items()
        if each.get("finding")
    ]
    for finding in found["findings"]:
        log.warning("warning (%s): %s", finding["code"], finding["message"])
    log.info("checks: robustness, baselines and shortcuts on %s took %.0f s", split, perf_counter() - start)
    return found


@dataclass(frozen=True, eq=False)
class _Checked:
    """A module with the images that it is checked on.

    Args:
        module: The best epoch.
        data: Its images.
        split: Whose images.
    """

    module: FineTuneModule
    data: ManifestDataModule
    split: str

    @cached_property
    def targets(self) -> Ints:
        """Targets of the images of all splits."""
        return self.module.task.strata(self.data.manifest.rows())

    @cached_property
    def judged(self) -> Ints:
        """Rows of the split."""
        return self.module.predictions[self.split].index

    @cached_property
    def learnt(self) -> Ints:
        """Rows of train that linear models learn from."""
        rows = self.data.rows_of("train")
        return rows[sampled(self.targets[rows], MOST_LEARNT, self.data.seed)]

    @cached_property
    def pixels(self) -> tuple[Floats, Floats]:
        """Thumbnails and borders of the images of train and, after them, of the split."""
        rows = np.concatenate([self.learnt, self.judged])
        small, around = [], []
        with bar("looking at thumbnails", len(rows)) as progress:
            for first in range(0, len(rows), _TOGETHER):
                images = self.data.prepared.images.gather(rows[first : first + _TOGETHER])
                small.append(thumbnails(images))
                around.append(borders(images))
                progress(len(images))
        return np.concatenate(small), np.concatenate(around)

    def _grouping(self, rows: Ints) -> tuple[NDArray[np.str_], Grouping]:
        patients, studies = owners(self.data.manifest, rows)
        return patients, grouped(self.module.unit.of, patients, studies)

    def _cases(self, rows: Ints, logits: Floats, final: bool = False) -> Cases:
        """Return the cases of images, after the network's temperature where they are its own."""
        whose = Membership(*self._grouping(rows), self.module.unit.images)
        predictions = Predictions(rows, stored(logits), self.targets[rows])
        return self.module.task.cases(predictions, whose, self.module.temperature if final else None)

    def _linear(self, learnt: Floats, judged: Floats) -> Cases:
        """Return the cases of the split as a linear model of train has them."""
        task = self.module.task
        targets = task.questions(self.targets[self.learnt])
        return self._cases(self.judged, linear_logits(learnt, targets, judged, task.num_outputs))

    def robustness(self, device: torch.device) -> dict[str, Any]:
        """Return the AUROC on changed images."""
        rows, grouping = self.judged, self._grouping(self.judged)[1]
        most = most_cases(len(rows), len(grouping), self.data.prepared.images.one(0).shape[-1], device)
        drawn = sampled(self.targets[rows][grouping.first], most, self.data.seed)
        rows = rows[np.isin(grouping.index, drawn)]
        names, targets = self.data.manifest.column("image"), torch.from_numpy(self.targets)
        images = ImageDataset(
            self.data.prepared.images, names, targets, self.data.transforms, train=False, seed=self.data.seed
        )
        logits = changed_logits(self.module, images, rows, self.data.batch_size, device)
        if logits is None:
            log.warning(
                "warning (no-robustness): the transforms give images outside of 0 to 1; none was changed"
            )
            return {}
        each = [self._cases(rows, found, final=True) for found in logits]
        size = {"cases": len(drawn), "of_cases": len(grouping), "images": len(rows)}
        return size | robustness(each[0], each[1:], self.module.task.headline)

    def baselines(self) -> dict[str, Any]:
        """Return what simpler models reach."""
        small, number = self.pixels[0], len(self.learnt)
        every = self.data.rows_of("train")
        train = self._cases(every, np.zeros((len(every), self.module.task.num_outputs)))
        network = self._cases(self.judged, self.module.predictions[self.split].logits, final=True)
        linear = self._linear(small[:number], small[number:])
        found = baselines(train, network, linear, self.module.task.headline)
        found["linear"] |= {"learnt_from": number, "of_train": len(every)}
        return found

    def shortcuts(self) -> dict[str, Any]:
        """Return what is told without the content, by each feature alone."""
        number, around = len(self.learnt), self.pixels[1]
        features = {
            "border": ("The border of the image", in_bins(around[:number], around[number:]), ""),
            "file_size": ("The size of the file in bytes", *self._file_sizes()),
            "resolution": ("Height and width of the image before it was resized", *self._resolutions()),
            "site": ("Where the image was taken", *self._sites()),
        }
        task = self.module.task
        found: dict[str, Any] = {}
        for name, (what, (learnt, judged), reason) in features.items():
            if not learnt.shape[1]:
                found[name] = {"reason": reason or "the same for all images of train"}
            else:
                found[name] = shortcut(
                    what, self._linear(learnt, judged), task.headline, task.probability_names
                )
        return found

    def _file_sizes(self) -> tuple[tuple[Floats, Floats], str]:
        images, names = self.data.manifest.images, self.data.manifest.column("image")
        learnt, judged = (
            np.array([[np.nan if (size := images.size(names[row])) is None else size] for row in rows], float)
            for rows in (self.learnt, self.judged)
        )
        unknown = np.isnan(learnt).all()
        return in_bins(learnt, judged), "not known: images have no files of their own" if unknown else ""

    def _resolutions(self) -> tuple[tuple[Floats, Floats], str]:
        seen = self.data.inspection().seen
        facts = [None if each is None else each.facts for each in seen]

        def sizes(rows: Ints) -> Floats:
            known = [facts[row] for row in rows]
            table = [(f.height, f.width, f.height / f.width) if f else (np.nan,) * 3 for f in known]
            return np.array(table, dtype=np.float64)

        return in_bins(sizes(self.learnt), sizes(self.judged)), ""

    def _sites(self) -> tuple[tuple[Floats, Floats], str]:
        table = self.data.manifest.table
        names = [str(name) for name in table if re.sub(r"[\s_-]", "", str(name)).lower() in _SITES]
        if not names:
            reason = "not known: no column is named site, scanner, manufacturer, institution or hospital"
            return (np.zeros((0, 0)), np.zeros((0, 0))), reason
        cells = table[names].to_numpy(dtype=str)
        return in_categories(cells[self.learnt].tolist(), cells[self.judged].tolist()), ""
