r"""
A TLS setting that Courier does not know any more is still set

## What you see

Nothing. The setting stands in the file, and does nothing.

## What it breaks

Nothing by itself. But who reads the file believes that it counts: that the parameters in `TLS_DHCERTFILE` are used, or
that clients are checked against the certificates in `TLS_PEERCERTDIR`.

| Setting | Removed in | What counts now |
| --- | --- | --- |
| `TLS_PEERCERTDIR` | 0.61 | `TLS_TRUSTCERTS` |
| `TLS_KX_LIST`, `TLS_COMPRESSION`, `TLS_CERTS` | 0.69 | `TLS_PRIORITY` |
| `TLS_DHCERTFILE` | 0.73 | `TLS_DHPARAMS` for the DH parameters, `TLS_CERTFILE` for the certificate |

## Check by hand

`grep` shows the settings that are left. couriertls reads all TLS settings; what is not in it is dead:

```console
# grep -cw TLS_DHCERTFILE /usr/bin/couriertls
0
# grep -cw TLS_CERTFILE /usr/bin/couriertls
1
```

## Fix by hand

1. See whether the new setting is there. For `TLS_DHCERTFILE` that is `TLS_DHPARAMS`:

    ```console
    # grep -HE '^TLS_(DHPARAMS|CERTFILE|TRUSTCERTS|PRIORITY)=' /etc/courier/imapd-ssl
    /etc/courier/imapd-ssl:TLS_CERTFILE=/etc/courier/imapd.pem
    /etc/courier/imapd-ssl:TLS_DHPARAMS=/etc/courier/dhparams.pem
    /etc/courier/imapd-ssl:TLS_TRUSTCERTS=/etc/ssl/certs/ca-certificates.crt
    ```

2. Put a `#` before the old one:

    ```console
    # sed -i 's/^TLS_DHCERTFILE=/#&/' /etc/courier/imapd-ssl
    ```

`courier.fix removed-tls-settings` does step 2. Nothing is restarted and nothing is interrupted: nothing reads the
setting.

## Undo

Take the `#` away.

## How to see that it worked

`courier.check removed-tls-settings` finds nothing, and TLS works as before.

## Why it happens

Debian keeps your own version of a configuration file when a package is upgraded. What upstream removes from its file
stays in yours.
"""

import re
from collections.abc import Iterator

from courierlib import tlssettings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade
from courierlib.plan import Action

ISSUE = Issue(
    id="removed-tls-settings",
    component="tls",
    severity=Severity.LOW,
    affects=Affects(since="0.61"),
    interrupts="nothing: nothing reads these settings",
    look=(
        "grep -d skip -E '^TLS_(DHCERTFILE|PEERCERTDIR|KX_LIST|COMPRESSION|CERTS)=' /etc/courier/* || "
        "echo 'none is set'",
        "grep -cw TLS_DHCERTFILE /usr/bin/couriertls; grep -cw TLS_CERTFILE /usr/bin/couriertls",
    ),
    tell="A setting stands in the file that `/usr/bin/couriertls` does not contain; TLS works.",
    alike=("tls-settings-ignored", "dh-params-unusable"),
    bites=("couriertls",),
    upgrades=(
        Upgrade(
            version="0.73",
            act="after",
            step="Take `TLS_DHCERTFILE` out of the files that you kept; see that `TLS_DHPARAMS` is set.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6, trixie with OpenSSL 1.4.1: set to a file that does not "
        "exist: TLS works, nothing is logged",
        "read: INSTALL, 1.4.1: 0.73 removes TLS_DHCERTFILE",
        "read: ChangeLog, 1.4.1: TLS_PEERCERTDIR removed in 0.61; 0.69 replaces GnuTLS's TLS_* by TLS_PRIORITY",
    ),
)

_REMOVED = {
    "TLS_PEERCERTDIR": "TLS_TRUSTCERTS",
    "TLS_KX_LIST": "TLS_PRIORITY",
    "TLS_COMPRESSION": "TLS_PRIORITY",
    "TLS_CERTS": "TLS_PRIORITY",
    "TLS_DHCERTFILE": "TLS_DHPARAMS",
}
"""Settings that Courier once read, and what took their place."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every setting that this couriertls does not know any more."""
    for name, successor in _REMOVED.items():
        for value in tlssettings.values(host, name):
            if isinstance(value, Unknown):
                yield value
            # One of before its removal still reads it.
            elif not host.contains(host.couriertls, rb"\b" + re.escape(name).encode() + rb"\b"):
                detail = f"{value.value}: nothing reads it; {successor} took its place ({value.users})"
                yield Finding(where=value.where, detail=detail, subject=value)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield for each of them that it is commented out."""
    for finding in findings:
        yield tlssettings.comment_out(host, finding.subject, restart=False)
