"""What one's own part has to promise, checked: the contracts of a head, of a loss and of a task."""

from __future__ import annotations

from rn50med.testing.heads import check_head
from rn50med.testing.losses import check_loss
from rn50med.testing.tasks import check_task

__all__ = ["check_head", "check_loss", "check_task"]
