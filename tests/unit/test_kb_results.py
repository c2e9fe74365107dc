"""A test run's result holds as long as the issue file does the same, whatever it says."""

from __future__ import annotations

import pytest

from pages import results

SOURCE = '''"""
Title

## What you see
"""

from courierlib.issue import Issue

ISSUE = Issue(
    id="x",
    look=("ls",),
    known=("run: trixie",),
    tell="Look at it.",
    signatures=(
        Signature(sample="a"),
    ),
)


def check(host):
    # Why.
    yield host.files  # And how.
    yield \'\'\'
# in a file
\'\'\'
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Title", "Another title"),
        ("## What you see", "## What you see\n\nMore."),
        ("run: trixie", "run: trixie, forky"),
        ("Look at it.", "Look\\nagain."),
        ('sample="a"', 'sample="b"'),
        ("# Why.", "# Because."),
        ("  # And how.", ""),
        ("\n\n\ndef", "\n\n\n\ndef"),
    ],
)
def test_what_is_only_said_does_not_outdate_a_result(old, new):
    assert results.fingerprint(SOURCE.replace(old, new)) == results.fingerprint(SOURCE) != ""
    assert SOURCE.replace(old, new) != SOURCE


@pytest.mark.parametrize(
    ("old", "new"), [("host.files", "host.names"), ('"ls"', '"ls -l"'), ("check(", "look("), ("# in a", "# of a")]
)
def test_what_is_done_does(old, new):
    assert old in SOURCE
    assert results.fingerprint(SOURCE.replace(old, new)) != results.fingerprint(SOURCE)


def test_what_is_done_counts_beside_what_is_said():
    one = 'ISSUE = Issue(look=("ls",), known=("run: x",))\n'
    assert results.fingerprint(one) == results.fingerprint(one.replace("run: x", "run: y"))
    assert results.fingerprint(one) != results.fingerprint(one.replace("ls", "ps"))


def test_results_and_recordings_are_read_by_host_and_issue(tmp_path):
    (tmp_path / "trixie.json").write_text(
        '{"x": {"courier": "1.4.1", "tls": "gnutls", "outcome": "found", "test": "t", "fingerprint": "f"}}'
    )
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/x.json").write_text(
        '{"broken": {"base": "trixie", "courier": "1.4.1", "tls": "gnutls", "fingerprint": "f",'
        ' "salt": [{"command": "a", "text": "b"}], "shell": []}}'
    )
    assert results.shown(tmp_path)["trixie"]["x"].outcome == "found"
    recorded = results.recordings(tmp_path / "outputs")["x"]["broken"]
    assert (recorded.host, recorded.fingerprint) == ("Debian 13, Courier 1.4.1, GnuTLS", "f")
    assert recorded.salt[0].text == "b"
