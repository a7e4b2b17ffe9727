"""A run's report and model card, drawn from the files of its folder alone."""

from __future__ import annotations

from rn50med.evaluation.report.page import Pictures, write_report

__all__ = ["Pictures", "write_report"]
