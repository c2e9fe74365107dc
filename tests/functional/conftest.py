"""Salt's own loader, in process, over the repository as it lies there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import salt._logging
import salt.config
import salt.loader
import salt.output

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

REPOSITORY = Path(__file__).parents[2]


def pytest_sessionfinish():
    # Salt keeps the first messages for a log file that never comes, and complains when they outlive the terminal.
    salt._logging.shutdown_temp_handler()


@pytest.fixture(scope="session")
def grains(tmp_path_factory):
    opts = salt.config.minion_config(None)
    opts["cachedir"] = str(tmp_path_factory.mktemp("grains"))
    return salt.loader.grains(opts)


@pytest.fixture
def opts(tmp_path, grains):
    """Options of a minion that reads its modules from the repository and keeps its state in a directory of its own."""
    opts = salt.config.minion_config(None)
    opts.update(
        id="mx1",
        root_dir=str(tmp_path / "salt"),
        cachedir=str(tmp_path / "salt/cache"),
        extension_modules=str(tmp_path / "salt/extmods"),
        module_dirs=[str(REPOSITORY)],
        file_client="local",
        file_roots={"base": [str(REPOSITORY)]},
        pillar={},
        grains=grains,
        test=False,
        color=False,
    )
    return opts


@pytest.fixture
def context():
    return {}


@pytest.fixture
def modules(opts, context):
    """Execution modules."""
    utils = salt.loader.utils(opts, context=context)
    return salt.loader.minion_mods(opts, utils=utils, context=context)


@pytest.fixture
def states(opts, modules, context):
    """State modules."""
    return salt.loader.states(opts, modules, salt.loader.utils(opts, context=context), None, context=context)


@pytest.fixture
def show(opts):
    """What the terminal shows of returned data."""

    def show(data, outputter="courier"):
        return salt.output.out_format(data, outputter, opts)

    return show


@pytest.fixture
def installation(tmp_path):
    """A small Courier installation to audit as a root."""
    from installation import install

    return install(tmp_path / "root")
