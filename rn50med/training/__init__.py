"""The Lightning module, its callbacks, and a run from recipe to report."""
