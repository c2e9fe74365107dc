"""Services are known by what they start, under systemd and with init scripts."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from courierlib.services import Completed, InitScripts, ServiceFailed, Systemd

# Printed by systemctl of systemd 257 and 262 on booted hosts; the order of the properties differs.
COURIER = """\
RemainAfterExit=no
ExecStart={ path=/usr/sbin/courier ; argv[]=/usr/sbin/courier start ; ignore_errors=no ; pid=255 ; status=0 }
Id=courier.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
"""
IMAP = """\
Id=courier-imap.service
LoadState=loaded
ActiveState=failed
SubState=failed
UnitFileState=disabled
RemainAfterExit=no
ExecStart={ path=/usr/lib/courier/imapd ; argv[]=/usr/lib/courier/imapd start ; ignore_errors=no ; pid=56 }
"""
MASKED = """\
RemainAfterExit=no
Id=courier.service
LoadState=masked
ActiveState=active
SubState=running
UnitFileState=masked
"""
UPSTREAM = """\
RemainAfterExit=yes
ExecStart={ path=/usr/lib/courier/share/courier.sysvinit ; argv[]=/usr/lib/courier/share/courier.sysvinit start }
Id=courier.service
LoadState=loaded
ActiveState=active
SubState=exited
UnitFileState=enabled
"""
OTHER = """\
RemainAfterExit=no
ExecStart={ path=/usr/bin/true ; argv[]=/usr/bin/true ; ignore_errors=no ; pid=0 }
Id=courier-backup.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=static
"""


class Systemctl:
    """Answers like systemctl, and keeps what it was asked."""

    def __init__(self, *blocks: str, listed: Completed | None = None):
        self.shown = "\n".join(blocks)
        self.listed = listed or Completed(0, "courier.service enabled enabled\n", "")
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, command: tuple[str, ...]) -> Completed:
        self.asked.append(tuple(command[1:]))
        return self.listed if "list-unit-files" in command else Completed(0, self.shown, "")


def test_units_are_known_by_the_program_they_start() -> None:
    courier, imap = Systemd(Systemctl(COURIER, IMAP, OTHER)).services()
    assert (courier.name, courier.roles, courier.active, courier.enabled) == ("courier", ("scheduler",), True, True)
    assert (imap.name, imap.roles, imap.state, imap.enabled) == ("courier-imap", ("imap",), "failed (failed)", False)


def test_a_masked_unit_is_known_by_its_name() -> None:
    (courier,) = Systemd(Systemctl(MASKED)).services()
    assert (courier.roles, courier.masked, courier.active, courier.enabled) == (("scheduler",), True, True, False)


def test_upstreams_unit_does_everything_and_proves_nothing() -> None:
    (courier,) = Systemd(Systemctl(UPSTREAM)).services()
    assert {"scheduler", "filter", "smtp", "imap"} <= set(courier.roles)
    assert courier.remains


def test_a_host_without_such_units_has_no_services() -> None:
    assert Systemd(Systemctl(listed=Completed(1, "", ""))).services() == ()


def test_a_systemd_that_does_not_answer_is_a_failure() -> None:
    refused = Completed(1, "", "System has not been booted with systemd as init system")
    with pytest.raises(ServiceFailed, match="has not been booted with systemd"):
        Systemd(Systemctl(listed=refused)).services()


@pytest.mark.parametrize(
    "change", [lambda systemd: systemd.start("courier"), lambda systemd: systemd.restart(["courier"])]
)
def test_failed_starts_of_before_do_not_count(change) -> None:
    systemctl = Systemctl()
    change(Systemd(systemctl))
    assert systemctl.asked[0] == ("reset-failed", "courier*")


@pytest.fixture
def courierd(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the kernel knows by the name courierd."""
    program = shutil.copy("/bin/sleep", tmp_path / "courierd")
    process = subprocess.Popen([program, "60"])
    deadline = time.monotonic() + 5
    while Path(f"/proc/{process.pid}/comm").read_text() != "courierd\n":
        assert time.monotonic() < deadline
    yield process
    process.kill()
    process.wait()


def scripts(**status: bool) -> InitScripts:
    return InitScripts(
        {
            "get_all": lambda: [*status, "cron"],
            "status": status.__getitem__,
            "enabled": lambda name: name != "courier-msa",
        }
    )


def test_init_scripts_tell_whether_they_run() -> None:
    msa, mta = scripts(**{"courier-mta": True, "courier-msa": False}).services()
    assert (mta.name, mta.roles, mta.active, mta.enabled) == ("courier-mta", ("smtp",), True, True)
    assert (msa.name, msa.roles, msa.active, msa.enabled) == ("courier-msa", ("msa",), False, False)


def test_courierd_is_seen_though_its_init_script_says_it_does_not_run(courierd) -> None:
    (courier,) = scripts(courier=False).services()
    assert courier.active


def test_courierd_that_ended_is_not_seen(courierd) -> None:
    courierd.kill()
    courierd.wait()
    assert not any(service.active for service in scripts(courier=False).services())
