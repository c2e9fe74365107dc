"""``courier-explain`` prints the articles of what logs a line, wherever the line comes from."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from courierlib import catalogue, explain

LIBRARY = Path(explain.__file__).parents[1]
ALONE = "imapd-ssl: couriertls: connect: error:0A000076:SSL routines::no suitable signature algorithm"
SHARED = "Nov 22 18:51:04 mx1 imapd-ssl: ip=[::1], couriertls: connect: error:0A0000C1:SSL routines::no shared cipher"


def run(*arguments, data=b""):
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); {START}", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)


START = "from courierlib.explain import main; sys.exit(main())"


def test_a_line_gives_its_article():
    done = run(ALONE)
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"# {catalogue.load()['pem-unreadable'].title}\n")


def test_a_shared_line_gives_all_articles_and_first_how_to_tell_them_apart():
    text = run(SHARED).stdout.decode()
    assert text.startswith("2 known problems log this; to tell them apart:\n\n* dh-params-weak: ")
    assert all(f"\n# {catalogue.load()[issue].title}\n" in text for issue in ("dh-params-weak", "dh-params-unusable"))
    assert catalogue.load()["dh-params-weak"].issue.tell in text.partition("-----")[0]


def test_an_id_gives_its_article():
    assert run("dh-params-weak").stdout.startswith(b"# Mail clients hang up")


@pytest.mark.parametrize("how", ["argument", "file", "packed", "input"])
def test_lines_are_counted_from_everywhere(tmp_path, how):
    data = f"{SHARED}\nNov 22 18:51:04 mx1 imapd-ssl: LOGIN\n{SHARED}\n".encode()
    path = tmp_path / "mail.log"
    path.write_bytes(gzip.compress(data) if how == "packed" else data)
    if how == "argument":
        done = run("--json", SHARED, SHARED)
    elif how == "input":
        done = run("--json", data=data)
    else:
        done = run("--json", "--file", str(path))
    assert done.returncode == 0, done.stderr
    assert [(row["id"], row["lines"]) for row in json.loads(done.stdout)] == [
        ("dh-params-weak", 2),
        ("dh-params-unusable", 2),
    ]


def test_the_address_is_that_of_the_own_site():
    (row,) = json.loads(run("--json", "--kb-url", "https://kb.example.com/", ALONE).stdout)
    assert row["article"] == "https://kb.example.com/i/pem-unreadable/"


def test_a_line_of_a_container_counts_by_its_message():
    assert run("--json", "Nov 22 18:51:04 host mail-1[7]: Permission denied").stdout.count(b'"id"') == 3


def test_nothing_found_is_said_and_is_exit_status_1():
    done = run("something else")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"courier-explain: no known problem logs this\n"
    assert (run("--json", "something else").returncode, run("--json", "something else").stdout) == (1, b"[]\n")


def test_a_file_that_cannot_be_read_is_named_and_is_exit_status_2(tmp_path):
    done = run("--file", str(tmp_path / "missing"), ALONE)
    assert done.returncode == 2
    assert done.stderr.decode() == f"courier-explain: {tmp_path}/missing: no such file or directory\n"
    assert done.stdout.startswith(b"# ")


def test_bytes_that_are_no_text_do_no_harm():
    assert run(data=b"\xff\0\n" + ALONE.encode() + b"\n\xfe").returncode == 0
    assert run("\udcff").returncode == 1


def test_a_reader_that_has_seen_enough_causes_no_complaint():
    program = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); {START}"
    command = f'"{sys.executable}" -I -c "$1" "$2" | head -n 1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command, "-", program, SHARED], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_terminal_that_knows_only_ascii_and_a_full_disk_cause_no_traceback():
    program = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); {START}"
    for environment, target, status in (({"PYTHONIOENCODING": "ascii"}, "/dev/null", 0), ({}, "/dev/full", 2)):
        with open(target, "wb") as out:
            done = subprocess.run(
                [sys.executable, "-c", program, ALONE], stdout=out, stderr=subprocess.PIPE, env=environment, check=False
            )
        assert done.returncode == status
        assert b"Traceback" not in done.stderr


def test_without_standard_input_there_are_no_lines():
    program = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); {START}"
    done = subprocess.run(
        ["bash", "-c", '"$0" -I -c "$1" <&-', sys.executable, program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "courier-explain: no known problem logs this\n")


def test_salt_is_not_imported():
    program = (
        f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); from courierlib.explain import main; "
        "main(['dh-params-weak']); sys.exit(bool({'salt', 'cryptography'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, check=False).returncode == 0
