"""Plug-ins: installed packages that add heads, transforms, recipes and the like.

A plug-in names its modules in the entry point group ``rn50med.plugins``, and a package that holds
``*.yaml`` in ``rn50med.recipes``. Whoever installs a plug-in trusts it, so recipes may name its classes.
"""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points

MODULE_GROUP = "rn50med.plugins"
RECIPE_GROUP = "rn50med.recipes"


def load_plugins() -> None:
    """Import every plug-in, so that recipes can name its classes without their module.

    A plug-in that cannot be imported is a warning with its cause; the others go on.
    """
    for entry in entry_points(group=MODULE_GROUP):
        try:
            entry.load()
        except Exception as error:  # whatever a stranger's module raises
            version = f" {entry.dist.name} {entry.dist.version}" if entry.dist else ""
            warnings.warn(
                f"plug-in {entry.name}: {entry.value} could not be imported "
                f"({type(error).__name__}: {error}); update or uninstall{version or ' it'}.",
                stacklevel=2,
            )


def plugin_packages() -> tuple[str, ...]:
    """Return the packages that are trusted because they are installed as plug-ins.

    Nothing is imported.
    """
    found = {
        entry.value.partition(":")[0].split(".")[0]
        for group in (MODULE_GROUP, RECIPE_GROUP)
        for entry in entry_points(group=group)
    }
    return tuple(sorted(found))
