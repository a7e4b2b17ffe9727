"""A run's report and model card, drawn from the files of its folder alone."""

from __future__ import annotations

from rn50med.evaluation.report.page import write_report

__all__ = ["write_report"]
