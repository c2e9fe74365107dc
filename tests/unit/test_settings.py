"""Settings files are read as sh reads them, or not at all; an edit changes the one value and nothing else."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from courierlib.issue import Unknown
from courierlib.plan import Refused
from courierlib.settings import assign, assign_authdaemonrc, comment_out, drop_word, evaluate, parse_authdaemonrc

UNSET = "(unset)"
NAMES = ("A", "B", "C", "D", "prefix")
VARIABLES = {"prefix": "/usr", "sysconfdir": "/etc/courier"}

KNOWN = {
    "A=1\n": {"A": "1"},
    "A=1": {"A": "1"},
    "A=\n": {"A": ""},
    "# A=1\n": {"A": UNSET},
    "A=1 # B=2\n": {"A": "1", "B": UNSET},
    "A=1#2\n": {"A": "1#2"},
    "A='x  y'\n": {"A": "x  y"},
    'A="x  y"\n': {"A": "x  y"},
    "A=x\\ y\n": {"A": "x y"},
    "A=x'y'\"z\"\n": {"A": "xyz"},
    "A='it'\\''s'\n": {"A": "it's"},
    'A="\\$B \\a \\\\ \\""\n': {"A": '$B \\a \\ "'},
    "B=b\nA='$B'\n": {"A": "$B"},
    'B=b\nA="$B.${B}c$D"\n': {"A": "b.bc"},
    "A=${sysconfdir}/smtpaccess\n": {"A": "/etc/courier/smtpaccess"},
    "A=$ \nB=a$%\n": {"A": "$", "B": "a$%"},
    "A=1 B=$A\n": {"A": "1", "B": "1"},
    "A=1; B=2\n": {"A": "1", "B": "2"},
    "A=1\nA=2\n": {"A": "2"},
    "A=1; export A\n": {"A": "1"},
    "export A=1 B='x y'\n": {"A": "1", "B": "x y"},
    "readonly A=1\n": {"A": "1"},
    "A=1 true\n": {"A": UNSET},
    "A=x\\\ny\nB=2\n": {"A": "xy", "B": "2"},
    'A="x\\\ny"\n': {"A": "xy"},
    'A="x\ny"\nB=2\n': {"A": "x\ny", "B": "2"},
    "A=1\r\nB=2\r\n": {"A": "1\r", "B": "2\r"},
    "prefix=/opt\nA=$prefix/x\n": {"A": "/opt/x", "prefix": "/opt"},
    "A=1\nunset A\n": {"A": UNSET},
    "cat >/dev/null <<E\nA=1\nE\nB=2\n": {"A": UNSET, "B": "2"},
    "if true; then B=1; fi\nA=1\n": {"A": "1"},
    "case x in (y) B=1;; *) B=2;; esac\nA=1\n": {"A": "1"},
    "for B in x y; do :; done; A=1\n": {"A": "1"},
    "f() { B=1; }\nf\nA=1\n": {"A": "1"},
    "B=`echo ')'`; A=1\n": {"A": "1"},
    "B=$(echo ')' \"$(echo x)\"); A=1\n": {"A": "1"},
    "( B=1 ); A=1\n": {"A": "1"},
    "echo hello >/dev/null 2>&1; A=1\n": {"A": "1"},
    "A=$B$C\n": {"A": ""},
    "A=é\n": {"A": "é"},
}

UNKNOWABLE = {
    "A=$(echo 1)\n": "echo 1",
    "A=`echo 1`\n": "never executed",
    "A=$((1+1))\n": "arithmetic",
    "A=${B:-1}\n": "expansion",
    "B=$(echo 1)\nA=$B\n": "$B",
    "A=~/x\n": "home directory",
    "A=$1\n": "parameter",
    "A=$PATH\n": "$PATH",
    "if true; then A=1; fi\n": "inside an if",
    "case x in x) A=1;; esac\n": "in a case",
    "for A in 1; do :; done\n": "in a for loop",
    "while false; do A=1; done\n": "in a while loop",
    "f() { A=1; }\n": "in the function f",
    "true && A=1\n": "only if",
    "A=1 | true\n": "in a pipeline",
    "A=1 &\n": "in the background",
    "( A=1 )\n": "in a subshell",
    "eval A=1\n": "eval",
    "$B A=1\n": "computed",
    "read A </dev/null\n": "by read",
    "A=1\n: ${A:=2}\n": "by an expansion",
    "return\nA=1\n": "after return",
    "A=1 :\n": "in front of :",
    ". /nowhere/at/all\n": "/nowhere/at/all",
    "A='1\n": "single quote is never closed",
    "A=1\n)\nA=2\n": "sh stops reading there",
    "readonly A=1\nA=2\n": "readonly",
    "A=1\0\n": "NUL",
}

FORMS = (
    "A=@", "B=@", "C=@", "export A=@", "export A=$B B=$A", "readonly B=@", "A=@ B=@", "A=@; B=@", "A=@ true", "A=@ :",
    "if @; then A=@; fi", "[ x = @ ] && A=@", "B=@ || C=@", "{ A=@; }", "( A=@ )", "f() { B=@; }", "f",
    "case @ in x) A=@;; *) B=@;; esac", "for C in @ y; do :; done", "cat <<E >/dev/null\nA=@\nE", "unset A", "# A=@",
    "A=@ # B=@", "A=@ |true", "A=@ &", "! A=@", "echo @ >/dev/null", 'A="@\n@"', "A=@\\\nB", 'eval "A=@"', ". ./inc",
    ": ${A:=@}", "A=@ > /dev/null", "return", "set -a", "read C < ./inc", "command . ./inc", "g() { f; A=@; }", "g",
    "A=@\r", "A='@'", "export C=\"@\" B='@'", "alias q=A",
)  # fmt: skip
VALUES = (
    "1", "x y", '"x y"', "$A", "${B}", '"$A"', "'$A'", "${C:-d}", '"${C}x"', "`echo k`", '$(echo "l)")', "$((1+2))",
    "~", "a:~/x", "\\$A", '"\\$A"', '"\\a"', '""', "ä", '"a#b"', "a#b", "'a'\"b\"c", '"${A:-$(echo y)}"', "$1", "*",
    "${prefix}/y", '"it\'s"', "$", '"$"', "$A$B", "\\\\", '"\'"',
)  # fmt: skip
PIECES = (
    *"ABC=\"'\\$`(){}<>&|;#!~\n\n\n  ", "A=", "B=", "$A", "${B}", "$(", "))", "if ", "then ", "fi", "case ", "esac",
    " in ", ";;", "do ", "done", "<<E", "E\n", "export ", "unset ", ". ./inc", "A=1\n", "ä", "\r", "${A:=q}",
)  # fmt: skip


def generated(count: int) -> list[str]:
    """Scripts, the same in every run, half of them sensible and half of them not."""
    dice = random.Random(2016)
    scripts = []
    for number in range(count):
        if number % 2:
            scripts.append("".join(dice.choices(PIECES, k=dice.randint(2, 14))))
            continue
        lines = dice.choices(FORMS, k=dice.randint(1, 6))
        text = "\n".join(lines) + "\n"
        while "@" in text:
            text = text.replace("@", dice.choice(VALUES), 1)
        scripts.append(text)
    return scripts


def of_sh(script: str, directory: Path) -> dict[str, str] | None:
    """The variables that /bin/sh exports after sourcing the script; None if it did not get to its end."""
    (directory / "conf").write_bytes(script.encode())
    (directory / "inc").write_text("C=included\nA=inc\n")
    line = "ulimit -t 1; prefix=/usr; sysconfdir=/etc/courier; set -a; . ./conf; exec /usr/bin/env -0"
    try:
        done = subprocess.run(
            ["/usr/bin/env", "-i", "/bin/sh", "-c", line],
            cwd=directory,
            capture_output=True,
            timeout=5,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    return dict(os.fsdecode(entry).partition("=")[::2] for entry in done.stdout.split(b"\0") if entry)


def of_us(script: str) -> dict[str, str]:
    """The variables that we are sure of."""
    settings = evaluate([("conf", script.encode())], VARIABLES)
    found = {}
    for name in NAMES:
        try:
            found[name] = settings.get(name, UNSET)
        except Unknown:
            continue
    return found


@pytest.mark.parametrize(("script", "expected"), KNOWN.items())
def test_value_is_what_sh_has(script: str, expected: dict[str, str], tmp_path: Path) -> None:
    ours, theirs = of_us(script), of_sh(script, tmp_path)
    assert theirs is not None
    assert {name: ours.get(name) for name in expected} == expected
    assert {name: theirs.get(name, UNSET) for name in expected} == expected


@pytest.mark.parametrize(("script", "because"), UNKNOWABLE.items())
def test_what_only_a_shell_could_tell_is_unknown_and_says_where_and_why(script: str, because: str) -> None:
    settings = evaluate([("/etc/courier/imapd", script.encode())], VARIABLES)
    with pytest.raises(Unknown) as raised:
        settings.get("A")
    assert raised.value.reason.startswith("/etc/courier/imapd:")
    assert because in raised.value.reason


def test_never_a_value_that_sh_would_not_have(tmp_path: Path) -> None:
    compared = 0
    for script in [*UNKNOWABLE, *generated(400)]:
        theirs = None if "\0" in script else of_sh(script, tmp_path)
        if theirs is None:
            continue
        for name, value in of_us(script).items():
            if name != "prefix" or name in theirs:
                assert value == theirs.get(name, UNSET), script
                compared += 1
    assert compared > 400


def test_nothing_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    for script in (f"A=$(touch {mark})", f"A=`touch {mark}`", f"touch {mark}", f": >{mark}", f"eval 'touch {mark}'"):
        evaluate([("conf", script.encode())], {})
    assert not mark.exists()


def test_later_assignments_count_and_every_one_is_located() -> None:
    settings = evaluate([("a", b"X=1\nY=1\n"), ("b", b"\nX=2\nexport X=3\n")], {})
    assert settings.get("X") == "3"
    assert [str(place) for place in settings.all("X")] == ["a:1", "b:2", "b:3"]
    assert str(settings.where("X")) == "b:3"
    assert settings.where("Z") is None
    assert settings.names() == ("X", "Y")
    assert settings.get("Z", "default") == "default"


def test_sourced_file_is_read_in_its_place() -> None:
    files = {"/etc/environment": b"LANG=C\nX=environment\n"}
    settings = evaluate([("courierd", b"X=1\n. /etc/environment\nY=$X\n")], {}, files.__getitem__)
    assert (settings.get("X"), settings.get("Y"), settings.get("LANG")) == ("environment", "environment", "C")
    assert str(settings.where("X")) == "/etc/environment:2"


def test_what_follows_a_sourced_file_that_cannot_be_read_is_still_known() -> None:
    def read(path: str) -> bytes:
        raise Unknown(f"{path}: is a FIFO")

    settings = evaluate([("courierd", b"X=1\n. /etc/environment\nY=1\n")], {}, read)
    assert settings.get("Y") == "1"
    for name in ("X", "Z"):
        with pytest.raises(Unknown, match=r"courierd:2: .*is a FIFO"):
            settings.get(name)


def test_file_that_sources_itself_ends() -> None:
    with pytest.raises(Unknown, match="too many files"):
        evaluate([("/a", b". /a\n")], {}, lambda path: b". /a\n. /a\n").get("X")


def test_bytes_that_are_not_utf8_come_through() -> None:
    assert os.fsencode(evaluate([("conf", b"A=/m\xff\xe4il\n")], {}).get("A")) == b"/m\xff\xe4il"


def test_value_longer_than_any_environment_is_unknown() -> None:
    doubling = b"A=0123456789abcdef\n" + b"A=$A$A\n" * 200
    with pytest.raises(Unknown, match="longer"):
        evaluate([("conf", doubling)], {}).get("A")


@pytest.mark.parametrize(
    "piece",
    ["A=1\n", "A=$B\n", "(", "$(", "${A:-", "'", '"', "`", "\\\n", "if ", "<<E\n", "#\n", 'A="$B" ', "((", "\n"],
)
def test_time_grows_with_the_size_and_not_faster(piece: str) -> None:
    def seconds(size: int) -> float:
        content = piece.encode() * (size // len(piece))
        started = time.process_time()
        evaluate([("conf", content)], {})
        return time.process_time() - started

    small, large = min(seconds(10_000) for _ in range(3)), min(seconds(100_000) for _ in range(2))
    assert large < 40 * small + 0.05


STOCK = b"""##NAME: DEFAULTDELIVERY:0
#
#  DEFAULTDELIVERY="| /usr/bin/maildrop"

prefix="/usr"
. /etc/environment
DEFAULTDELIVERY=./Maildir

MAILDROPDEFAULT=./Maildir\t# do not change
"""


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b"X=1\n", "2", b"X=2\n"),
        (b'X="1" # why\nY=1\n', "2", b'X="2" # why\nY=1\n'),
        (b"X='1'\n", "2", b"X='2'\n"),
        (b"X=1\nX=2\n", "3", b"X=1\nX=3\n"),
        (b"X=1; Y=1\n", "2", b"X=2; Y=1\n"),
        (b"export X=1 Y=1\n", "x y", b"export X='x y' Y=1\n"),
        (b"X=$(date)\n", "2", b"X=2\n"),
        (b'X="a \\\n  b"\nY=1\n', "2", b'X="2"\nY=1\n'),
        (b"X=1", "2", b"X=2"),
        (b"Y=1", "2", b"Y=1\nX=2\n"),
        (b"", "", b"X=''\n"),
        (b"X=1\r\nY=1\r\n", "2", b"X=2\nY=1\r\n"),
        (b"Y=\xff\nX=1\n", "2", b"Y=\xff\nX=2\n"),
        (b"# X=1\n", "2", b"# X=1\nX=2\n"),
        (b'X="1"\n', "$RECIPIENT", b"X='$RECIPIENT'\n"),
        (b"X=1\n", "it's\nhere", b"X='it'\\''s\nhere'\n"),
        (b'X=./"Maildir"\n', "./Maildir", b'X=./"Maildir"\n'),
    ],
)
def test_assign_changes_the_value_and_no_other_byte(before: bytes, value: str, after: bytes) -> None:
    assert assign(before, "X", value) == after
    assert evaluate([("conf", after)], {}).get("X") == value
    assert assign(after, "X", value) == after


def test_assign_in_a_stock_file() -> None:
    edited = assign(STOCK, "DEFAULTDELIVERY", '| /usr/bin/maildrop -a -d "${RECIPIENT}"')
    line = b"DEFAULTDELIVERY='| /usr/bin/maildrop -a -d \"${RECIPIENT}\"'\n"
    assert edited == STOCK.replace(b"DEFAULTDELIVERY=./Maildir\n", line)


@pytest.mark.parametrize(
    "content",
    [
        b"if true; then X=1; fi\n",
        b"X=1\nif true; then X=2; fi\n",
        b"case a in a) X=1;; esac\n",
        b"true && X=1\n",
        b"f() { X=1; }\n",
        b"X=1\n. /etc/default/courier\n",
        b"X=1\neval Y=2\n",
        b"X=1\nY=$X\n",
        b"X=1\nY='\n",
        b"X=1\0\n",
        b"readonly Y\nX=1\nreturn\nX=2\n",
        b"Y=1\\\n",
        b"cat <<E\n${X:=1}\nE\n",
        None,
    ],
)
def test_assign_refuses_what_it_cannot_be_sure_of(content: bytes | None) -> None:
    with pytest.raises(Refused):
        assign(content, "X", "2")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"X=1\nY=1\n", b"#X=1\nY=1\n"),
        (b"  X=1 # why\n", b"#  X=1 # why\n"),
        (b"X=1\nY=1\nX=2\n", b"#X=1\nY=1\n#X=2\n"),
        (b'X="a\nb" # c\nY=1', b'#X="a\n#b" # c\nY=1'),
        (b"X=a\\\nb\nY=1\r\n", b"#X=a\\\n#b\nY=1\r\n"),
        (b"Y=1\n", b"Y=1\n"),
    ],
)
def test_comment_out_takes_every_assignment_with_its_continuation(before: bytes, after: bytes) -> None:
    assert comment_out(before, "X") == after


@pytest.mark.parametrize(
    "content", [b"X=1; Y=1\n", b"Y=1; X=1\n", b"X=1 Y=1\n", b"X=1\nY=$X\n", b"if a; then X=1; fi\n", b"X=`\n"]
)
def test_comment_out_refuses_a_line_that_holds_more(content: bytes) -> None:
    with pytest.raises(Refused):
        comment_out(content, "X")


AUTHDAEMONRC = b"""##VERSION: $Id$
authmodulelist="authuserdb authpam"
daemons=5
authdaemonvar=/run/courier/authdaemon
DEFAULTOPTIONS=""
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'A="-x -w"\n', b'A="-x"\n'),
        (b'A="-w -x" # -w\nB="-w"\n', b'A="-x" # -w\nB="-w"\n'),
        (b"A='-w'\n", b"A=''\n"),
        (b"A=-w\n", b"A=\n"),
        (b"A=-x'y -w'\n", b"A=-x'y'\n"),
        (b"A=-w;B=1\n", b"A=;B=1\n"),
        (b'A="-x -w -y -w"', b'A="-x -y"'),
        (b'A="-x \\\n  -w \\\n  -y"\n', b'A="-x \\\n \\\n  -y"\n'),
        (b'A="-x -w"\nA="$A -y $B"\n', b'A="-x"\nA="$A -y $B"\n'),
        (b'A="-w=1 -ww x-w"\n', b'A="-w=1 -ww x-w"\n'),
        (b"B=1\n", b"B=1\n"),
        (b"#A=-w\n", b"#A=-w\n"),
    ],
)
def test_drop_word_takes_that_word_and_no_other_byte(before: bytes, after: bytes) -> None:
    assert drop_word(before, "A", "-w") == after


@pytest.mark.parametrize("content", [None, b'A="$(x) -w"\n', b"if x; then A=-w; fi\n", b"A=-x\\ -w'y'\n"])
def test_drop_word_refuses_what_it_cannot_be_sure_of(content: bytes | None) -> None:
    with pytest.raises(Refused):
        drop_word(content, "A", "-w")


def test_authdaemonrc_is_read_as_authdaemond_reads_it() -> None:
    assert parse_authdaemonrc(AUTHDAEMONRC) == {
        "authmodulelist": "authuserdb authpam",
        "daemons": "5",
        "authdaemonvar": "/run/courier/authdaemon",
        "DEFAULTOPTIONS": "",
    }
    odd = b' daemons=1\ndaemons= 2 \r\nauthmodulelist=\'authpam\'\nx="a#b"\ny="a"b\n  # only a comment\nz="open'
    assert parse_authdaemonrc(odd) == {
        " daemons": "1",
        "daemons": "2 \r",
        "authmodulelist": "'authpam'",
        "x": "a",
        "y": "a",
        "z": "open",
    }


@pytest.mark.parametrize("content", [b"daemons=5\nauthpam\n", b"daemons=\0 5\n"])
def test_line_that_authdaemond_rejects_is_unknown(content: bytes) -> None:
    with pytest.raises(Unknown, match=r"authdaemonrc:\d: "):
        parse_authdaemonrc(content)


def test_authdaemonrc_is_edited_in_place() -> None:
    edited = assign_authdaemonrc(AUTHDAEMONRC, "authmodulelist", "authpam")
    assert edited == AUTHDAEMONRC.replace(b"authuserdb authpam", b"authpam")
    assert assign_authdaemonrc(b"daemons=5 # few", "daemons", "9") == b'daemons="9" # few'
    assert assign_authdaemonrc(b"x=1", "daemons", "9") == b'x=1\ndaemons="9"\n'
    assert assign_authdaemonrc(edited, "authmodulelist", "authpam") == edited


@pytest.mark.parametrize(
    ("content", "value"), [(b"a=1\n", "$x"), (b"a=1\n", 'x"y'), (b"a=1\n", "x#y"), (b"broken\n", "1"), (b"a=1\0", "1")]
)
def test_authdaemonrc_edit_that_its_two_readers_would_take_differently_is_refused(content: bytes, value: str) -> None:
    with pytest.raises(Refused):
        assign_authdaemonrc(content, "a", value)
