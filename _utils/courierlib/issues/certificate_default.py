"""
Mail programs warn about the certificate: it is the self-signed one that the package made

## What you see

Every mail program that connects for the first time warns that it cannot verify the server. The certificate is made out
to `localhost`, by `Courier Mail Server`, `Automatically-generated IMAP SSL key`. The log has what clients say when they
hang up. GnuTLS (all of Debian) with a client of TLS 1.2, and with one of TLS 1.3:

```text
imapd-ssl: ip=[::ffff:10.77.0.1], CA is unknown
imapd-ssl: ip=[::ffff:10.77.0.1], Decryption has failed.
```

OpenSSL:

```text
imapd-ssl: ip=[::ffff:10.77.0.1], couriertls: accept: error:0A000418:SSL routines::tlsv1 alert unknown ca
```

## What it breaks

Nothing at once: the connection is encrypted. But nobody can tell this server from another one, so whoever sits in the
network can read along, and users learn to click warnings away. Some mail programs on telephones refuse without asking.
Other mail servers deliver all the same, unless they check certificates. After a year the certificate expires: see
`certificate-expiring`.

## Check by hand

The command prints whom each certificate in `/etc/courier` is made out to. Those with `Automatically-generated` are the
package's own. `No such file` or an empty line is not this problem.

## Fix by hand

Get a certificate for the name that users type into their mail programs. With an ACME client that costs nothing. Courier
wants the private key and the certificates with the whole chain in one file, which the group `courier` can read:

```console
# umask 027
# cd /etc/letsencrypt/live/mail.example.com
# cat privkey.pem fullchain.pem >/etc/courier/.imapd.new
# chgrp courier /etc/courier/.imapd.new
# mv /etc/courier/.imapd.new /etc/courier/imapd.pem
```

The same for `pop3d.pem` and `esmtpd.pem`. Let the ACME client do it at each renewal: `key-unreadable-for-mailuser` has
a hook for certbot. Nothing is interrupted: couriertls reads the file for every connection.

A certificate authority of one's own does as well, if its certificate is on every client. Nothing here is repaired by
Salt: nobody but you can prove that the name is yours.

## Undo

Keep a copy of the old file outside `/etc/courier`, and copy it back. Or move the file away and run `mkimapdcert`.

## How to see that it worked

With the name of the server, from another host:

```console
# openssl s_client -connect mail.example.com:993 -verify_return_error </dev/null 2>&1 | grep Verif
Verification: OK
```

## Why it happens

The packages of `courier-imap`, `courier-pop` and `courier-mta` make a certificate at installation, so that TLS works at
all. Replacing it is left to the administrator.
"""

from courierlib import certificates
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")

ISSUE = Issue(
    id="certificate-default",
    component="tls",
    severity=Severity.LOW,
    affects=Affects(),
    interrupts="nothing: couriertls reads the file for every connection",
    look=(
        "for f in /etc/courier/esmtpd.pem /etc/courier/imapd.pem /etc/courier/pop3d.pem; "
        'do echo "$f: $(openssl x509 -in "$f" -noout -subject 2>&1)"; done',
    ),
    tell="`openssl x509 -in FILE -noout -subject` says `Automatically-generated`.",
    bites=("couriertls",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS), trixie with an OpenSSL couriertls 1.4.1: stock "
        "hosts have it, and a client that verifies refuses it",
        "read: debian/courier-imap.postinst, courier-pop.postinst, courier-mta.postinst, 1.4.1-3",
        "read: imapd.cnf.gnutls, imapd.cnf.openssl.in, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"CA is unknown$",
            sample="ip=[::ffff:10.77.0.1], CA is unknown",
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
            pattern=BY_TLS + r"couriertls: [a-z]+: error:[0-9A-F]+:SSL routines:[A-Za-z0-9_]*:tlsv1 alert unknown ca$",
            sample="ip=[::ffff:10.77.0.1], couriertls: accept: error:0A000418:SSL routines::tlsv1 alert unknown ca",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
    ),
)


def check(host):
    """Yield a finding for every default certificate that a listener presents."""
    for file in host.once(certificates.used):
        if file.leaf and certificates.is_default(file.leaf):
            yield Finding(
                where=file.certfile,
                detail=f"self-signed, made by the package for {', '.join(file.leaf.names or ()) or 'no name'} "
                f"({', '.join(file.services)})",
            )
