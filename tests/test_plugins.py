"""Installed plug-ins add classes and recipes; a broken one harms nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ONE_STEP, as_words
from films import write_films

ROOT = Path(__file__).resolve().parent.parent


def install(site: Path, name: str, module: str, code: str, groups: dict[str, str]) -> None:
    """Write a package and its metadata, as an installer would."""
    package = site / module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    (package / "thorax.yaml").write_text("# Films of the thorax.\ntrainer: {max_epochs: 2}\n")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n{name} = {value}\n" for group, value in groups.items())
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    both = {"rn50med.plugins": "good_plugin", "rn50med.recipes": "good_plugin"}
    install(tmp_path, "good", "good_plugin", "loaded = True\n", both)
    install(tmp_path, "bad", "bad_plugin", "raise OSError('no licence')\n", {"rn50med.plugins": "bad_plugin"})
    install(tmp_path, "gone", "other", "", {"rn50med.recipes": "no_such_package.recipes"})
    return tmp_path


def python(site: Path, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=site, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_broken_plugin_is_a_warning_with_its_cause_and_the_others_go_on(site: Path) -> None:
    out = python(
        site,
        "import sys, warnings\n"
        "from rn50med.plugins import load_plugins\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always'); load_plugins()\n"
        "print(*[str(item.message) for item in caught], 'good_plugin' in sys.modules, sep='\\n')\n",
    )
    warning, loaded = out.strip().splitlines()
    assert "bad_plugin could not be imported (OSError: no licence)" in warning
    assert "bad 1.0" in warning
    assert loaded == "True"


def test_plugin_packages_are_trusted_without_being_imported(site: Path) -> None:
    out = python(
        site,
        "import sys\n"
        "from rn50med.plugins import plugin_packages\n"
        "print({'good_plugin', 'bad_plugin'} <= set(plugin_packages()), 'good_plugin' in sys.modules)\n",
    )
    assert out.strip() == "True False"


def test_a_plugins_recipe_has_a_name_and_its_package_is_not_imported(site: Path) -> None:
    out = python(
        site / "good_plugin",
        "import sys, warnings\n"
        "sys.path.insert(0, '..')\n"
        "from rn50med.recipe import find_recipe, list_recipes\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    infos = [info for info in list_recipes() if info.origin == 'plug-in good']\n"
        "print([(info.name, info.summary) for info in infos])\n"
        "print(find_recipe('thorax').parent.name, 'good_plugin' in sys.modules)\n"
        "print([str(item.message) for item in caught])\n",
    )
    infos, place, warnings = out.strip().splitlines()
    assert infos == "[('thorax', 'Films of the thorax.')]"
    assert place == "good_plugin False"
    assert "gone" in warnings


HEAD = """
from rn50med import Head
from torch import nn


class MeanMaxHead(Head):
    def __init__(self, channels, num_outputs):
        super().__init__(channels, num_outputs)
        self.linear = nn.Linear(2 * channels[-1], num_outputs)

    def forward(self, features):
        import torch

        last = features[-1]
        return self.linear(torch.cat([last.mean(dim=(-2, -1)), last.amax(dim=(-2, -1))], dim=1))
"""


@pytest.mark.slow
def test_a_head_of_an_installed_plugin_trains_and_predicts_by_its_short_name(tmp_path: Path) -> None:
    install(tmp_path / "site", "heads", "own_heads", HEAD, {"rn50med.plugins": "own_heads"})
    table = write_films(tmp_path / "films")
    options = {**ONE_STEP, "model.head": "MeanMaxHead", "data.source": str(table)}
    run = tmp_path / "run"

    def rn50med(*words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
        command = [sys.executable, "-m", "rn50med", *words]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )

    rn50med("fit", "--recipe", "chest_xray", "--output", str(run), *as_words(options))
    assert "class_path: own_heads.MeanMaxHead" in (run / "recipe.yaml").read_text()
    rows = rn50med("predict", "--run", str(run), "--images", str(table)).stdout.splitlines()
    assert len(rows) == 1 + 48
    rn50med("test", "--run", str(run), "--split", "val")
