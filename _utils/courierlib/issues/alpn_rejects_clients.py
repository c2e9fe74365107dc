r"""
Some clients are refused during the TLS handshake: TLS_ALPN does not let them in

## What you see

Most clients connect. A few do not: a proxy, a load balancer, a monitoring probe, a home-made client. The log says:

```text
imapd-ssl: ip=[::ffff:192.0.2.7], No common application protocol could be negotiated.
```

That is GnuTLS (Debian). With OpenSSL it is:

```text
imapd-ssl: ip=[::ffff:192.0.2.7], couriertls: connect: error:0A0000EB:SSL routines::no application protocol
```

After `STARTTLS` on port 143 nothing is logged.

## What it breaks

Clients that name an application protocol (ALPN) and do not name one from `TLS_ALPN`. Those that name none, and they are
the most, are let in.

The line alone is no alarm: scanners that look for web servers offer `http/1.1` on every port, and are refused rightly.

## Check by hand

`grep` shows what is set. The shipped values are `imap` in `imapd-ssl` and `pop3` in `pop3d-ssl`. Something is wrong if
the file says something else, or has `@o`: by the documentation that lets everybody in, and it does not.

Then try as such a client would:

```console
# openssl s_client -connect localhost:993 -alpn http/1.1 </dev/null 2>/dev/null | grep Cipher
New, (NONE), Cipher is (NONE)
```

## Fix by hand

1. If the protocol is missing, write the shipped value: `TLS_ALPN=imap` in `imapd-ssl`, `TLS_ALPN=pop3` in `pop3d-ssl`.

2. If other clients must be let in, put a `#` before the line. `@o` is not enough:

    ```console
    # sed -i 's/^TLS_ALPN=/#&/' /etc/courier/imapd-ssl
    ```

3. Restart what reads the file:

    ```console
    # systemctl restart courier-imap courier-imap-ssl
    ```

`courier.fix alpn-rejects-clients` does this: a setting with `@o` is commented out, for that is what it says; one that
lacks its own protocol gets the shipped value. The services are restarted; their open sessions end, and
mail programs connect again.

## Undo

Put the old line back and restart.

## How to see that it worked

```console
# openssl s_client -connect localhost:993 -alpn imap </dev/null 2>/dev/null | grep Cipher
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

Without `TLS_ALPN`, that is also the answer for `-alpn http/1.1`.

## Why it happens

Since 1.1.0 couriertls checks the protocol, to keep a browser from being led to a mail server. `@o` was to make that
optional. In the code for GnuTLS a `~` is missing, so the flag changes nothing; the code for OpenSSL refuses anyway.
"""

import re
from collections.abc import Iterator

from courierlib import tlssettings
from courierlib.host import Host
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action
from courierlib.tlssettings import Value

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd")

ISSUE = Issue(
    id="alpn-rejects-clients",
    component="tls",
    severity=Severity.MEDIUM,
    affects=Affects(since="1.1.0"),
    interrupts="the services whose file is changed, for the second of a restart; their open sessions end",
    allows=("delete-expired-mail",),
    look=(
        "grep -d skip -E '^TLS_ALPN=' /etc/courier/*",
        "for name in imap http/1.1; do openssl s_client -connect localhost:993 -alpn $name </dev/null 2>/dev/null | "
        "grep Cipher; done",
    ),
    tell="Clients that offer no ALPN, such as `openssl s_client` without `-alpn`, get through.",
    bites=("couriertls",),
    upgrades=(
        Upgrade(
            version="1.1.0",
            act="after",
            step="Clients that offer another ALPN than `imap` or `pop3` are refused from now on: see whether yours do.",
        ),
    ),
    known=(
        "run: trixie 1.4.1, forky 2.0.6, trixie with an OpenSSL 3.5 couriertls 1.4.1: TLS_ALPN='imap', '@o,imap' and "
        "'imap,@o': a client that offers http/1.1 is refused, one that offers imap or none is not",
        "run: bookworm 1.0.16: cannot occur, TLS_ALPN is ignored",
        "read: alpn_parse() in libs/tcpd/libcouriergnutls.c, tls_alpn_server_cb() in libcouriertls.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"No common application protocol could be negotiated\.$",
            sample="ip=[::ffff:192.0.2.7], No common application protocol could be negotiated.",
            known="run: trixie 1.4.1, forky 2.0.6",
            tls="GnuTLS",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: connect: error:0A0000EB:SSL routines::no application protocol",
            sample="ip=[::ffff:192.0.2.7], couriertls: connect: error:0A0000EB:SSL routines::no application protocol",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
    ),
    references=("https://www.rfc-editor.org/rfc/rfc7301",),
)

_OWN = {"imapd-ssl": "imap", "pop3d-ssl": "pop3"}
"""What the clients of each daemon offer, and the shipped value (read: imapd-ssl.dist, pop3d-ssl.dist, 1.4.1)."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every TLS_ALPN that refuses more clients than it says, or its own."""
    values = list(tlssettings.values(host, "TLS_ALPN"))
    # A couriertls of before 1.1.0 ignores it.
    if not values or not host.contains(host.couriertls, rb"\bTLS_ALPN\b"):
        return
    for value in values:
        if isinstance(value, Unknown):
            yield value
        elif problem := _problem(value):
            yield Finding(where=value.where, detail=f"{value.value}: {problem} ({value.users})", subject=value)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield what its author meant: no ALPN where it was to be optional, else the shipped value."""
    for finding in findings:
        value = finding.subject
        if _optional(value):
            yield tlssettings.comment_out(host, value)
        else:
            yield tlssettings.assign(host, value, "TLS_ALPN", _OWN[value.daemons[0]], old=value.value)


def _problem(value: Value) -> str:
    # Read: alpn_parse(), 1.4.1: commas and white space separate; a word with @ is a flag.
    words = re.split(r"[,\s]+", value.value)
    protocols = [word for word in words if word and not word.startswith("@")]
    if not protocols:
        return ""
    if _optional(value):
        return "@o has no effect: clients that offer another protocol are refused"
    own = _OWN.get(value.daemons[0], "")
    return f"clients that offer {own} are refused" if own and own not in protocols else ""


def _optional(value: Value) -> bool:
    return re.search(r"(^|[,\s])@[oO]", value.value) is not None
