"""
Certificates for names are there, but not the one they stand beside: SMTP offers no STARTTLS

## What you see

`/etc/courier` has `esmtpd.pem.mail.example.com`, one file for each name, and no `esmtpd.pem`. The answer to `EHLO` on
port 25 and 587 has no `STARTTLS`. On ports 465, 993 and 995 only clients that name the server in the handshake get TLS;
with OpenSSL none does. The log of GnuTLS (all of Debian):

```text
imapd-ssl: ip=[::ffff:10.77.0.1], couriertls: /etc/courier/imapd.pem: No such file or directory
imapd-ssl: ip=[::ffff:10.77.0.1], No supported cipher suites have been found.
```

OpenSSL:

```text
couriertls: /etc/courier/imapd.pem: error:FFFFFFFF80000002:system library::No such file or directory
```

Port 25 and 587 log only a client that says `STARTTLS` all the same:

```text
courieresmtpd: error,relay=::ffff:10.77.0.1,port=45878,msg="540 TLS not available.",cmd: STARTTLS
```

## What it breaks

Other servers hand their mail over in the clear. Mail programs cannot send with encryption. Old mail programs, and all
that connect to an address instead of a name, get no TLS. Nothing is lost.

## Check by hand

The command lists the certificates. On a healthy host there is an `esmtpd.pem`, an `imapd.pem` and a `pop3d.pem`, as a
file or as a link to a file that exists. `TLS_CERTFILE` in `/etc/courier/esmtpd`, `esmtpd-ssl`, `imapd-ssl` and
`pop3d-ssl` may name others.

## Fix by hand

Nothing is interrupted: the file is looked for at every connection. Link to the certificate that clients shall get which
name no server:

```console
# ln -s imapd.pem.mail.example.com /etc/courier/imapd.pem
# ln -s esmtpd.pem.mail.example.com /etc/courier/esmtpd.pem
```

With `TLS_PRIVATE_KEYFILE` the same for the private key.

`courier.fix certfile-base-missing` does that if there is one file only, or one for the name in `/etc/courier/me`.
Otherwise you choose.

## Undo

```console
# rm /etc/courier/imapd.pem /etc/courier/esmtpd.pem
```

## How to see that it worked

```console
# openssl s_client -connect localhost:25 -starttls smtp </dev/null 2>&1 | grep 'Cipher is'
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

Before, it said `Cipher is (NONE)`.

## Why it happens

couriertls looks for `TLS_CERTFILE.NAME`, then for `TLS_CERTFILE.ADDRESS`, then for `TLS_CERTFILE`. But `courieresmtpd`
looks for `TLS_CERTFILE` alone before it offers `STARTTLS`, and OpenSSL loads it before it knows the name. The
comments in Courier's settings ask for the link; it is easily read over.
"""

import os

from courierlib import certificates
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature
from courierlib.plan import MakeLink
from courierlib.tree import Unreadable

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")

ISSUE = Issue(
    id="certfile-base-missing",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: the file is looked for at every connection",
    look=("ls -lL /etc/courier/ | grep -o '[^ ]*[.]pem.*'",),
    tell="`ls` shows `imapd.pem.NAME` or `esmtpd.pem.NAME`, and no `imapd.pem` or `esmtpd.pem`.",
    bites=("couriertls", "esmtpd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): SMTP offers no STARTTLS, other ports fail without "
        "a name in the handshake",
        "run: trixie with an OpenSSL couriertls 1.4.1: SMTP offers no STARTTLS, other ports fail for every client",
        "read: courieresmtpd.c: access(TLS_CERTFILE, R_OK); get_server_cert() in libcouriergnutls.c, "
        "process_certfile() in libcouriertls.c; imapd-ssl.dist.in, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: /\S+: No such file or directory$",
            sample="ip=[::ffff:10.77.0.1], couriertls: /etc/courier/imapd.pem: No such file or directory",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS)",
            tls="GnuTLS",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: /\S+: error:[0-9A-F]+:system library:[a-z]*:No such file or directory",
            sample="ip=[::ffff:10.77.0.1], couriertls: /etc/courier/imapd.pem: error:FFFFFFFF80000002:system library::"
            "No such file or directory",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r'^error,relay=[^,]*,port=[0-9]*,msg="540 TLS not available\."',
            sample='error,relay=::ffff:10.77.0.1,port=45878,msg="540 TLS not available.",cmd: STARTTLS',
            known="run: trixie 1.4.1; read: courieresmtpd.c, 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/imap/README.imapd-ssl.html",),
)


def check(host):
    """Yield a finding for every TLS_CERTFILE that is missing although files for names stand beside it."""
    services = {}
    for service in host.tls_services:
        if service.certfile and service.vhost_certfiles and not host.exists(service.certfile):
            services.setdefault(service.certfile, []).append(service)
    for certfile, users in services.items():
        names = [path.removeprefix(f"{certfile}.") for path in users[0].vhost_certfiles]
        if not any(_needs_base(host, service, names) for service in users):
            continue
        links = _links(host, users, names)
        dangling = host.stat(certfile, follow=False) is not None
        state = f"a link to {host.resolve(certfile)}, which does not exist" if dangling else "no such file"
        beside = f"{len(names)} for names: {', '.join(names[:3])}{', …' * (len(names) > 3)}"
        yield Finding(
            where=certfile,
            detail=f"{state}, beside {beside} ({', '.join(service.name for service in users)})",
            fixable=bool(links) and not dangling,
            subject=links,
        )


def _needs_base(host, service, names):
    """With GnuTLS a file for an address is enough for IMAP and POP3, whatever the client asks for
    (read: get_server_cert() in libcouriergnutls.c, 1.4.1)."""
    if service.name in certificates.MAIL_USERS or host.tls_library == "openssl":
        return True
    return not any(map(certificates.is_address, names))


def _links(host, users, names):
    """Links to make: path and target. None where it is not clear which file is the main one."""
    try:
        me = host.read(host.conffile("me")).decode("utf-8", "replace").strip().lower()
    except Unreadable:
        me = ""
    main = names[0] if len(names) == 1 else me
    # What stands there may also be a copy, such as imapd.pem.expired.
    if main not in names or not (certificates.is_host_name(main) or certificates.is_address(main)):
        return ()
    bases = [users[0].certfile]
    for service in users:
        if f"{service.keyfile}.{main}" in service.vhost_keyfiles and not host.exists(service.keyfile):
            bases.append(service.keyfile)
    return tuple((base, f"{os.path.basename(base)}.{main}") for base in dict.fromkeys(bases))


def fix(host, findings):
    """Yield the link to the one file there is, or to that for the host's own name; of its private key too."""
    for finding in findings:
        for path, target in finding.subject:
            yield MakeLink(path=path, target=target, old="no such file", new=f"a link to {target}")
