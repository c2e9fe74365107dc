r"""
SMTP offers no STARTTLS: the mail user cannot read the certificate or its key

## What you see

IMAP and POP3 have TLS, SMTP has none. On port 25 and 587 the answer to `EHLO` has no `STARTTLS`, and mail programs say
that the server does not support encryption. On port 465 the handshake fails. The log of a host with GnuTLS (all of
Debian):

```text
esmtpd-ssl: ip=[::ffff:10.77.0.1], couriertls: /etc/courier/esmtpd.pem: Permission denied
esmtpd-ssl: ip=[::ffff:10.77.0.1], No supported cipher suites have been found.
```

Port 25 and 587 log nothing, unless a client says `STARTTLS` all the same:

```text
courieresmtpd: error,relay=::ffff:10.77.0.1,port=41174,msg="540 TLS not available.",cmd: STARTTLS
```

## What it breaks

Other servers hand their mail over in the clear, without a word. Mail programs that insist on TLS cannot send. With
`ESMTP_TLS_REQUIRED=1` port 25 takes no mail at all: `440 TLS not available,  but it's required for this connection.`
With a private key in a file of its own, `STARTTLS` is offered and fails. Nothing is lost.

## Check by hand

The first command asks for each file whether `courier` can read it. On a healthy host it can read them all. The second
one shows who may pass each directory and link on the way. Look for a directory with `drwx------ root root`, or a file
with `-rw------- root root`.

The user is `MAILUSER` in `/etc/courier/esmtpd`. `TLS_CERTFILE` and `TLS_PRIVATE_KEYFILE` there, and in
`/etc/courier/esmtpd-ssl`, name the files.

## Fix by hand

Nothing is interrupted: the file is opened for every connection. For a file of Courier's own:

```console
# chgrp courier /etc/courier/esmtpd.pem
# chmod 640 /etc/courier/esmtpd.pem
```

`courier.fix key-unreadable-for-mailuser` does that below `/etc/courier`, and nowhere else.

**A link into `/etc/letsencrypt/live`** cannot be repaired this way: certbot keeps `live` and `archive` to root, and
that is right. Do not open them. Copy instead, at each renewal. Put this into
`/etc/letsencrypt/renewal-hooks/deploy/courier`, with the name of your certificate:

```sh
#!/bin/sh
set -e
umask 027
live=/etc/letsencrypt/live/mail.example.com
for service in esmtpd imapd pop3d; do
    new=/etc/courier/.$service.new
    cat $live/privkey.pem $live/fullchain.pem >$new
    chgrp courier $new
    mv $new /etc/courier/$service.pem
done
```

```console
# chmod 755 /etc/letsencrypt/renewal-hooks/deploy/courier
# /etc/letsencrypt/renewal-hooks/deploy/courier
```

`mv` puts a file in the place of the link. The three services read it at the next connection. Other ACME clients have
such a hook too.

**A group that others need**, such as `ssl-cert`: let the mail user join it, and restart what runs as the mail user.
This ends connections to SMTP:

```console
# usermod -aG ssl-cert courier
# systemctl restart courier-mta courier-msa courier-mta-ssl
```

## Undo

```console
# chgrp root /etc/courier/esmtpd.pem
# chmod 600 /etc/courier/esmtpd.pem
```

The hook is undone by `rm /etc/letsencrypt/renewal-hooks/deploy/courier`, the group by `gpasswd -d courier ssl-cert` and
the same restart.

## How to see that it worked

```console
# openssl s_client -connect localhost:25 -starttls smtp </dev/null 2>&1 | grep 'Cipher is'
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

Before, it said `Cipher is (NONE)`.

## Why it happens

IMAP and POP3 open their certificates as root. SMTP gives up root first: `couriertcpd` becomes `MAILUSER`, and only then
starts what reads the certificate. `courieresmtpd` offers `STARTTLS` if it may read `TLS_CERTFILE`, and says nothing if
it may not. Whoever copies a certificate by hand, or links to certbot's, ends with a file for root alone.
"""

from courierlib import certificates
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.tree import Unreadable

_SMTP = ("esmtpd-ssl", "courieresmtpd", "esmtpd")

ISSUE = Issue(
    id="key-unreadable-for-mailuser",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: the file is opened for every connection",
    look=(
        'for f in /etc/courier/esmtpd.pem*; do runuser -u courier -- test -r "$f" && echo "$f: courier can read it" '
        '|| echo "$f: courier CANNOT read it"; done',
        "namei -l /etc/courier/esmtpd.pem",
    ),
    tell="`runuser -u courier -- test -r FILE || echo no` says `no`, and IMAP has TLS with the same kind of file.",
    bites=("couriertls", "esmtpd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS), trixie with an OpenSSL couriertls 1.4.1: "
        "root:root 0600: no STARTTLS, port 465 fails, IMAP works",
        "run: trixie 1.4.1 (GnuTLS and OpenSSL): only TLS_PRIVATE_KEYFILE unreadable: STARTTLS is offered, and fails",
        "read: courieresmtpd.c: access(TLS_CERTFILE, R_OK); esmtpd.in, esmtpd-ssl.in: -user=$MAILUSER, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SMTP,
            pattern=BY_TLS + r"couriertls: /\S+: Permission denied$",
            sample="ip=[::ffff:10.77.0.1], couriertls: /etc/courier/esmtpd.pem: Permission denied",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS)",
            tls="GnuTLS",
        ),
        Signature(
            process=_SMTP,
            pattern=BY_TLS + r"couriertls: /\S+: error:[0-9A-F]+:system library:[a-z]*:Permission denied",
            sample="ip=[::ffff:10.77.0.1], couriertls: /etc/courier/esmtpd.pem: error:FFFFFFFF8000000D:system library::"
            "Permission denied",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r'^error,relay=[^,]*,port=[0-9]*,msg="540 TLS not available\."',
            sample='error,relay=::ffff:10.77.0.1,port=41174,msg="540 TLS not available.",cmd: STARTTLS',
            known="run: trixie 1.4.1; read: courieresmtpd.c, 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/esmtpd.html",),
)


def check(host):
    """Yield a finding for every certificate and private key of SMTP's that the mail user cannot open."""
    if "mta" not in host.components:
        return
    account = certificates.mail_account(host)
    if account is None:
        yield Unknown("MAILUSER and MAILGROUP in esmtpd: no such account")
        return
    for file in host.once(certificates.used):
        if file.name or not file.mail_services:
            continue
        try:
            closed = list(certificates.closed(host, file, account))
        except Unreadable as failed:
            yield failed
            continue
        yield from (_finding(host, file, account, path, found) for path, found in closed)


def _finding(host, file, account, path, found):
    repairs = tuple(certificates.permission(host, each.path, for_mail=True) for each in found)
    own = account.name == host.layout.mailuser
    return Finding(
        where=path,
        detail=f"{certificates.in_the_way(host, account, found)} ({', '.join(file.mail_services)})"
        + (not own) * f"; MAILUSER should be {host.layout.mailuser}",
        fixable=own and all(repairs),
        subject=repairs,
    )


def fix(host, findings):
    """Yield the mail group's right to read for each file, and to pass for each directory, below sysconfdir."""
    for finding in findings:
        yield from (certificates.set_permission(host, wanted) for wanted in finding.subject)
