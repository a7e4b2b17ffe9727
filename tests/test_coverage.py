"""Intervals hold the truth as often as they say, where a patient's films are alike."""

from __future__ import annotations

import pytest

from benchmarks.coverage import LEAST, covered


@pytest.mark.slow
@pytest.mark.parametrize("area", [0.80, 0.90, 0.97])
@pytest.mark.parametrize("patients", [60, 200])
def test_the_aurocs_interval_covers_by_patient_and_not_by_image(area: float, patients: int) -> None:
    by_patient, by_image = covered(area, patients, images=4, repetitions=1000)
    assert by_patient >= LEAST.get((area, patients), 0.92)
    assert by_image < 0.85
