"""accepted-domain-not-local: files prove it of the host's own name only, the log of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tablehost import table_host

from courierlib.issues import accepted_domain_not_local as issue


@pytest.mark.parametrize(
    ("sources", "hosted", "found"),
    [
        ({}, {}, False),
        ({"locals": "localhost\n"}, {}, True),
        ({"locals": "localhost\n# mx1.example.test\n"}, {}, True),
        ({"locals": ".example.test\n"}, {}, False),
        ({"locals": "!mx1.example.test\n.example.test\n"}, {}, True),
        ({"locals": "MX1.Example.Test\n"}, {}, False),
        ({"locals": "localhost\n"}, {"mx1.example.test": "1"}, False),
        ({"locals": "localhost\n", "esmtproutes": ":smarthost.example\n"}, {}, False),
        ({"locals": "localhost\n", "esmtproutes": "mx1.example.test: inside.example\n"}, {}, False),
        ({"locals": "localhost\n", "esmtproutes": "mx1.example.test:\n"}, {}, True),
        ({"locals": "localhost\n", "esmtproutes": "# none\n"}, {}, True),
        ({"locals": "localhost\n", "esmtpacceptmailfor": "other.example\n"}, {}, False),
    ],
)
def test_the_hosts_own_name_must_be_local_or_routed(tmp_path: Path, sources, hosted, found) -> None:
    host = table_host(tmp_path, sources, {"hosteddomains": hosted} if hosted else {})
    assert bool(list(issue.check(host))) is found


def test_a_backup_mx_is_clear(tmp_path: Path) -> None:
    host = table_host(tmp_path, {}, {"esmtpacceptmailfor": {"customer.example": "1"}})
    assert not list(issue.check(host))
