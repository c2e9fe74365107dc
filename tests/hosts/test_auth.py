"""Accounts and logins on booted hosts: made wrong for real, shown to hurt, found, repaired, and gone."""

from __future__ import annotations

import imaplib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, Machine
from machine import BOB, BOB_PASSWORD
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second

ISSUES = (
    "auth-config-readable",
    "authdaemon-down",
    "authdaemon-socket-open",
    "authdaemonrc-bad-line",
    "authmodule-missing",
    "cram-without-cleartext",
    "debug-login",
    "pam-service-missing",
    "userdb-open",
    "userdb-stale",
)
AUTHDAEMONRC = "/etc/courier/authdaemonrc"
SOCKET = "/run/courier/authdaemon/socket"
USERDB = "/etc/courier/userdb"
UNITS = "courier courierfilter courier-mta courier-msa courier-mta-ssl courier-imap courier-imap-ssl courier-pop"
NEW_PASSWORD = "quite another one"
SECRET = "hunter-two"

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]


def can_login(machine: Machine, user: str = ALICE, password: str = ALICE_PASSWORD) -> bool:
    """Whether a login works; one that fails takes five seconds."""
    try:
        machine.login(user, password)
    except (imaplib.IMAP4.error, OSError):
        return False
    return True


def as_alice(machine: Machine, command: str) -> str:
    """What a command prints for a plain user, errors too."""
    return machine.run(f"setpriv --reuid alice --regid alice --clear-groups sh -c '{command}' 2>&1", check=False).stdout


def restart_authdaemon(machine: Machine) -> None:
    """Restart it with all that Debian's units restart along with it."""
    machine.run("systemctl reset-failed 'courier*'; systemctl restart courier-authdaemon", check=False)
    machine.run(f"systemctl start {UNITS} courier-pop-ssl", check=False)
    machine.wait_ready()


@contextmanager
def kept(machine: Machine, *paths: str) -> Iterator[None]:
    """Files are at the end as they were, and gone if they were not."""
    archive = "/root/kept.tar"
    there = [path for path in paths if machine.exists(path)]
    machine.run(["tar", "-cPpf", archive, "--files-from=/dev/null", *there])
    yield
    machine.run(["rm", "-rf", *paths])
    machine.run(["tar", "-xPpf", archive])


def set_in_authdaemonrc(machine: Machine, name: str, value: str) -> None:
    machine.run(f"sed -i 's/^{name}=.*/{name}={value}/' {AUTHDAEMONRC}")


@contextmanager
def virtual_bob(machine: Machine) -> Iterator[None]:
    """An account that only userdb knows."""
    paths = [
        AUTHDAEMONRC,
        USERDB,
        f"{USERDB}.dat",
        f"{USERDB}.lock",
        f"{USERDB}shadow.dat",
        "/etc/courier/.lock.userdb",
    ]
    with kept(machine, *paths):
        machine.run(
            f"""
            set -e
            install -d -o alice -g alice -m 700 /srv/bob
            cd /srv/bob
            setpriv --reuid alice --regid alice --clear-groups maildirmake.courier Maildir
            userdb {BOB} set uid=1000 gid=1000 home=/srv/bob mail=/srv/bob/Maildir
            echo '{BOB_PASSWORD}' | userdbpw -md5 | userdb {BOB} set systempw
            makeuserdb
            """
        )
        set_in_authdaemonrc(machine, "authmodulelist", '"authuserdb authpam"')
        restart_authdaemon(machine)
        yield
    machine.run("rm -rf /srv/bob")
    restart_authdaemon(machine)


def set_password(machine: Machine, password: str) -> None:
    """As an administrator does who forgets makeuserdb."""
    machine.run(f"echo '{password}' | userdbpw -md5 | userdb {BOB} set systempw")


def test_none_of_it_is_found_on_a_stock_host(shared, release: str) -> None:
    report = shared(release).audit(issues=",".join(ISSUES))
    assert set(report["clear"]) == set(ISSUES), report


def test_authdaemond_that_was_killed_is_started(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host: Managed = shared(release)
    machine = host.machine
    assert can_login(machine)
    since = whole_second()
    machine.run("systemctl kill --signal=KILL courier-authdaemon; while pgrep -x authdaemond; do sleep 0.1; done")
    assert not can_login(machine)
    assert machine.send(ALICE, "refused") == "450 Service temporarily unavailable."
    wait_for_log(machine, "authdaemon: s_connect() failed: Connection refused", since)
    wait_for_log(machine, "authentication error: Connection refused", since)
    assert_diagnosed(host, "authdaemon-down", since)
    (detail,) = places(host, "authdaemon-down").values()
    assert detail == f"{SOCKET}: Connection refused; courier-authdaemon is failed (failed)"
    recorded("authdaemon-down", "broken", machine)
    assert set(repair(host, "authdaemon-down")) == {"service courier-authdaemon"}
    assert can_login(machine)
    assert machine.send(ALICE, "accepted-again").startswith("250 ")
    assert machine.arrived("accepted-again")
    shown("authdaemon-down", "repaired", machine)


@pytest.mark.hosts_all
def test_authdaemond_without_its_socket_is_restarted(shared, release: str) -> None:
    host: Managed = shared(release)
    machine = host.machine
    machine.run(f"rm {SOCKET}")
    assert not can_login(machine)
    (detail,) = places(host, "authdaemon-down").values()
    assert detail == f"{SOCKET}: No such file or directory; courier-authdaemon is active (running)"
    repair(host, "authdaemon-down")
    machine.wait_ready()
    assert can_login(machine)
    assert machine.send(ALICE, "after-the-socket").startswith("250 ")


@pytest.mark.hosts_all
def test_authdaemond_that_was_stopped_and_masked_comes_back_with_all_that_stopped_with_it(shared, release: str) -> None:
    host: Managed = shared(release)
    machine = host.machine
    machine.run("systemctl stop courier-authdaemon; systemctl mask courier-authdaemon")
    assert not machine.listens(143)
    withheld = machine.salt_call("courier.fix", "authdaemon-down").value
    assert "only with allow=unmask-service" in withheld["comment"]
    repair(host, "authdaemon-down", "unmask-service")
    assert can_login(machine)
    machine.run(f"systemctl start {UNITS}")
    machine.wait_ready()


def test_bad_line_keeps_authdaemond_down_and_is_named(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host: Managed = shared(release)
    machine = host.machine
    with kept(machine, AUTHDAEMONRC):
        machine.run(f"echo 'this is bad' >> {AUTHDAEMONRC}")
        assert can_login(machine), "a running authdaemond keeps what it has read"
        since = whole_second()
        machine.run("systemctl restart courier-authdaemon", check=False)
        wait_for_log(machine, f"Bad line in {AUTHDAEMONRC}: this is bad", since)
        assert_diagnosed(host, "authdaemonrc-bad-line", since)
        assert not can_login(machine)
        (detail,) = places(host, "authdaemonrc-bad-line").values()
        assert "no '=' in it; authdaemond rejects the whole file" in detail
        (down,) = places(host, "authdaemon-down").values()
        assert down.endswith(f"it cannot start: {detail}")
        recorded("authdaemonrc-bad-line", "broken", machine)
        shown("authdaemonrc-bad-line", "found", machine)
    restart_authdaemon(machine)
    assert can_login(machine)


def test_missing_module_is_named_and_its_accounts_cannot_log_in(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host: Managed = shared(release)
    machine = host.machine
    directory = machine.run("dirname $(find /usr/lib -name libauthpam.so.0)").stdout.strip()
    since = whole_second()
    machine.run(f"mv {directory}/libauthpam.so* /root/")
    restart_authdaemon(machine)
    wait_for_log(machine, "file not found", since)
    assert_diagnosed(host, "authmodule-missing", since)
    assert not can_login(machine)
    (detail,) = places(host, "authmodule-missing").values()
    assert detail == f"no libauthpam.so in {directory}; no other module is left"
    recorded("authmodule-missing", "broken", machine)
    machine.run(f"mv /root/libauthpam.so* {directory}/")
    restart_authdaemon(machine)
    assert can_login(machine)
    shown("authmodule-missing", "found", machine)
    set_in_authdaemonrc(machine, "authmodulelist", '"authpam authnosuch"')
    assert set(places(host, "authmodule-missing")) == {f"{AUTHDAEMONRC} authmodulelist authnosuch"}
    set_in_authdaemonrc(machine, "authmodulelist", '"authpam"')


def test_open_socket_gives_hashes_to_everybody_until_it_is_closed(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host: Managed = shared(release)
    machine = host.machine
    directory, override = "/run/courier/authdaemon", "/etc/tmpfiles.d/opened.conf"
    shadow = machine.run("getent shadow alice").stdout.split(":")[1]
    assert shadow not in as_alice(machine, "authtest alice")
    machine.run(f"chmod 755 {directory}")
    assert shadow in as_alice(machine, "authtest alice")
    places(host, "authdaemon-socket-open")
    machine.write(override, f"z {directory} 0755 - - -\n")
    assert host.audit(issues="authdaemon-socket-open")["clear"], "somebody wants it so"
    machine.run(f"rm {override}")
    recorded("authdaemon-socket-open", "broken", machine, "allow=close-authdaemon-socket")
    withheld = machine.salt_call("courier.fix", "authdaemon-socket-open").value
    assert "only with allow=close-authdaemon-socket" in withheld["comment"]
    repair(host, "authdaemon-socket-open", "close-authdaemon-socket")
    assert shadow not in as_alice(machine, "authtest alice")
    assert machine.send(ALICE, "socket-closed").startswith("250 ")
    assert can_login(machine)
    shown("authdaemon-socket-open", "repaired", machine)


def test_userdb_that_was_changed_is_compiled(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host: Managed = shared(release)
    machine = host.machine
    with virtual_bob(machine):
        assert can_login(machine, BOB, BOB_PASSWORD)
        assert host.audit(issues="userdb-stale,userdb-open")["findings"] == []
        time.sleep(1)
        set_password(machine, NEW_PASSWORD)
        assert not can_login(machine, BOB, NEW_PASSWORD)
        assert "new accounts and passwords are unknown" in places(host, "userdb-stale")[USERDB]
        recorded("userdb-stale", "broken", machine)
        assert set(repair(host, "userdb-stale")) == {f"{USERDB}.dat {USERDB}shadow.dat"}
        assert can_login(machine, BOB, NEW_PASSWORD)
        shown("userdb-stale", "repaired", machine)


def test_userdb_that_others_can_read_is_shut(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host: Managed = shared(release)
    machine = host.machine
    with virtual_bob(machine):
        time.sleep(1)
        set_password(machine, NEW_PASSWORD)
        machine.run(f"chmod 644 {USERDB} {USERDB}shadow.dat")
        assert "MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!" in machine.run("makeuserdb", check=False).stderr
        assert "systempw=" in as_alice(machine, f"cat {USERDB}")
        assert set(places(host, "userdb-open")) == {USERDB, f"{USERDB}shadow.dat"}
        recorded("userdb-open", "broken", machine)
        assert set(repair(host, "userdb-open")) == {USERDB, f"{USERDB}shadow.dat"}
        assert "Permission denied" in as_alice(machine, f"cat {USERDB}")
        machine.run(f"chmod 644 {USERDB}")
        assert len(repair(host, "userdb-stale")) == 2, "its permissions first, then makeuserdb"
        assert can_login(machine, BOB, NEW_PASSWORD)
        shown("userdb-open", "repaired", machine)


def test_password_of_the_database_that_everybody_can_read_is_hidden(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host: Managed = shared(release)
    machine = host.machine
    mysql, client = "/etc/courier/authmysqlrc", "/etc/courier/esmtpauthclient"
    with kept(machine, mysql, client):
        machine.write(mysql, "MYSQL_SERVER\tdb.example.test\nMYSQL_PASSWORD\tadmin\n", mode=0o644, owner="root:courier")
        assert host.audit(issues="auth-config-readable")["clear"], "that is the password that it comes with"
        machine.write(mysql, f"MYSQL_SERVER\tdb.example.test\nMYSQL_PASSWORD\t{SECRET}\n")
        machine.write(client, f"relay.example.test,587 us {SECRET}\n", mode=0o644, owner="root:root")
        assert SECRET in as_alice(machine, f"cat {mysql}")
        assert set(places(host, "auth-config-readable")) == {mysql, client}
        recorded("auth-config-readable", "broken", machine)
        changes = repair(host, "auth-config-readable")
        assert SECRET not in json.dumps([changes, host.audit(issues="auth-config-readable")])
        assert SECRET not in as_alice(machine, f"cat {mysql} {client}")
        assert SECRET in machine.run(f"setpriv --reuid courier --regid courier --clear-groups cat {client}").stdout
        shown("auth-config-readable", "repaired", machine)


def test_cram_that_no_account_can_use_is_no_longer_offered(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host: Managed = shared(release)
    machine = host.machine
    with kept(machine, "/etc/courier/imapd"):
        machine.run(
            r"sed -i 's/^IMAP_CAPABILITY=.*/IMAP_CAPABILITY=\"IMAP4rev1 AUTH=CRAM-MD5 IDLE\"/' /etc/courier/imapd"
        )
        machine.run("systemctl restart courier-imap courier-imap-ssl")
        machine.wait_ready(143)
        since = time.time()
        with imaplib.IMAP4(machine.address, 143, timeout=30) as client:
            assert "AUTH=CRAM-MD5" in client.capabilities
            with pytest.raises(imaplib.IMAP4.error):
                client.login_cram_md5(ALICE, ALICE_PASSWORD)
        wait_for_log(machine, "LOGIN FAILED, method=CRAM-MD5", since)
        assert can_login(machine)
        assert set(places(host, "cram-without-cleartext")) == {"/etc/courier/imapd IMAP_CAPABILITY"}
        recorded("cram-without-cleartext", "broken", machine)
        repair(host, "cram-without-cleartext")
        machine.wait_ready(143)
        with imaplib.IMAP4(machine.address, 143, timeout=30) as client:
            assert [word for word in client.capabilities if "CRAM" in word] == []
        assert can_login(machine)
        shown("cram-without-cleartext", "repaired", machine)
    machine.run("systemctl restart courier-imap courier-imap-ssl")
    machine.wait_ready(143)


def test_passwords_go_into_the_log_no_more(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host: Managed = shared(release)
    machine = host.machine
    with kept(machine, AUTHDAEMONRC):
        set_in_authdaemonrc(machine, "DEBUG_LOGIN", "2")
        restart_authdaemon(machine)
        since = whole_second()
        assert can_login(machine)
        wait_for_log(machine, f"clearpasswd={ALICE_PASSWORD}", since)
        assert_diagnosed(host, "debug-login", since)
        report = host.call("courier.diagnose", since=since)
        assert ALICE_PASSWORD not in json.dumps([report, host.audit()])
        assert set(places(host, "debug-login")) == {f"{AUTHDAEMONRC} DEBUG_LOGIN"}
        recorded("debug-login", "broken", machine)
        repair(host, "debug-login")
        machine.wait_ready()
        since = whole_second()
        assert can_login(machine)
        assert machine.journal("authdaemond", since=since) == []
        shown("debug-login", "repaired", machine)
    restart_authdaemon(machine)


def test_login_without_a_pam_file_fails_where_the_fallback_denies(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host: Managed = shared(release)
    machine = host.machine
    imap, other = "/etc/pam.d/imap", "/etc/pam.d/other"
    with kept(machine, imap, other):
        stock = machine.read(imap)
        machine.run(f"rm {imap}")
        assert can_login(machine), "Debian's own fallback lets logins work"
        assert host.audit(issues="pam-service-missing")["clear"]
        machine.write(other, "auth required pam_deny.so\naccount required pam_deny.so\n")
        assert not can_login(machine)
        assert set(places(host, "pam-service-missing")) == {imap}
        recorded("pam-service-missing", "broken", machine)
        assert set(repair(host, "pam-service-missing")) == {imap}
        assert can_login(machine)
        said = [line for line in stock.decode().splitlines() if line.startswith("@")]
        assert machine.read(imap).decode().splitlines() == said, "what Debian ships"
        shown("pam-service-missing", "repaired", machine)
