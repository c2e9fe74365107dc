"""
Clients refuse the connection: the certificate has expired, or will soon

## What you see

Mail programs warn or refuse, all on the same day: "certificate has expired". Courier never looks at the date of its own
certificate, so the log has at most what clients say when they hang up. GnuTLS (all of Debian) with a client of TLS 1.2,
and with one of TLS 1.3:

```text
imapd-ssl: ip=[::ffff:10.77.0.1], Certificate is expired
imapd-ssl: ip=[::ffff:10.77.0.1], Decryption has failed.
```

OpenSSL:

```text
imapd-ssl: ip=[::ffff:10.77.0.1], couriertls: accept: error:0A000415:SSL routines::ssl/tls alert certificate expired
```

## What it breaks

Mail programs, IMAP, POP3 and SMTP submission. Users who click the warning away will do so the next time too, when it
is somebody else's certificate. Other servers that check certificates (MTA-STS, DANE) deliver nothing here. Nothing is
lost.

A certificate that is not valid yet has the same effect; the clock of this host or of its maker is wrong.

## Check by hand

The first command prints until when each certificate in `/etc/courier` is valid, and who made it. The second prints the
date: is it right? Certificates elsewhere are named by `TLS_CERTFILE` in `/etc/courier/esmtpd`, `imapd-ssl` and
`pop3d-ssl`.

Look at what the server really sends, too. A new file that Courier does not use helps nobody:

```console
# openssl s_client -connect localhost:993 </dev/null 2>/dev/null | openssl x509 -noout -enddate
notAfter=Nov 22 22:50:46 2027 GMT
```

## Fix by hand

Nothing is interrupted: couriertls reads the file for every connection.

**From a certificate authority, by an ACME client** (certbot, acme.sh, lego): it should have renewed a month ago. See
why it did not, and then whether the new certificate was copied to where Courier reads it:

```text
systemctl list-timers | grep -i -e certbot -e acme
certbot certificates
certbot renew --dry-run
```

If certbot has a newer one than Courier presents, the deploy hook is missing: `key-unreadable-for-mailuser` has one.

**From a certificate authority, by hand**: order a new one.

**The self-signed one that the package made** lasts a year, and nothing renews it. Make it anew; the program refuses to
overwrite, so move the old one away. Until the last command TLS fails:

```console
# mv /etc/courier/imapd.pem /root/imapd.pem.old
# mkimapdcert
# chown root:courier /etc/courier/imapd.pem
# chmod 640 /etc/courier/imapd.pem
```

`mkpop3dcert` and `mkesmtpdcert` do the same for `pop3d.pem` and `esmtpd.pem`. `courier.fix certificate-expiring` does
this, and only for these. Mail programs ask their users once whether they trust the new one. Better: get a real one,
see `certificate-default`.

## Undo

```console
# cp -p /root/imapd.pem.old /etc/courier/imapd.pem
```

## How to see that it worked

```console
# openssl x509 -in /etc/courier/imapd.pem -noout -checkend 2592000
Certificate will not expire
```

## Why it happens

Certificates end: after 90 days or less from an ACME authority, after 365 days from the package's own `mkimapdcert`. The
renewal needs a timer, port 80 or the name server, and somebody who copies the result. Each of them can stop without a
word.
"""

import re
import time

from courierlib import certificates
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature
from courierlib.plan import RunProgram
from courierlib.tree import Unreadable

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")

ISSUE = Issue(
    id="certificate-expiring",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: couriertls reads the file for every connection",
    look=(
        "for f in /etc/courier/*d.pem*; do "
        'openssl x509 -in "$f" -noout -enddate -issuer 2>/dev/null | sed "s|^|$f: |"; done',
        "date -u",
    ),
    tell="`openssl s_client` shakes hands, and `openssl x509 -checkend 0` says `Certificate will expire`.",
    bites=("couriertls",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS), trixie with an OpenSSL couriertls 1.4.1: an expired "
        "certificate is presented without a line in the log; a client that verifies refuses it",
        "run: trixie: mkimapdcert refuses to overwrite, and makes one for 365 days",
        "read: mkimapdcert.in, mkesmtpdcert.in: expiration_days = 365, -days 365, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"Certificate is expired$",
            sample="ip=[::ffff:10.77.0.1], Certificate is expired",
            known="run: trixie 1.4.1 (GnuTLS), a client of TLS 1.2",
            tls="GnuTLS",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"Decryption has failed\.$",
            sample="ip=[::ffff:10.77.0.1], Decryption has failed.",
            known="run: trixie 1.4.1 (GnuTLS), a client of TLS 1.3",
            tls="GnuTLS",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: [a-z]+: error:[0-9A-F]+:SSL routines:[A-Za-z0-9_]*:[a-z0-9/]+ alert "
            "certificate expired$",
            sample="ip=[::ffff:10.77.0.1], couriertls: accept: error:0A000415:SSL routines::ssl/tls alert certificate "
            "expired",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
    ),
)

_DAY = 86400
_PROGRAMS = {"esmtpd": "mkesmtpdcert", "imapd": "mkimapdcert", "pop3d": "mkpop3dcert"}


def check(host):
    """Yield a finding for every certificate that is not valid now, or soon no longer."""
    now = time.time()
    found: dict[str, Finding] = {}
    for file in host.once(certificates.used):
        if file.leaf is None or not (said := _judged(file.leaf, now)):
            continue
        severity, words = said
        program = _maker(host, file)
        found[file.certfile] = Finding(
            where=file.certfile,
            detail=f"{words} ({', '.join(file.services)}; {file.leaf.subject[:100]})",
            severity=severity,
            fixable=bool(program) and file.leaf.begins <= now,
            subject=(program, words),
        )
    yield from found.values()


def _judged(leaf, now):
    """Severity and words for a certificate that needs attention; None for one that does not.

    certbot, acme.sh and lego renew when a third of the life is left, or a half of a very short one. So what comes below
    a quarter has been missed by them.
    """
    left, life = leaf.ends - now, leaf.ends - leaf.begins
    day = time.strftime("%Y-%m-%d", time.gmtime(leaf.ends))
    if leaf.begins > now:
        return None, f"not valid before {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(leaf.begins))}"
    if left <= 0:
        return None, f"expired on {day}"
    words = f"expires on {day}"
    if left < min(14 * _DAY, life / 5):
        return Severity.MEDIUM, words
    return (Severity.LOW, words) if left < min(30 * _DAY, life / 4) else None


def _maker(host, file):
    """The program that makes this very file anew, if it made the present one; empty if none did."""
    stem = re.fullmatch(r"(.*/(esmtpd|imapd|pop3d))\.pem", file.certfile)
    if file.name or file.keyfile or not stem or not certificates.is_default(file.leaf):
        return ""
    found = host.stat(file.certfile, follow=False)
    if found is None or found.kind != "file":
        return ""
    path = f"{host.layout.sbindir}/{_PROGRAMS[stem[2]]}"
    try:
        script = host.read(path, 65536).decode("utf-8", "replace")
    except Unreadable:
        return ""
    # Where it writes was settled when it was built (read: mkimapdcert.in, mkesmtpdcert.in, 1.4.1).
    wrote = (file.certfile, f"PEMFILE={stem[1]}\n", f"PEMFILE={stem[1].removesuffix(stem[2])}$CERTNAME\n")
    return path if any(text in script for text in wrote) else ""


def fix(host, findings):
    """Yield the making of a new self-signed certificate in the place of one that the same program had made."""
    for finding in findings:
        program, words = finding.subject
        yield RunProgram(
            command=(program,),
            makes=(finding.where,),
            replaces=True,
            old=words,
            new=f"a new self-signed certificate, made by {program.rpartition('/')[2]}",
        )
