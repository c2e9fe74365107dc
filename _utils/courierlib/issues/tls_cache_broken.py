"""
No TLS on IMAP or POP3: couriertls cannot open its session cache

## What you see

Every TLS connection breaks at once, on one service, although its certificate is sound. The log has the cache's file,
where otherwise a certificate is named:

```text
imapd-ssl: ip=[::ffff:10.77.0.1], couriertls: /var/cache/courier/imapcache: No such file or directory
```

And, at the start of the service, which systemd calls `active` all the same:

```text
imapd-ssl: touch: cannot touch '/var/cache/courier/imapcache': No such file or directory
```

## What it breaks

With GnuTLS (all of Debian): TLS on every port of this service, also `STARTTLS` on 143 or 110. With OpenSSL the line is
logged, and TLS works without a cache: advice only. Nothing is lost.

## Check by hand

The first command prints what is set, the second where the files should be. On a healthy host each `TLS_CACHEFILE` is
listed there, or its directory exists: the file itself is made at the next connection.

## Fix by hand

Set the path that the package had, and restart what reads it at its start. This ends connections to IMAP:

```console
# sed -i 's|^TLS_CACHEFILE=.*|TLS_CACHEFILE=/var/lib/courier/couriersslimapcache|' /etc/courier/imapd-ssl
# systemctl restart courier-imap courier-imap-ssl
```

For POP3 it is `couriersslpop3cache`, in `/etc/courier/pop3d-ssl`, and `courier-pop courier-pop-ssl`.

Or make the directory that is missing. Nothing needs a restart then:

```console
# mkdir /var/cache/courier
```

Below `/run` it would be gone after the next boot. A cache that SMTP is given (`TLS_CACHEFILE` in `esmtpd`) must be in a
directory that `courier` can write to. By default SMTP has none; `courier.fix tls-cache-broken` leaves that one to you.

## Undo

Write the old path back, and restart the same services.

## How to see that it worked

```console
# openssl s_client -connect localhost:993 </dev/null 2>&1 | grep 'Cipher is'
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

Before, it said `Cipher is (NONE)`.

## Why it happens

couriertls remembers TLS sessions in a file, so that clients with many connections need not shake hands anew. It makes
the file, but not the directory. Somebody moved it to a directory that does not exist any more, or that a reboot
empties. With GnuTLS couriertls gives up if it cannot open the file.
"""

import os
from functools import partial

from courierlib import certificates, reach, settings
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.plan import EditFile

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d")
_STOCK = {"imapd-ssl": "couriersslimapcache", "pop3d-ssl": "couriersslpop3cache"}
"""File names of the packages. Debian 12 has the two the other way round, which does no harm (read: imapd-ssl.dist.in,
pop3d-ssl.dist.in, 1.4.1; run: bookworm 1.0.16)."""
_RESTARTS = {"imapd-ssl": ("imap", "imaps"), "pop3d-ssl": ("pop3", "pop3s")}

ISSUE = Issue(
    id="tls-cache-broken",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="connections to IMAP or POP3: the services read the setting when they start",
    look=(
        "grep -d skip -H ^TLS_CACHEFILE /etc/courier/*",
        "ls -l $(sed -n 's/^TLS_CACHEFILE=//p' /etc/courier/*-ssl | tr -d '\"')",
    ),
    tell="The line names what `TLS_CACHEFILE` is set to, and no certificate.",
    bites=("couriertls",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): the directory is missing: no TLS on 993 and 143",
        "run: trixie with an OpenSSL couriertls 1.4.1: the line is logged, TLS works",
        "read: tls_create() in libcouriergnutls.c, init_session_cache() in libcouriertls.c, tlscache.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: /\S*cache: (No such file or directory|Permission denied)$",
            sample="ip=[::ffff:10.77.0.1], couriertls: /var/cache/courier/imapcache: No such file or directory",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6, trixie with an OpenSSL couriertls 1.4.1",
        ),
        Signature(
            process=("imapd-ssl", "pop3d-ssl", "imapd", "pop3d"),
            pattern=r"^touch: cannot touch '/[^']*': No such file or directory$",
            sample="touch: cannot touch '/var/cache/courier/imapcache': No such file or directory",
            known="run: trixie 1.4.1; read: imapd-ssl.rc.in, pop3d-ssl.in, 1.4.1",
        ),
    ),
)


def check(host):
    """Yield a finding for every TLS_CACHEFILE that couriertls cannot open, and cannot make."""
    found = {}
    for service in host.tls_services:
        try:
            said = host.settings(service.name)
            path = said.get("TLS_CACHEFILE")
            account = certificates.mail_account(host) if service.name in certificates.MAIL_USERS else reach.ROOT
            problem = _problem(host, path, account) if path and account else ""
        except Unknown as unknown:
            yield unknown
            continue
        if not problem:
            continue
        location = said.where("TLS_CACHEFILE")
        wanted = _wanted(host, service.name)
        found.setdefault(
            (location.path, location.line),
            Finding(
                where=f"{location.path}:{location.line}",
                detail=f"TLS_CACHEFILE={path}: {problem} ({service.name})",
                severity=Severity.LOW if host.tls_library == "openssl" else None,
                fixable=bool(wanted) and location.path == host.conffile(service.name),
                subject=(service.name, location.path, path, wanted),
            ),
        )
    yield from found.values()


def _problem(host, path, account):
    """Why couriertls cannot open a file for reading and writing, or make it; empty if it can."""
    if not path.startswith("/"):
        return "not an absolute path"
    directory = os.path.dirname(host.resolve(path))
    found, above = host.stat(path), host.stat(directory)
    if above is None or above.kind != "dir":
        return f"{directory} does not exist"
    if found is not None and found.kind != "file":
        return "not a regular file"
    need = reach.READ | reach.WRITE if found else reach.WRITE | reach.ENTER
    if any(reach.obstacles(host, path if found else directory, account, need)):
        return f"{account.name} cannot {'write to it' if found else f'make a file in {directory}'}"
    return ""


def _wanted(host, name):
    """The path that the package had, or the other one if a service uses that already; empty if there is none."""
    if name not in _STOCK or not host.exists(host.layout.localstatedir):
        return ""
    taken = {host.settings(other).get("TLS_CACHEFILE") for other in _STOCK if other != name}
    stock = [_STOCK[name], *_STOCK.values()]
    paths = (f"{host.layout.localstatedir}/{file}" for file in stock)
    return next((path for path in paths if path not in taken), "")


def fix(host, findings):
    """Yield the path that the package had, for IMAP and POP3."""
    for finding in findings:
        name, conffile, path, wanted = finding.subject
        yield EditFile(
            path=conffile,
            setting="TLS_CACHEFILE",
            edit=partial(settings.assign, name="TLS_CACHEFILE", value=wanted),
            old=path,
            new=wanted,
            restarts=_RESTARTS[name],
        )
