"""
Clients that ask for a name get a certificate that is not for it

## What you see

A mail program warns that the certificate is for another name, although the certificate of the server is right. It
happens with one name of the server only, or with all below a domain. The log has nothing, or what the client says when
it hangs up.

## What it breaks

IMAP, POP3 and SMTP with encryption, for clients that ask for this name. Nothing is lost.

## Check by hand

The command prints the names in each certificate that stands for a name: `imapd.pem.mail.example.com` must have
`DNS:mail.example.com`, or `DNS:*.example.com`. No output means that no file stands for a name, and this is not your
problem.

With GnuTLS (all of Debian) a file for a domain also stands for all names below it that have no file of their own:
`imapd.pem.example.com` is presented for `imap.example.com`, even where the certificate in `imapd.pem` would be right.
With OpenSSL it stands for `example.com` alone.

Ask the server itself, with the name in question:

```console
# openssl s_client -connect localhost:993 -servername imap.example.com </dev/null 2>&1 | grep ^subject
subject=CN=mail.example.com
```

## Fix by hand

Nothing is interrupted: the file is looked for at every connection. You decide which of these is meant:

* The file is a leftover: move it out of the directory, and the next candidate is presented.

    ```console
    # mv /etc/courier/imapd.pem.example.com /root/
    ```

* It holds the wrong certificate: get one for this name, and put key and certificates there.
* It stands for a whole domain, and only one name is meant: give it that name.

    ```console
    # mv /etc/courier/imapd.pem.example.com /etc/courier/imapd.pem.mail.example.com
    ```

Salt repairs nothing here: it cannot know which names your users type.

## Undo

Move the file back.

## How to see that it worked

```console
# openssl s_client -connect localhost:993 -servername imap.example.com </dev/null 2>&1 | grep ^subject
subject=CN=imap.example.com
```

## Why it happens

couriertls looks for `TLS_CERTFILE.NAME` first, whatever is in it. GnuTLS's couriertls then takes the first label off
the name and looks again, up to the top-level domain, and only then for `TLS_CERTFILE`. A copy that was kept beside the
original under a name of its own is a certificate for that name.
"""

from courierlib import certificates
from courierlib.issue import Affects, Finding, Issue, Severity

ISSUE = Issue(
    id="vhost-certificate-shadows",
    component="tls",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="nothing: the file is looked for at every connection",
    look=(
        "for f in $(find /etc/courier -name '*.pem.*'); do "
        'echo "$f: $(openssl x509 -in "$f" -noout -ext subjectAltName 2>/dev/null | tail -1)"; done',
    ),
    tell="`openssl s_client -servername NAME` gets a certificate in which NAME does not stand.",
    alike=("vhost-certificate-unreadable", "certificate-default"),
    bites=("couriertls",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): imapd.pem.example.com is presented for "
        "imap.example.com",
        "run: trixie with an OpenSSL couriertls 1.4.1: it is presented for example.com only",
        "read: check_cert_unicode() in libcouriergnutls.c, server_cert_cb() in libcouriertls.c, 1.4.1",
    ),
)


def check(host):
    """Yield a finding for every file that is presented for a name which its certificate does not have."""
    files = [file for file in host.once(certificates.used) if file.leaf]
    by_path = {file.certfile: file for file in files}
    found = {}
    for file in files:
        if file.name and (name := _wrongly_presented(host, file, by_path)):
            found[file.certfile] = Finding(
                where=file.certfile,
                detail=f"presented for {name}, but its certificate is for {_names(file.leaf)} "
                f"({', '.join(file.services)})",
            )
    yield from found.values()


def _wrongly_presented(host, file, by_path):
    """A name that a client may ask for, for which this file is presented and not valid; empty if there is none."""
    walks = host.tls_library == "gnutls"
    below = f".{file.name}"
    names = file.leaf.names or ()
    # With GnuTLS a domain's file may be meant for the names below the domain alone.
    meant_below = walks and any(name.endswith(below) for name in names)
    if certificates.is_host_name(file.name) and not certificates.covers(file.leaf, file.name) and not meant_below:
        return file.name
    base = by_path.get(file.base)
    for name in base.leaf.names or () if walks and base else ():
        if name.endswith(below) and "*" not in name and not certificates.covers(file.leaf, name):
            nearer = (f"{file.base}.{part}" for part in _upwards(name))
            if next((path for path in nearer if path in by_path), "") == file.certfile:
                return name
    return ""


def _upwards(name):
    """The name and the domains above it, as GnuTLS's couriertls tries them."""
    while name:
        yield name
        name = name.partition(".")[2]


def _names(leaf):
    names = leaf.names or ()
    return f"{', '.join(names[:3])}{', …' * (len(names) > 3)}" or "no name"
