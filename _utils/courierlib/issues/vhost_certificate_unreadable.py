"""
SMTP presents the wrong certificate for a name: the mail user cannot read the right one

## What you see

A mail program that sends through `mail.example.com` warns that the certificate is for another name. Reading mail from
the same name works. The log has nothing: where couriertls may not read the file for a name, it takes the default one.

If only the private key is in the way (`TLS_PRIVATE_KEYFILE.mail.example.com`), the handshake fails for this name.

## What it breaks

Sending mail with encryption, on ports 25, 465 and 587, for clients that ask for this name. IMAP and POP3 read the file
as root and are not struck. Nothing is lost.

## Check by hand

The first command asks for each file whether `courier` can read it. On a healthy host it can read them all; no output
means that there are no files for names. The second one shows who may pass each directory and link on the way to them.

## Fix by hand

Nothing is interrupted: the file is opened for every connection. For a file of Courier's own:

```console
# chgrp courier /etc/courier/esmtpd.pem.mail.example.com
# chmod 640 /etc/courier/esmtpd.pem.mail.example.com
```

`courier.fix vhost-certificate-unreadable` does that below `/etc/courier`, and nowhere else. A link into
`/etc/letsencrypt/live` cannot be repaired this way: copy the certificate at each renewal, as
`key-unreadable-for-mailuser` shows.

## Undo

```console
# chgrp root /etc/courier/esmtpd.pem.mail.example.com
# chmod 600 /etc/courier/esmtpd.pem.mail.example.com
```

## How to see that it worked

```console
# openssl s_client -connect localhost:465 -servername mail.example.com </dev/null 2>&1 | grep ^subject
subject=CN=mail.example.com
```

## Why it happens

couriertls looks for `TLS_CERTFILE.NAME`, and takes the next candidate if it may not read it. SMTP runs as `MAILUSER`,
IMAP and POP3 open their certificates as root: so a file for root alone works for reading mail, and not for sending.
"""

from courierlib import certificates
from courierlib.issue import Affects, Finding, Issue, Severity
from courierlib.tree import Unreadable

ISSUE = Issue(
    id="vhost-certificate-unreadable",
    component="tls",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="nothing: the file is opened for every connection",
    look=(
        "for f in $(find /etc/courier -name 'esmtpd.pem.*'); do runuser -u courier -- test -r $f "
        '&& echo "$f: courier can read it" || echo "$f: courier CANNOT read it"; done',
        "find /etc/courier -name 'esmtpd.pem.*' -exec namei -l {} +",
    ),
    tell="`runuser -u courier -- test -r FILE || echo no` says `no` for the file of the name.",
    alike=("key-unreadable-for-mailuser", "vhost-certificate-shadows"),
    bites=("couriertls",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS), trixie with an OpenSSL couriertls 1.4.1: SMTP "
        "presents the default certificate, IMAP the right one",
        "read: check_cert_unicode() in libcouriergnutls.c, get_servername_concated_readable_file() in libcouriertls.c: "
        "access(FILE, R_OK), 1.4.1",
    ),
)


def check(host):
    """Yield a finding for every file for a name that SMTP's couriertls passes over, because it may not read it."""
    account = certificates.mail_account(host) if "mta" in host.components else None
    for file in host.once(certificates.used) if account else ():
        if not file.name or not file.mail_services:
            continue
        try:
            closed = list(certificates.closed(host, file, account))
        except Unreadable as failed:
            yield failed
            continue
        for path, found in closed:
            repairs = tuple(certificates.permission(host, each.path, for_mail=True) for each in found)
            effect = "clients get another certificate" if path == file.certfile else "the handshake fails"
            yield Finding(
                where=path,
                detail=f"{certificates.in_the_way(host, account, found)}: {effect} ({', '.join(file.mail_services)})",
                fixable=account.name == host.layout.mailuser and all(repairs),
                subject=repairs,
            )


def fix(host, findings):
    """Yield the mail group's right to read for each file, and to pass for each directory, below sysconfdir."""
    for finding in findings:
        yield from (certificates.set_permission(host, wanted) for wanted in finding.subject)
