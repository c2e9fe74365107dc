r"""
Mail clients hang up during the TLS handshake: DH parameters too short

## What you see

Mail programs report that the secure connection failed, while others go on working. With OpenSSL 1.0 the client looked
at the parameters and hung up, and the log says so:

```text
couriertls: accept: error:14094417:SSL routines:ssl3_read_bytes:sslv3 alert illegal parameter
```

OpenSSL 3 itself refuses to use the parameters. For every connection it logs a line that names the certificate's file,
such as `imapd.pem`, although `dhparams.pem` is at fault. For a client that is lost there is `no shared cipher` too.

## What it breaks

With OpenSSL 3, only clients that can do nothing but Diffie-Hellman with numbers (DHE): old printers, scanners and
appliances. TLS 1.3 and elliptic curves go on working. With OpenSSL 1.0, clients that accept DHE and look at the
length are lost too: Thunderbird and Outlook were, in 2015. SMTP, IMAP and POP3 alike. No mail is lost.

Courier built with GnuTLS does not have this problem. All Debian packages since Debian 9 are built with GnuTLS, which
takes only the length from the file and uses a published group of at least 2048 bits instead.

## Check by hand

The first command names the TLS library. With `libgnutls` this is not your problem.

The second command says which file counts, service by service, and the third how long the prime in it is. Less than
2048 bits is too short. Where `TLS_DHPARAMS` names another file, look at that one.

If `TLS_DHPARAMS` is not set or cannot be read, the block in the certificate's file counts:

```console
# sed -n '/BEGIN DH PARAMETERS/,/END DH PARAMETERS/p' /etc/courier/imapd.pem | openssl dhparam -noout -text | head -1
```

`Error, unable to load parameters` says that the file has no such block. That is fine as long as `TLS_DHPARAMS` is
set.

## Fix by hand

Write a published group (RFC 7919). Nothing is interrupted: couriertls reads the file for every connection.

```console
# cp -p /etc/courier/dhparams.pem /root/dhparams.pem.old
# openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe3072 -out /etc/courier/dhparams.tmp
# chown --reference=/etc/courier/dhparams.pem /etc/courier/dhparams.tmp
# chmod --reference=/etc/courier/dhparams.pem /etc/courier/dhparams.tmp
# mv /etc/courier/dhparams.tmp /etc/courier/dhparams.pem
```

This needs OpenSSL 3. On an older system, make them on another machine: they are no secret.

A block inside a certificate's file: replace the lines from `-----BEGIN DH PARAMETERS-----` to `-----END DH
PARAMETERS-----` by those of the new file, and nothing else.

`DH_BITS=2048 mkdhparams` works too, but takes minutes, and does nothing at all, without a word, while the file is
younger than 25 days.

## Undo

```console
# mv /root/dhparams.pem.old /etc/courier/dhparams.pem
```

## How to see that it worked

```console
# openssl s_client -connect localhost:993 -tls1_2 -cipher DHE </dev/null 2>&1 | grep -E 'Temp Key|alert|Cipher is'
Peer Temp Key: DH, 3072 bits
New, TLSv1.2, Cipher is DHE-RSA-AES256-GCM-SHA384
```

Before, it said `alert handshake failure` and `Cipher is (NONE)`.

## Why it happens

Courier's scripts once made 512- and 768-bit parameters and appended them to the certificate. Later versions make a
`dhparams.pem` of their own, but nothing replaces what is there: an upgrade keeps the old file. Clients began to
refuse short groups in 2015, after the Logjam attack. A number that is not prime is as bad as a short one, and is
reported here too.
"""

import time

from courierlib import dh, tlsfiles
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature, Unknown

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")
_SECONDS = 10.0

ISSUE = Issue(
    id="dh-params-weak",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(tls="openssl"),
    interrupts="nothing: couriertls reads the file for every connection",
    fixed_by="courier.fix_dh",
    choices={"group": dh.GROUPS},
    look=(
        "ldd /usr/bin/couriertls | awk '/libssl|libgnutls/ {print $1}'",
        "grep '^TLS_DHPARAMS' /etc/courier/esmtpd /etc/courier/*-ssl",
        "openssl dhparam -in /etc/courier/dhparams.pem -noout -text 2>&1 | head -1",
    ),
    tell="`openssl s_client -connect localhost:993` still names a cipher, which it does not with `pem-unreadable`, and "
    "the DH parameters have fewer than 2048 bits.",
    bites=("couriertls",),
    known=(
        "run: trixie with an OpenSSL 3.5.7 couriertls 1.4.1: a DHE-only client of TLS 1.2 is refused, others work",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): cannot occur, a DHE-only client works",
        "run: trixie with an OpenSSL 3.5.7 couriertls 1.4.1: a weak block in the file of a name is ignored where "
        "TLS_DHPARAMS is sound",
        "read: load_dh_params() and server_cert_cb() in libs/tcpd/libcouriertls.c, 1.4.1",
        "reported: https://georgik.sinusgear.com/tag/courier/ (OpenSSL 1.0)",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS
            + r"couriertls: accept: error:14094417:SSL routines:[A-Za-z0-9_]+:sslv3 alert illegal parameter",
            sample="courier couriertls: accept: error:14094417:SSL routines:ssl3_read_bytes:sslv3 alert illegal "
            "parameter",
            known="reported: https://georgik.sinusgear.com/tag/courier/ (OpenSSL 1.0)",
            tls="OpenSSL 1.0",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: accept: error:0A000417:SSL routines::[a-z0-9/]+ alert illegal parameter",
            sample="ip=[192.0.2.7], couriertls: accept: error:0A000417:SSL routines::ssl/tls alert illegal parameter",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: \S+: error:1E08010C:DECODER routines::unsupported",
            sample="ip=[192.0.2.7], couriertls: /etc/courier/imapd.pem: error:1E08010C:DECODER routines::unsupported",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: connect: error:0A0000C1:SSL routines::no shared cipher",
            sample="ip=[::ffff:127.0.0.1], couriertls: connect: error:0A0000C1:SSL routines::no shared cipher",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS
            + r"couriertls: [a-z]+: error:1417A0C1:SSL routines:tls_post_process_client_hello:no shared cipher",
            sample="ip=[192.0.2.7], couriertls: connect: error:1417A0C1:SSL routines:tls_post_process_client_hello:"
            "no shared cipher",
            known="run: the error text of OpenSSL 1.1.1l; read: sslerror() in libcouriertls.c, 1.4.1",
            tls="OpenSSL 1.1",
        ),
    ),
    references=(
        "https://www.rfc-editor.org/rfc/rfc7919",
        "https://weakdh.org/",
        "https://georgik.sinusgear.com/tag/courier/",
    ),
)


def check(host):
    """Yield a finding for every place from which couriertls takes parameters that do not protect a connection."""
    if host.tls_library != "openssl":
        return
    until = time.process_time() + _SECONDS
    for source in tlsfiles.dh_sources(host):
        if isinstance(source, Unknown):
            yield source
        elif source.parameters and time.process_time() > until:
            yield Unknown(
                f"{source.path}: not tested: testing so many different DH groups takes more than {_SECONDS:.0f} s"
            )
        elif source.parameters and (weakness := dh.weakness(source.parameters)):
            yield Finding(
                where=source.path,
                detail=f"{weakness} ({', '.join(source.services)})" + (source.unfixable and f"; {source.unfixable}"),
                severity=Severity.LOW if source.spared and "libssl.so.3" in host.tls_library_known else None,
                fixable=not source.unfixable,
                subject=source,
            )


def fix(host, findings, *, group="ffdhe3072"):
    """Yield what puts a group of RFC 7919 in their place.

    Args:
        group: ``ffdhe2048``, ``ffdhe3072`` or ``ffdhe4096``.

    Raises:
        ValueError: another group.
    """
    for finding in findings:
        yield tlsfiles.write_group(finding.subject, group, f"{finding.subject.parameters.bits} bits")
