"""authdaemonrc-bad-line is what authdaemond itself would give up at."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import auth_host

from courierlib.issues import authdaemonrc_bad_line as issue


@pytest.mark.parametrize("line", ["this is bad", "export authmodulelist", 'authpam"'])
def test_a_line_without_an_equals_sign_is_found(tmp_path: Path, line: str) -> None:
    (finding,) = issue.check(auth_host(tmp_path, more=f"{line}\n"))
    assert (finding.where, finding.fixable) == ("/etc/courier/authdaemonrc", False)
    assert finding.detail == "authdaemonrc:3: no '=' in it; authdaemond rejects the whole file"


@pytest.mark.parametrize("line", ["", "  \t", "# this is a comment", "   # so is this", "export LDAPTLS_CACERT=/x"])
def test_what_authdaemond_reads_over_is_clear(tmp_path: Path, line: str) -> None:
    assert not list(issue.check(auth_host(tmp_path, more=f"{line}\n")))
