"""A trained network's heat maps point at what it was trained on; those of random weights do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import SIDE, plant, write_planted

from rn50med import fit
from rn50med.data.phantom import draw_film
from rn50med.deployment.explain import Asked, explain
from rn50med.deployment.explaining import pointing_game, randomised
from rn50med.training.run import Run


def test_the_planted_square_is_no_brighter_and_no_darker_than_what_is_round_it() -> None:
    film = draw_film(0, 0, 0, []).pixels
    planted, (left, top, right, bottom) = plant(film, np.random.default_rng(0))
    inside, rim = planted[top:bottom, left:right], film[top - 4 : bottom + 4, left - 4 : right + 4].copy()
    rim = np.r_[rim[:4].ravel(), rim[-4:].ravel(), rim[4:-4, :4].ravel(), rim[4:-4, -4:].ravel()]
    assert inside.shape == (SIDE, SIDE)
    assert abs(inside.mean() - rim.mean()) < 0.6
    changed = planted != film
    changed[top:bottom, left:right] = False
    assert not changed.any()


def hits(run: Run, films: list[Path], boxes: dict, output: Path, asked: Asked) -> float:
    """Share of the films on which the largest value of the map lies within the square."""
    frame = explain(run, films, output, asked)
    maps = [np.load(output / name) for name in frame["map"]]
    assert {heat.shape for heat in maps} == {(256, 256)}
    return float(
        np.mean([pointing_game(heat, boxes[film.name]) for heat, film in zip(maps, films, strict=True)])
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_maps_point_at_the_planted_square_and_those_of_random_weights_do_not(tmp_path: Path) -> None:
    table, boxes = write_planted(tmp_path / "films", {"train": 160, "val": 40, "test": 80})
    options = {"model.backbone.weights": "none", "data.source": str(table), "trainer.max_epochs": 6}
    run = fit("chest_xray", options, output=tmp_path / "run")
    assert run.metrics["test"]["auroc"]["value"] > 0.95
    films = [
        path for path in sorted(table.parent.glob("*.png")) if int(path.stem) >= 200 and path.name in boxes
    ]
    assert len(films) == 40
    unlearnt = Run(run.folder, run.metrics, randomised(run.module, whole=True))
    for method in ("gradcam", "gradcam++"):
        asked = Asked(method, target="pneumonia")
        assert hits(run, films, boxes, tmp_path / method, asked) >= 0.8
        assert hits(unlearnt, films, boxes, tmp_path / f"{method}-random", asked) <= 0.2
