"""Both ways of shipping: the repository as a file root, and the package, each in an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SHIPPED = ("_beacons", "_modules", "_states", "_output", "_utils", "README.md", "LICENSE", "pyproject.toml")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is shipped, so that building leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        original = REPOSITORY / name
        if original.is_dir():
            shutil.copytree(original, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(original, copy / name)
    return copy


@pytest.fixture
def sample(tmp_path):
    """A recorded host outside of the repository."""
    return shutil.copytree(REPOSITORY / "examples/broken-host", tmp_path / "host")


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(directory):
    """A virtual environment that shares nothing but Salt and what it needs."""
    run([sys.executable, "-m", "venv", "--without-pip", directory])
    python = directory / "bin/python"
    packages = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    Path(packages, "salt.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def install(python, *what):
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", *what])


def salt_call(python, state, *arguments):
    """The return of a salt-call with nothing synced and nothing configured."""
    state.mkdir(exist_ok=True)
    (state / "minion").write_text(f"id: local\nroot_dir: {state}\nlog_level: error\n")
    script = Path(sys.executable).parent / "salt-call"
    command = [python, script, "--local", f"--config-dir={state}", "--out=json", *arguments]
    # An audit that finds something grave exits with a status of its own, so the status says nothing here.
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, cwd=state, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return json.loads(done.stdout)["local"]


def assert_watches(python, state, *options):
    """The beacon is loaded, and knows what it may be told to watch for."""
    valid = [{"issues": ["dh-params-weak"]}, {"_beacon_name": "courier"}]
    script = f"""
import json, sys, salt.config, salt.loader
opts = salt.config.minion_config({str(state / "minion")!r})
opts["module_dirs"] = {[str(option) for option in options if option != "-m"]!r}
beacons = salt.loader.beacons(opts, {{}})
json.dump([beacons["courier.validate"]({valid!r}), beacons["courier.validate"]([{{"issues": "none"}}])], sys.stdout)
"""
    (right, _), (wrong, said) = json.loads(run([python, "-c", script], cwd=state))
    assert (right, wrong) == (True, False)
    assert "courier.list_issues" in said


def assert_audits(python, state, sample, *options):
    report = salt_call(python, state, *options, "courier.audit", f"root={sample}")
    assert report["courier"]["installed"]
    assert {"dh-params-weak", "pem-line-ends"} <= {finding["id"] for finding in report["findings"]}
    checked = salt_call(python, state, *options, "state.single", "courier.audited", "name=x", "severity=critical")
    (state,) = checked.values()
    assert state["result"] in (True, False), state
    assert "is not available" not in state["comment"]


def test_a_file_root_works_with_nothing_synced(source, sample, tmp_path):
    assert_audits(sys.executable, tmp_path / "state", sample, "-m", source)
    assert_watches(sys.executable, tmp_path / "state", "-m", source)


def test_the_wheel_brings_modules_states_beacon_and_outputter(source, sample, tmp_path):
    python = environment(tmp_path / "venv")
    wheels = tmp_path / "wheels"
    built = shutil.copytree(source, tmp_path / "built")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", wheels, built])
    install(python, *wheels.glob("saltext_courier-*.whl"))
    assert_audits(python, tmp_path / "state", sample)
    assert_watches(python, tmp_path / "state")
    assert "courier" in run(
        [
            python,
            "-c",
            "import salt.config, salt.loader; print(list(salt.loader.outputters(salt.config.minion_config(None))))",
        ],
        cwd=tmp_path,
    )


def test_an_editable_installation_follows_its_source(source, sample, tmp_path):
    python = environment(tmp_path / "venv")
    edited = shutil.copytree(source, tmp_path / "edited")
    install(python, "-e", edited)
    assert_audits(python, tmp_path / "state", sample)
    library = edited / "_utils/courierlib/__init__.py"
    library.write_text(library.read_text().replace("https://saltext-courier", "https://edited"))
    issues = salt_call(python, tmp_path / "state", "courier.list_issues")
    assert issues["dh-params-weak"]["article"].startswith("https://edited")


def test_the_package_has_no_second_copy_of_the_version(source):
    text = (source / "_utils/courierlib/__init__.py").read_text()
    version = text.split('__version__ = "')[1].split('"')[0]
    for module in ("_modules/courier.py", "_beacons/courier.py"):
        assert f'_COURIERLIB = "{version}"' in (source / module).read_text()
