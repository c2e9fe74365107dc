r"""
TLS is dead and the log says nothing: TLS_PRIORITY has a mistake

## What you see

TLS clients are cut off as soon as they connect. On port 25 and 143 that happens after `STARTTLS`. openssl says:

```text
write:errno=104
New, (NONE), Cipher is (NONE)
```

The log has no error. Ports 993 and 465 log nothing at all, not even the connection.

## What it breaks

TLS, for every daemon that gets the setting: the listeners of the file in which it stands. Plain connections work. In
`courierd` it is the TLS of outgoing mail.

## Check by hand

The first command shows what is set. GnuTLS itself tells what is wrong:

```console
# gnutls-cli --priority 'HIGH:!aNULL' -l
Syntax error at: HIGH:!aNULL
```

A valid one prints the ciphers. The words of OpenSSL (`HIGH`, `!aNULL`, `TLSv1.2`) are not known to GnuTLS. The comments
in Courier's files name `HIGH`, `MEDIUM`, `LOW` and `ALL` too: GnuTLS refuses them.

## Fix by hand

1. Put a `#` before the line, in each file that has it:

    ```console
    # grep -n ^TLS_PRIORITY= /etc/courier/*
    # sed -i 's/^TLS_PRIORITY=/#&/' /etc/courier/imapd-ssl
    ```

2. Or write one that is valid. This one leaves TLS 1.2 and 1.3:

    ```text
    TLS_PRIORITY="NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"
    ```

3. Restart what reads the file; for `imapd-ssl` that is:

    ```console
    # systemctl restart courier-imap courier-imap-ssl
    ```

`courier.fix tls-priority-invalid allow=default-tls-priority` does steps 1 and 3. TLS comes back with the defaults of
GnuTLS, and these may allow TLS 1.0 and 1.1: that is why it needs your leave. The services are restarted; their open
sessions end, and mail programs connect again.

## Undo

Take the `#` away and restart.

## How to see that it worked

```console
# openssl s_client -connect localhost:993 </dev/null 2>/dev/null | grep Cipher
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
```

## Why it happens

couriertls hands the value to GnuTLS. If GnuTLS refuses it, couriertls ends at once and says nothing. Nothing is checked
when the service starts, so `systemctl` shows it as running.
"""

from collections.abc import Iterator

from courierlib import tlssettings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action

ISSUE = Issue(
    id="tls-priority-invalid",
    component="tls",
    severity=Severity.HIGH,
    affects=Affects(tls="gnutls"),
    interrupts="the services whose file is changed, for the second of a restart; their open sessions end",
    allows=("default-tls-priority", "delete-expired-mail"),
    look=(
        "grep -d skip -E '^TLS_PRIORITY=' /etc/courier/* || echo 'TLS_PRIORITY is not set'",
        '. /etc/courier/imapd-ssl; gnutls-cli --priority "${TLS_PRIORITY:-NORMAL}" -l 2>&1 | grep -E "rror|^Protocols"',
    ),
    tell="The connection ends without any line in the log, and `gnutls-cli --priority VALUE -l` says `Syntax error`.",
    alike=("tls-settings-ignored", "pem-unreadable"),
    bites=("couriertls",),
    known=(
        "run: trixie 1.4.1: a syntax error, and NONE, in imapd-ssl and esmtpd: ports 993, 143, 25 and 465 refuse TLS, "
        "and log no error",
        "run: bookworm 1.0.16, forky 2.0.6: a syntax error in imapd-ssl",
        "run: trixie with an OpenSSL 3.5 couriertls 1.4.1: cannot occur, TLS_PRIORITY is ignored",
        "read: tls_connect() in libs/tcpd/libcouriergnutls.c, 1.4.1",
    ),
    references=("https://www.gnutls.org/manual/html_node/Priority-Strings.html",),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every TLS_PRIORITY that the host's GnuTLS refuses."""
    if host.tls_library != "gnutls":
        return
    for value in tlssettings.values(host, "TLS_PRIORITY"):
        if isinstance(value, Unknown):
            yield value
            continue
        try:
            objection = tlssettings.gnutls_objection(host, value.value)
        except Unknown as unknown:
            yield Unknown(f"{value.where}: {unknown.reason}")
            continue
        if objection:
            yield Finding(where=value.where, detail=f"{value.value}: {objection} ({value.users})", subject=value)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield for each of them that it is commented out."""
    for finding in findings:
        yield tlssettings.comment_out(host, finding.subject, allow="default-tls-priority")
