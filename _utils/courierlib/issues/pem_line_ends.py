r"""
A PEM file with CR or mixed line ends takes TLS down

## What you see

Every TLS connection breaks at once, on one service or on all. The log says that there is no start line, in words and
with a number that depend on the version of OpenSSL:

```text
imapd-ssl: ip=[::ffff:127.0.0.1], couriertls: /etc/courier/imapd.pem: error:0480006C:PEM routines::no start line
```

The start line is there, for everybody to see. Many other kinds of damage give the same message: see `pem-unreadable`.

## What it breaks

TLS on every service that uses the file: IMAP, POP3, SMTP submission, and STARTTLS. Other servers that try STARTTLS to
deliver mail here may keep retrying. Nothing is lost.

Which line ends matter:

| line ends | Courier built with OpenSSL | Courier built with GnuTLS (Debian) |
| --- | --- | --- |
| LF | works | works |
| CR LF (Windows) | works | works |
| CR alone (old Mac) | **no TLS** | works |
| CR alone in a part of the file | **no TLS** | works |

Windows line ends are often blamed. They are harmless with OpenSSL 3 and with GnuTLS, and are reported as advice only.

## Check by hand

The first command counts, file by file, the lines that have a CR before their end. A healthy host has 0 everywhere: a
CR just before LF is a Windows line end, harmless, and is not counted. Where a file has 1 or more, here is the cause, if
the second command names `libssl`. With `libgnutls` it is harmless. For `dhparams.pem` see `dh-params-unusable`.

With 0 everywhere this is not your problem: see `pem-unreadable`.

## Fix by hand

Nothing is interrupted: couriertls reads the file for every connection. Write into the file, so that it keeps its
owner and mode:

```console
# cp -p /etc/courier/imapd.pem /root/imapd.pem.old
# (sed 's/\r$//' /root/imapd.pem.old | tr '\r' '\n'; echo) >/etc/courier/imapd.pem
```

Do not leave the copy in `/etc/courier`: couriertls takes `imapd.pem.NAME` for the certificate of NAME.

## Undo

```console
# cp -p /root/imapd.pem.old /etc/courier/imapd.pem
```

## How to see that it worked

```console
# openssl s_client -connect localhost:993 </dev/null 2>&1 | grep 'Cipher is'
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

Before, it said `Cipher is (NONE)`.

## Why it happens

The file went through a Mac editor, a web form or a copy and paste that changed its line ends. OpenSSL reads PEM files
line by line, and a line ends with LF; CR before it is cut off like a blank. With CR alone the whole file is one line,
and `BEGIN` of the second block is nowhere at the beginning of a line. GnuTLS looks for the markers anywhere.
"""

from courierlib import pem, tlsfiles
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature
from courierlib.tree import Unreadable

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")
_PATTERN = BY_TLS + r"couriertls: \S+: error:[0-9A-F]+:PEM routines:[A-Za-z_]*:no start line"

ISSUE = Issue(
    id="pem-line-ends",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(tls="openssl"),
    interrupts="nothing: couriertls reads the file for every connection",
    fixed_by="courier.fix_pem_eol",
    look=(
        r"grep -cP '\r.' /etc/courier/*.pem",
        "ldd /usr/bin/couriertls | awk '/libssl|libgnutls/ {print $1}'",
    ),
    tell=r"`grep -cP '\r.' FILE` counts at least one line; if it counts none, it is `pem-unreadable`.",
    bites=("couriertls",),
    known=(
        "run: trixie with an OpenSSL 3.5.7 couriertls 1.4.1: CR-only, wholly or in part: no TLS; CRLF works",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): cannot occur, TLS keeps working with CR-only",
        "run: PEM_read_bio of OpenSSL 1.0.2q and 1.1.1l: CR-only cannot be read, CRLF can",
        "read: get_name() and sanitize_line() in crypto/pem/pem_lib.c, OpenSSL 3.0",
        "reported: https://georgik.sinusgear.com/tag/courier/ (blames CRLF, OpenSSL 1.0)",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=_PATTERN,
            sample="couriertls: /etc/courier/esmtpd.pem: error:0906D06C:PEM routines:PEM_read_bio:no start line",
            known="reported: https://georgik.sinusgear.com/tag/courier/ (OpenSSL 1.0)",
            tls="OpenSSL 1.0",
        ),
        Signature(
            process=_SERVERS,
            pattern=_PATTERN,
            sample="couriertls: /etc/courier/imapd.pem: error:0909006C:PEM routines:get_name:no start line",
            known="run: PEM_read_bio and the error texts of OpenSSL 1.1.1l; read: sslerror() in libcouriertls.c, 1.4.1",
            tls="OpenSSL 1.1",
        ),
        Signature(
            process=_SERVERS,
            pattern=_PATTERN,
            sample="ip=[192.0.2.7], couriertls: /etc/courier/imapd.pem: error:0480006C:PEM routines::no start line",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
    ),
    references=("https://georgik.sinusgear.com/tag/courier/",),
)

_NAMES = {"CR": "CR-only line ends", "CRLF": "CRLF line ends", "mixed": "mixed line ends"}


def check(host):
    """Yield a finding for every PEM file whose line ends are not LF: advice where the TLS library reads it."""
    users: dict[str, list[str]] = {}
    for pair in tlsfiles.pairs(host):
        for path in pair.paths:
            users.setdefault(path, []).extend(name for name in pair.services if name not in users.get(path, ()))
    for path, services in users.items():
        try:
            content = host.read(path)
        except Unreadable as failed:
            if not failed.missing:
                yield failed
            continue
        file = pem.parse(content)
        if file.line_ends in ("", "LF") or not file.blocks:
            continue
        plain = pem.parse(pem.unix_line_ends(content))
        hurts = host.tls_library == "openssl" and [b.digest for b in file.openssl] != [b.digest for b in plain.openssl]
        effect = "OpenSSL cannot read it" if hurts else "harmless here"
        certbot = tlsfiles.kept_by_certbot(host, path)
        yield Finding(
            where=path,
            detail=f"{_NAMES[file.line_ends]}: {effect} ({', '.join(services)})"
            + certbot * "; certbot writes this file",
            severity=None if hurts else Severity.LOW,
            fixable=plain.whole and not certbot,
            subject=_NAMES[file.line_ends],
        )


def fix(host, findings):
    """Yield what writes the same keys and certificates with LF."""
    for finding in findings:
        yield tlsfiles.repair_layout(finding.where, finding.subject)
