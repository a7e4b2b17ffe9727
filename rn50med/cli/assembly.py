"""From recipes and options to the parts of a run: LightningCLI, with our words."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger

from rn50med.cli.arguments import PARSER_MODE, Ready, parse
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.splits import split_lines
from rn50med.data.transforms import Transforms
from rn50med.errors import RecipeError
from rn50med.evaluation.study import Study
from rn50med.losses import Loss
from rn50med.model.heads import Head
from rn50med.model.weights import KEYWORDS
from rn50med.recipe import parse_yaml
from rn50med.tasks import Task
from rn50med.training.folder import is_first_process, make_run_folder
from rn50med.training.judging import Evaluation
from rn50med.training.module import FineTuneModule
from rn50med.training.precision import fast_precision
from rn50med.training.run import Plan, Recorder
from rn50med.training.tracking import Tracking, wandb_logger

log = logging.getLogger("rn50med.data")

__all__ = [
    "Assembly",
    "Head",
    "Loss",
    "Transforms",
    "hush",
    "listen",
]  # the bases: their subclasses have short names


class Assembly(LightningCLI):
    """Builds task, data, model and trainer from recipes and options.

    Args:
        ready: Checked arguments.
    """

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self.recipe_name = _name(ready.recipes[-1]) if ready.recipes else "fit"
        super().__init__(
            FineTuneModule,
            ManifestDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            # one device unless asked: on several the batch grows, and the recipe is another one
            trainer_defaults={"devices": 1, "num_sanity_val_steps": 0, "enable_model_summary": False},
            parser_kwargs={"parser_mode": PARSER_MODE, "prog": "rn50med fit", "exit_on_error": False},
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Name the option of recipes ours."""
        parser = self.parser_class(
            **kwargs,
            epilog="--wandb X is short for --tracking.wandb X; --trust MODULE lets a recipe name its "
            "classes; --offline refuses every connection; --debug shows where an error comes from.",
        )
        parser.add_argument(
            "--recipe", action=ActionConfigFile, help="A recipe's name or file; may be repeated."
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is ours, and write the task once."""
        parser.add_subclass_arguments(Task, "task", required=True, help="What is predicted.")
        parser.add_class_arguments(Evaluation, "evaluation")
        parser.add_class_arguments(Study, "study")
        parser.add_class_arguments(Tracking, "tracking")
        parser.add_argument("--output", type=str | None, default=None, help="The run folder, new or empty.")
        parser.link_arguments("task", "data.task")
        parser.link_arguments("task", "model.task")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Check every key and parse; Lightning's own way stops at the first fault."""
        self.config = parse(parser, self.ready)
        seed = self.config.seed_everything
        if isinstance(seed, bool) or not 0 <= seed < 2**32:  # what numpy takes
            raise RecipeError(f"seed_everything: is {seed}; give a whole number from 0 to {2**32 - 1}.")
        if self.config.trainer.max_epochs == -1 and self.config.trainer.max_steps == -1:
            raise RecipeError("trainer.max_epochs: is -1, which has no end; give a number of epochs.")
        if self.config.trainer.overfit_batches:  # Lightning would train on images of any split
            raise RecipeError(
                "trainer.overfit_batches: cannot keep to the splits; give trainer.limit_train_batches."
            )

    def instantiate_classes(self) -> None:
        """Build task, data and model; the trainer is built once the images have been checked."""
        try:
            self.config_init = self.parser.instantiate(self.config)
        except ValueError as error:
            raise _ours(error) from error
        self.data: ManifestDataModule = self.config_init["data"]
        self.module: FineTuneModule = self.config_init["model"]

    @property
    def precision(self) -> str:
        """Precision of the training: what was asked for, or the fast one."""
        return str(self.config.trainer.precision or fast_precision(self.config.trainer.accelerator))

    def _run_name(self, plan: Plan) -> str:
        """Name the run on a dashboard; a folder that the user named may name a patient."""
        return self.recipe_name if plan.chosen else f"{self.recipe_name}-{plan.folder.name}"

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default filled in, in plain types."""
        recipe = parse_yaml(self.parser.dump(self.config, skip_unset=False, format="yaml"), "resolved recipe")
        recipe["trainer"]["precision"] = self.precision
        recipe["output"] = None
        for key in ("source", "root", "split_file", "cache"):
            place = recipe["data"].get(key)
            if place and place not in {"phantom", "none"} and Path(place).exists():
                recipe["data"][key] = str(Path(place).resolve())
        weights = self.module.backbone.weights
        if weights not in KEYWORDS and Path(weights).exists():
            recipe["model"]["backbone"]["init_args"]["weights"] = str(Path(weights).resolve())
        return dict(recipe)

    def build_trainer(self) -> tuple[Trainer, Plan]:
        """Make the run folder and the trainer that writes into it."""
        config = self.config_init
        recipe = self.resolved()
        folder = make_run_folder(config["output"], self.recipe_name)
        plan = Plan(
            folder,
            recipe,
            config["evaluation"],
            int(self.config.seed_everything),
            self.precision,
            chosen=config["output"] is not None,
        )
        options = dict(vars(config["trainer"]))
        options |= {
            "callbacks": self._callbacks(plan, options),
            "logger": self._logger(plan, options["logger"]),
            "precision": self.precision,
            "default_root_dir": str(folder),
            "enable_progress_bar": _wants_progress(options["enable_progress_bar"]),
            "sync_batchnorm": options["sync_batchnorm"]
            or self.on_cuda,  # it takes part with several devices only
        }
        try:
            return Trainer(**options), plan
        except (MisconfigurationException, ValueError) as error:
            raise RecipeError(f"trainer: {error}; mend the key below trainer.") from error

    @property
    def on_cuda(self) -> bool:
        """Whether training will be on CUDA devices."""
        return torch.cuda.is_available() and self.config.trainer.accelerator in {"auto", "gpu", "cuda"}

    def _callbacks(self, plan: Plan, options: Mapping[str, Any]) -> list[Callback]:
        """Return the recipe's callbacks and ours."""
        given = options["callbacks"] or []
        theirs = given if isinstance(given, list) else [given]
        own: list[Callback] = [
            *self.module.default_callbacks(plan.folder / "checkpoints", plan.folder / "metrics.csv"),
            Recorder(plan, self.data),
        ]
        has_bar = any(isinstance(callback, ProgressBar) for callback in theirs)
        if _wants_progress(options["enable_progress_bar"]) and not has_bar:
            own.append(RichProgressBar(console_kwargs={"stderr": True}))
        return [*theirs, *own]

    def _logger(self, plan: Plan, given: Any) -> Any:
        """Return the recipe's loggers, in the first process behind the one that tracking asks for."""
        tracking = self.config_init["tracking"]
        if tracking.wandb == "disabled" or not is_first_process():
            return False if given is None else given
        theirs = given if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        return [wandb_logger(tracking, plan.recipe, plan.folder, self._run_name(plan)), *theirs]


def _ours(error: ValueError) -> ValueError:
    """Return the error of ours that jsonargparse has wrapped, or its own."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, RecipeError):
        inner = inner.__cause__ or inner.__context__
    return inner or error


def _name(recipe: str) -> str:
    """Return what runs of a recipe are filed under; the recipe of a run belongs where that run is."""
    path = Path(recipe).resolve()
    of_a_run = path.name == "recipe.yaml" and (path.parent.parent / "latest").is_file()
    return path.parent.parent.name if of_a_run else path.stem


def _wants_progress(asked: bool | None) -> bool:
    """Draw a bar where somebody watches; a log file gets a line per epoch instead."""
    return sys.stderr.isatty() if asked is None else asked


def listen() -> None:
    """Write our log to standard error, of the first process alone."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("rn50med")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO if is_first_process() else logging.WARNING)
    ours.propagate = False


def hush() -> None:
    """Leave out what other libraries say of themselves in a good run."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in (
        r".*does not have many workers.*",  # on a CPU they would take its cores from the network
        r".*number of training batches.*logging interval.*",
        r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
        r".*exists and is not empty.*",  # the folder of the checkpoints, which we made
        r".*nvImageCodec.*",
    ):
        warnings.filterwarnings("ignore", message=pattern)


def tell(facts: Mapping[str, Any]) -> None:
    """Say what the images are, before anything is done with them.

    Args:
        facts: The audit.
    """
    if facts["synthetic"]:
        log.info("data: SYNTHETIC images, drawn by rn50med from a seed; figures say nothing about patients")
    for step in facts["flow"]:
        log.info("left out: %d images (%s)", step["images"], step["what"])
    for line in split_lines(facts["splits"]):
        log.info("%s", line)
    log.info("splits: %s", facts["split_origin"])
    for finding in facts["findings"]:
        log.info("%s (%s): %s", finding["severity"], finding["code"], finding["message"])


def need_recipe(ready: Ready) -> None:
    """Refuse to fit without a recipe.

    Args:
        ready: Checked arguments.

    Raises:
        RecipeError: If there is none.
    """
    if not ready.recipes and not {"-h", "--help"} & set(ready.options):
        raise RecipeError("fit: no recipe was given; add --recipe NAME (`rn50med recipes` lists them).")
