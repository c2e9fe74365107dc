"""A GDBM database is read as its own library would, and what is none is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import gdbmfiles
import pytest

from courierlib import gdbm
from courierlib.issue import Unknown

DATA = Path(__file__).parent / "data"


def test_what_makedat_of_trixie_wrote_is_read() -> None:
    content = gzip.decompress((DATA / "smtpaccess.dat.gz").read_bytes())
    assert gdbm.parse(content, "smtpaccess.dat") == {
        "127.0.0.1": "allow,RELAYCLIENT",
        ":0000:0000:0000:0000:0000:0000:0000:0001": "allow,RELAYCLIENT",
        "10": "allow,RELAYCLIENT",
        "192.168": "allow,RELAYCLIENT",
    }


@pytest.mark.parametrize("content", [b"", b"#! /bin/sh\n" * 99, b"\0" * 9999])
def test_what_is_no_database_is_refused(content: bytes) -> None:
    with pytest.raises(Unknown, match="not a GDBM database"):
        gdbm.parse(content, "x.dat")


@pytest.mark.parametrize("size", [60, 4096, 8192, 12288])
def test_a_database_that_was_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    gdbmfiles.write(tmp_path / "x.dat", {"a": "b"})
    with pytest.raises(Unknown, match="damaged"):
        gdbm.parse((tmp_path / "x.dat").read_bytes()[:size], "x.dat")
