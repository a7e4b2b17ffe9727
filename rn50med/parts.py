"""What lets a checkpoint say how its module was built, in plain types.

A `Part` (task, backbone, head, transforms) remembers the arguments it was built with. Its
*specification* is ``{"class_path": ..., "init_args": {...}}``, as in a recipe, so that a checkpoint
opens with ``weights_only=True`` and nothing but its path.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from rn50med.errors import RecipeError, StorageError

TRUSTED_PACKAGES = ("rn50med", "torch", "torchvision", "lightning", "monai", "timm", "torchmetrics")
"""Packages whose classes a recipe or a checkpoint may name."""

FOREIGN_CODE = (
    "torch.hub", "torch.load", "torch.serialization", "torch.package", "torch.jit", "torch.ops",
    "torch.classes", "torch.utils.cpp_extension", "torch.utils.model_zoo", "torch.multiprocessing",
    "torch.distributed", "torch.export", "torch._dynamo", "torch._inductor", "torchvision.io",
    "torchvision.datasets", "torch.storage", "torch.utils.benchmark", "torch.utils.collect_env",
    "monai.bundle", "monai.apps", "monai.utils.module", "timm.models.load_checkpoint",
    "lightning.fabric.utilities.cloud_io",
)  # fmt: skip
"""Parts of those packages that fetch, unpickle or run somebody else's code."""

Specification = dict[str, Any]
T = TypeVar("T")


class Part:
    """Base of everything that a checkpoint has to build again; it remembers its own arguments."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Keep the arguments as they were given, before ``__init__`` changes any of them."""
        part = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(part, *args, **kwargs)
        except TypeError:  # copy and pickle build without arguments and bring the state themselves
            return part
        bound.apply_defaults()
        kinds = {name: taken.kind for name, taken in bound.signature.parameters.items()}
        kept: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:  # without self
            if kinds[name] is inspect.Parameter.VAR_POSITIONAL:
                kept |= {f"*{name}": value} if value else {}
            else:
                kept |= value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value}
        object.__setattr__(part, "_arguments", kept)
        return part

    def specification(self) -> Specification:
        """Return the class and its arguments in plain types.

        Raises:
            RecipeError: If an argument is of a type that a checkpoint cannot hold, or has no name.
        """
        if nameless := [name for name in self._arguments if name.startswith("*")]:
            raise RecipeError(
                f"{type(self).__name__}: takes {nameless[0]}, which have no names to be kept in a checkpoint "
                "by; give each argument a name."
            )
        return specification_of(type(self), self._arguments)


def specification_of(part: type, arguments: Mapping[str, Any]) -> Specification:
    """Return a class and arguments as ``{"class_path": ..., "init_args": {...}}``.

    Args:
        part: The class.
        arguments: Values for its ``__init__``.

    Raises:
        RecipeError: If the class is not at the top of its module, or an argument is not plain.
    """
    if "." in part.__qualname__:
        raise RecipeError(
            f"{part.__name__}: is defined inside a function or class, where no checkpoint finds it again; "
            "move it to the top of a module."
        )
    plain = {name: _plain(value, f"{part.__name__}({name}=...)") for name, value in arguments.items()}
    return {"class_path": f"{part.__module__}.{part.__qualname__}", "init_args": plain}


def _plain(value: Any, where: str) -> Any:
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if isinstance(value, Part):
        return value.specification()
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy or torch scalar
        return value.item()
    raise RecipeError(
        f"{where}: {value!r} cannot be kept in a checkpoint; give numbers, text, lists, or another part."
    )


def factory_specification(factory: Callable[..., object], kind: str) -> Specification:
    """Return the specification of a factory: a class, or a ``functools.partial`` of one.

    Args:
        factory: What makes the part once its remaining arguments are known.
        kind: What it makes, for the message.

    Raises:
        RecipeError: If it is anything else, such as a lambda, which a checkpoint cannot hold.
    """
    if isinstance(factory, type):
        return specification_of(factory, {})
    if isinstance(factory, partial):
        if isinstance(factory.func, type) and not factory.args:
            return specification_of(factory.func, factory.keywords)
        # jsonargparse hands over a partial of its own instantiators, with the class behind them
        classes = [argument for argument in factory.args if isinstance(argument, type)]
        if len(classes) == 1 and factory.args[-1] is classes[0]:
            return specification_of(classes[0], factory.keywords)
    raise RecipeError(
        f"{kind}: {factory!r} cannot be kept in a checkpoint; "
        "give a class, or functools.partial(Class, option=value)."
    )


def build(specification: Mapping[str, Any], base: type[T]) -> T:
    """Build a part from its specification.

    Args:
        specification: As `Part.specification` gives it.
        base: What the class has to be a subclass of.

    Raises:
        StorageError: If the class cannot be found, or may not be.
    """
    return build_factory(specification, base)()


def build_factory(specification: Mapping[str, Any], base: type[T]) -> Callable[..., T]:
    """Return the factory whose specification this is: the class with its options filled in.

    Args:
        specification: As `factory_specification` gives it.
        base: What the class has to be a subclass of.

    Raises:
        StorageError: If the class cannot be found, or may not be.
    """
    found = _find(str(specification["class_path"]), base)
    options = {name: _rebuilt(value) for name, value in specification["init_args"].items()}
    return partial(found, **options) if options else found


def _rebuilt(value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) == {"class_path", "init_args"}:
        return build(value, Part)
    return [_rebuilt(item) for item in value] if isinstance(value, list) else value


def _find(class_path: str, base: type[T]) -> type[T]:
    """Find a class, importing only trusted packages or what the caller has imported already."""
    module_name, _, name = class_path.rpartition(".")
    if module_name.partition(".")[0] in TRUSTED_PACKAGES:
        try:
            module = import_module(module_name)
        except ImportError as error:
            raise StorageError(
                f"checkpoint: needs {class_path!r}, which is not there; use the version that wrote it."
            ) from error
    elif module_name == "__main__" and not hasattr(sys.modules["__main__"], name):
        raise StorageError(
            f"checkpoint: its {name} was written in a script or notebook; move it to a module."
        )
    elif module_name in sys.modules:
        module = sys.modules[module_name]
    else:
        raise StorageError(
            f"checkpoint: needs {class_path!r}; import {module_name} before loading, "
            f"or give --trust {module_name} on the command line."
        )
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise StorageError(
            f"checkpoint: {class_path!r} is no {base.__name__}; use the version that wrote it."
        )
    return found


def trusted(class_path: str, more: Sequence[str] = ()) -> bool:
    """Return whether a recipe may name an object.

    Args:
        class_path: Its dotted path.
        more: Further packages that the user trusts.

    Example:
        >>> trusted("torch.optim.AdamW"), trusted("torch.hub.load"), trusted("os.system")
        (True, False, False)
    """
    if any(class_path == path or class_path.startswith(path + ".") for path in FOREIGN_CODE):
        return False
    return class_path.partition(".")[0] in (*TRUSTED_PACKAGES, *more)
