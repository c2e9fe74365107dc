r"""
POP3 takes commands from before the TLS handshake for commands of the encrypted session (CVE-2021-38084)

## What you see

Nothing. The version is what tells.

## What it breaks

The protection of `STLS`, which switches a POP3 connection on port 110 to TLS. Somebody between a mail program and the
server can put commands of his own before the handshake, and the server answers them as if they had come encrypted.
Port 995 is not concerned, nor are IMAP and SMTP.

## Check by hand

The first command prints the version: before 1.1.5 it is concerned. The second prints a line if your distribution has
repaired it in an older version.

To see it takes a program that sends `STLS` and `CAPA` in one packet, and then starts TLS: a concerned server answers
`CAPA` inside TLS, without being asked there.

## Fix by hand

Upgrade: Debian 13 has 1.4.1. Until then, switch `STLS` off, and have mail programs use port 995:

```console
# sed -i 's/^POP3_STARTTLS=.*/POP3_STARTTLS=NO/' /etc/courier/pop3d-ssl
# systemctl restart courier-pop
```

Mail programs that are set to STARTTLS on port 110 do not connect any more, or worse, fall back to an unencrypted login
if they are allowed to: tell their users first.

## Undo

Set `POP3_STARTTLS=YES` again, and restart `courier-pop`.

## How to see that it worked

This does not print `STLS` any more:

```console
# bash -c 'exec 3<>/dev/tcp/localhost/110; printf "CAPA\r\nQUIT\r\n" >&3; cat <&3'
```

## Why it happens

The POP3 server reads from the network in blocks. Up to 1.1.4 what was in the block behind `STLS` stayed in its buffer,
and was taken for the first thing that came through TLS. The IMAP and SMTP servers threw it away.
"""

from collections.abc import Iterator

from courierlib import changes
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile
from courierlib.settings import assign

_CVE = "CVE-2021-38084"

ISSUE = Issue(
    id="pop3-stls-injection",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(until="1.1.5"),
    interrupts="POP3 on port 110 for a moment; mail programs that use STARTTLS there are locked out",
    allows=("end-pop3-starttls",),
    look=(
        "dpkg-query -W courier-pop",
        "zgrep -h CVE-2021-38084 /usr/share/doc/courier-pop/changelog.Debian.gz || echo 'not repaired by Debian'",
        "grep '^POP3_STARTTLS=' /etc/courier/pop3d-ssl",
    ),
    bites=("imap-ports",),
    known=(
        "run: bookworm 1.0.16-3: STLS and CAPA in one packet: the answer to CAPA comes in TLS; not so IMAP, SMTP",
        "run: trixie 1.4.1: the same: no answer",
        "read: debian/changelog, 1.3.13-1: repaired upstream in 1.1.5, Debian bug 989375",
    ),
    references=("https://nvd.nist.gov/vuln/detail/CVE-2021-38084", "https://bugs.debian.org/989375"),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for a POP3 server that offers STLS, is older than the repair, and was not repaired by Debian."""
    if "pop" not in host.components or not host.exists(host.conffile("pop3d-ssl")):
        return
    if "mta" not in host.components:
        yield Unknown("Courier IMAP alone has other version numbers; nobody has told which of them has the repair")
        return
    offered = host.settings("pop3d-ssl").get("POP3_STARTTLS").lower().startswith("y")
    if offered and changes.older(host.version, "1.1.5") and not changes.says(host, "courier-pop", _CVE):
        yield Finding(where=host.conffile("pop3d-ssl"), detail=f"version {host.version} offers STLS, and has {_CVE}")


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the end of STLS on port 110, with leave."""
    for finding in findings:
        yield EditFile(
            path=finding.where,
            setting="POP3_STARTTLS",
            edit=lambda content: assign(content or b"", "POP3_STARTTLS", "NO"),
            restarts=("pop3",),
            allow="end-pop3-starttls",
            old="YES",
            new="NO",
        )
