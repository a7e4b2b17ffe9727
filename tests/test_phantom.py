from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rn50med.data.phantom import PhantomRow, cohort, draw_film
from rn50med.errors import DataError

Array = NDArray[np.float64]


def findings_of(row: PhantomRow) -> list[int]:
    return [0] if row.patient % 2 else []


def best_auroc(features: list[Array], rows: list[PhantomRow]) -> float:
    x, y = np.stack(features), np.array([row.patient % 2 for row in rows])
    train, test = (np.array([row.split == split for row in rows]) for split in ("train", "test"))
    scores = []
    for strength in (1e-4, 1e-2, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        scores.append(model.fit(x[train], y[train]).decision_function(x[test]))
    return max(float(roc_auc_score(y[test], score)) for score in scores)


def test_the_same_arguments_draw_the_same_film() -> None:
    first, second = (draw_film(3, 5, 1, [2, 0], size=96) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert first.boxes == second.boxes
    assert all(np.array_equal(first.masks[finding], second.masks[finding]) for finding in (0, 2))


def test_order_and_repeats_of_findings_do_not_matter() -> None:
    assert np.array_equal(draw_film(0, 1, 0, [4, 0, 2, 2]).pixels, draw_film(0, 1, 0, {0, 2, 4}).pixels)


def test_another_process_draws_the_same_film() -> None:
    code = (
        "import sys; from rn50med.data.phantom import draw_film;"
        "sys.stdout.buffer.write(draw_film(3, 5, 1, [0], size=64).pixels.tobytes())"
    )
    seen = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert seen == draw_film(3, 5, 1, [0], size=64).pixels.tobytes()


def test_drawing_needs_no_torch() -> None:
    code = "import sys, rn50med.data.phantom; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("finding", range(14))
def test_a_finding_changes_nothing_outside_its_mask(finding: int, size: int) -> None:
    healthy, ill = draw_film(1, 8, 2, [], size), draw_film(1, 8, 2, [finding], size)
    changed = healthy.pixels != ill.pixels
    assert changed.any()
    assert not changed[~ill.masks[finding]].any()


def test_a_second_finding_leaves_the_first_as_it_was() -> None:
    alone, together = draw_film(1, 8, 2, [0]), draw_film(1, 8, 2, [0, 7])
    assert np.array_equal(alone.masks[0], together.masks[0])
    assert np.array_equal(alone.pixels[~together.masks[7]], together.pixels[~together.masks[7]])


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("patient", range(12))
def test_a_box_is_the_bounds_of_its_mask_inside_the_film(patient: int, size: int) -> None:
    film = draw_film(2, patient, 0, range(4), size)
    assert list(film.boxes) == list(film.masks) == [0, 1, 2, 3]
    for finding, (left, top, right, bottom) in film.boxes.items():
        mask = film.masks[finding]
        assert mask.shape == film.pixels.shape == (size, size)
        assert 0 <= left < right <= size
        assert 0 <= top < bottom <= size
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert mask[top, left:right].any()
        assert mask[bottom - 1, left:right].any()
        assert mask[top:bottom, left].any()
        assert mask[top:bottom, right - 1].any()


def test_a_finding_covers_lung_but_never_most_of_the_film() -> None:
    shares = [draw_film(0, patient, 0, [0], size=128).masks[0].mean() for patient in range(24)]
    assert min(shares) > 0.01
    assert max(shares) < 0.25


def test_patients_and_films_all_differ() -> None:
    films = [draw_film(0, patient, film, [], size=64).pixels for patient in range(20) for film in range(2)]
    apart = [np.abs(a.astype(int) - b).mean() for i, a in enumerate(films) for b in films[:i]]
    assert min(apart) > 2


def test_seeds_give_other_patients() -> None:
    assert (draw_film(0, 0, 0, [], 64).pixels != draw_film(1, 0, 0, [], 64).pixels).mean() > 0.5


def test_films_of_one_patient_share_their_anatomy() -> None:
    """A film is nearer to the same patient's other films than to most other patients'."""

    def ranks(patient: int, film: int) -> Array:
        pixels = draw_film(4, patient, film, [], 64).pixels
        return np.argsort(np.argsort(pixels, axis=None)) / pixels.size  # free of the exposure

    first, second = (np.stack([ranks(p, f) for p in range(24)]) for f in (0, 1))
    apart = np.abs(first[:, None] - second[None]).mean(axis=-1)
    nearer = (apart.diagonal()[:, None] < apart).mean()
    assert nearer > 0.6


def test_a_film_looks_alike_at_every_size() -> None:
    films = [draw_film(0, 3, 0, [0], size).pixels for size in (64, 128, 256, 512)]
    small = [
        np.asarray(Image.fromarray(film).resize((32, 32), Image.Resampling.BOX), float) for film in films
    ]
    assert all(np.abs(small[2] - other).mean() < 3 for other in small)


def test_fourteen_findings_have_pairwise_different_textures() -> None:
    """A finding is nearest to itself on other patients by its spectrum, and by whether it is
    made of dots or of holes, which have the same spectrum.
    """
    patients, findings = range(12), range(14)
    healthy = [draw_film(0, patient, 0, [], size=128).pixels.astype(float) for patient in patients]

    def signature(finding: int, group: range) -> Array:
        changes = [draw_film(0, patient, 0, [finding], 128).pixels - healthy[patient] for patient in group]
        spectra = [np.abs(np.fft.fftshift(np.fft.fft2(change)))[32:96, 32:96] for change in changes]
        mean = sum(spectrum / np.linalg.norm(spectrum) for spectrum in spectra)
        skew = np.mean([(change**3).mean() / (change**2).mean() ** 1.5 for change in changes])
        return np.append(mean.ravel() / np.linalg.norm(mean), 0.1 * skew)

    first, second = (
        np.stack([signature(f, group) for f in findings]) for group in (patients[:6], patients[6:])
    )
    apart = np.linalg.norm(first[:, None] - second[None], axis=-1)
    assert apart.argmin(axis=1).tolist() == list(findings)


def test_a_texture_is_neither_brighter_nor_darker_than_its_surroundings() -> None:
    changes = []
    for patient in range(24):
        ill, healthy = draw_film(0, patient, 0, [0]), draw_film(0, patient, 0, [])
        changes.append(np.subtract(ill.pixels, healthy.pixels, dtype=float)[ill.masks[0]])
    assert np.concatenate(changes).std() > 5
    assert abs(np.concatenate(changes).mean()) < 1.5


def test_neither_thumbnail_nor_histogram_gives_the_finding_away() -> None:
    """Films of 96 pixels are a seventh of the work and hold the same shapes and grey values."""
    rows = [row for row in cohort(0) if row.split != "val"]
    films = [draw_film(0, row.patient, row.film, findings_of(row), size=96).pixels for row in rows]
    thumbnails = [
        np.asarray(Image.fromarray(film).resize((16, 16), Image.Resampling.BOX), float).ravel()
        for film in films
    ]
    summaries = [
        np.array([film.mean(), film.std(), *np.histogram(film, 32, (0, 256))[0]], float) for film in films
    ]
    assert best_auroc(thumbnails, rows) <= 0.75
    assert best_auroc(summaries, rows) <= 0.75


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_cohort_is_large_enough_to_be_scored(seed: int) -> None:
    rows = cohort(seed)
    films = Counter(row.split for row in rows)
    patients = {split: {row.patient for row in rows if row.split == split} for split in films}
    assert films["test"] >= 256
    assert len(patients["test"]) >= 100
    assert films["val"] >= 120
    assert sum(map(len, patients.values())) == len(set().union(*patients.values()))
    for split in films:
        assert sum(row.patient % 2 for row in rows if row.split == split) == films[split] / 2


def test_a_cohort_has_its_numbers_of_patients_with_one_to_five_films_each() -> None:
    rows = cohort(5, train=20, val=0, test=10)
    films = Counter(row.patient for row in rows)
    assert len(rows) == len(set(rows))
    assert sorted(films) == list(range(30))
    assert set(films.values()) == {1, 2, 3, 4, 5}
    assert {row.split for row in rows} == {"train", "test"}
    assert cohort(5, train=20, val=0, test=10) == rows != cohort(6, train=20, val=0, test=10)


def test_all_wrong_arguments_of_a_film_are_named_at_once() -> None:
    with pytest.raises(DataError, match=r"seed=-1 .* finding -2 .* size=8 "):
        draw_film(-1, 0, 0, [-2], size=8)


def test_an_odd_or_negative_number_of_patients_is_refused() -> None:
    with pytest.raises(DataError, match=r"train=3 patients, test=-2 patients"):
        cohort(0, train=3, test=-2)
