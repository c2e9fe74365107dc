"""Where Salt's loader finds the modules of the installed package."""

from __future__ import annotations

import importlib


def directories() -> dict[str, list[str]]:
    """Directories by kind of loader module, for the entry point ``salt.loader``."""
    kinds = ("beacons", "modules", "output", "states")
    return {kind: list(importlib.import_module(f"saltext.courier.{kind}").__path__) for kind in kinds}
