"""A TLS_PRIORITY that the host's GnuTLS refuses is found, by asking it, and commented out by the operator's leave."""

from __future__ import annotations

import pytest
from installation import install, running

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import tls_priority_invalid as invalid
from courierlib.services import Completed

FILE = "/etc/courier/imapd-ssl"


def gnutls_cli(command):
    """What gnutls-cli of GnuTLS 3.8 says (run: trixie)."""
    assert command[0] == "gnutls-cli" and command[2] == "-l"
    priority = command[1].removeprefix("--priority=")
    if priority == "NONE":
        return Completed(
            1, "Cipher suites for NONE\n", "Error in priorities: No or insufficient priorities were set.\n"
        )
    if not priority.startswith("NORMAL") or "!" in priority:
        return Completed(1, f"Cipher suites for {priority}\n", f"Syntax error at: {priority}\n")
    return Completed(0, f"Cipher suites for {priority}\nProtocols: VERS-TLS1.3\n", "")


def put(root, line, name="imapd-ssl"):
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def findings(root, run=gnutls_cli):
    return list(invalid.check(running(root, run)))


def test_nobody_is_asked_where_none_is_set(tmp_path):
    install(tmp_path)
    assert list(invalid.check(Host(str(tmp_path)))) == []
    put(tmp_path, "#TLS_PRIORITY=HIGH\nTLS_PRIORITY=")
    assert findings(tmp_path, run=None) == []


@pytest.mark.parametrize("value", ["NORMAL", "NORMAL:-VERS-TLS1.0"])
def test_what_gnutls_takes_is_clear(tmp_path, value):
    put(install(tmp_path), f'TLS_PRIORITY="{value}"')
    assert findings(tmp_path) == []


@pytest.mark.parametrize(
    "value, said", [("HIGH:!aNULL", "Syntax error at: HIGH:!aNULL"), ("NONE", "No or insufficient priorities")]
)
def test_what_gnutls_refuses_is_found_with_its_words(tmp_path, value, said):
    put(install(tmp_path), f"TLS_PRIORITY='{value}'")
    (finding,) = findings(tmp_path)
    assert finding.where == f"{FILE} TLS_PRIORITY"
    assert said in finding.detail and "(imapd-ssl)" in finding.detail


def test_openssl_does_not_mind(tmp_path):
    put(install(tmp_path, library="openssl"), "TLS_PRIORITY=HIGH")
    assert findings(tmp_path, run=None) == []


def test_without_anybody_to_ask_it_is_unknown(tmp_path):
    put(install(tmp_path), "TLS_PRIORITY=HIGH")
    (missing,) = findings(tmp_path, lambda command: Completed(127, "", "gnutls-cli: not found"))
    (tree,) = invalid.check(Host(str(tmp_path)))
    assert isinstance(missing, Unknown) and "gnutls-cli is not installed" in missing.reason
    assert isinstance(tree, Unknown) and FILE in tree.reason


def test_it_is_commented_out_where_it_stands(tmp_path):
    put(install(tmp_path), 'TLS_PRIORITY="HIGH"', "esmtpd")
    host = running(tmp_path, gnutls_cli)
    (action,) = invalid.fix(host, list(invalid.check(host)))
    assert (action.subject, action.allow) == ("/etc/courier/esmtpd TLS_PRIORITY", "default-tls-priority")
    assert action.restarts == ("smtp", "msa", "smtps")
    path = tmp_path / "etc/courier/esmtpd"
    path.write_bytes(action.edit(path.read_bytes()))
    assert path.read_text().endswith('#TLS_PRIORITY="HIGH"\n')
    assert findings(tmp_path) == []
