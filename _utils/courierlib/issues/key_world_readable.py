"""
Every user of the host can read the private key

## What you see

Nothing. TLS works, and the log is silent.

## What it breaks

Whoever has an account on the host, or breaks into any service of it, can copy the key. With the key and a place in the
network he can pretend to be this mail server, and read passwords and mail. Nothing shows that it was copied.

## Check by hand

The command prints the files below `/etc/courier` with a private key in them that every user may read. On a healthy
host it prints nothing. Keys elsewhere are named by `TLS_CERTFILE` and `TLS_PRIVATE_KEYFILE` in `/etc/courier/esmtpd`,
`esmtpd-ssl`, `imapd-ssl` and `pop3d-ssl`.

## Fix by hand

Nothing is interrupted. `courier` must be able to read what SMTP uses, so give the file to its group:

```console
# chgrp courier /etc/courier/imapd.pem
# chmod 640 /etc/courier/imapd.pem
```

`courier.fix key-world-readable` does that for files below `/etc/courier`. A file that lies elsewhere, or has a group
that somebody else needs, is yours to look at.

Then decide whether the key is still a secret. On a host where only administrators have accounts and nothing was broken
into, it may be. Otherwise get a new key and a new certificate, and have the old certificate revoked. With certbot:

```text
certbot renew --force-renewal --new-key --cert-name mail.example.com
```

## Undo

```console
# chmod 644 /etc/courier/imapd.pem
```

## How to see that it worked

```console
# runuser -u nobody -- cat /etc/courier/imapd.pem
cat: /etc/courier/imapd.pem: Permission denied
```

TLS still works:

```console
# openssl s_client -connect localhost:993 </dev/null 2>&1 | grep 'Cipher is'
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

## Why it happens

`cat key.pem cert.pem >imapd.pem` makes a file that everybody can read, unless the umask is stricter. And `chmod 644`
is the quick cure when SMTP cannot read the file: see `key-unreadable-for-mailuser` for the right one.
"""

from courierlib import certificates, reach, spool
from courierlib.issue import Affects, Finding, Issue, Severity
from courierlib.tree import Unreadable

ISSUE = Issue(
    id="key-world-readable",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: the file is opened for every connection",
    look=("find -L /etc/courier -type f -perm -o=r -exec grep -l 'BEGIN.*PRIVATE KEY' {} + | xargs -r ls -lL",),
    bites=("couriertls",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS), trixie with an OpenSSL couriertls 1.4.1: with 0644 "
        "the user nobody reads the key, and TLS works; with 0640 and the group courier only the latter",
        "read: imapd-ssl.dist.in, 1.4.1: TLS_CERTFILE must not be world-readable",
    ),
)


def check(host):
    """Yield a finding for every private key of a listener that an account without any rights can read."""
    users: dict[str, list[str]] = {}
    for file in host.once(certificates.used):
        for path in (file.certfile if file.has_key else "", file.keyfile):
            if path and certificates.holds_key(host, path):
                users.setdefault(path, []).extend(name for name in file.services if name not in users.get(path, ()))
    for path, services in users.items():
        try:
            if any(reach.obstacles(host, path, reach.ANYBODY)):
                continue
        except Unreadable as failed:
            yield failed
            continue
        for_mail = any(name in certificates.MAIL_USERS for name in services)
        real = host.resolve(path)
        wanted = certificates.permission(host, real, for_mail=for_mail)
        yield Finding(
            where=path,
            detail=f"a private key that everybody can read: {spool.owner_name(host, host.stat(real))} "
            f"({', '.join(services)})",
            fixable=wanted is not None,
            subject=wanted,
        )


def fix(host, findings):
    """Yield what leaves the key to its owner and the mail group, below sysconfdir."""
    for wanted in {finding.subject.path: finding.subject for finding in findings}.values():
        yield certificates.set_permission(host, wanted)
