r"""
Old TLS versions are still on: a setting that the TLS library does not read

## What you see

`TLS_PROTOCOL="TLSv1.2++"` stands in `imapd-ssl`, `pop3d-ssl` or `esmtpd`, and a scanner still reports TLS 1.0. Or
`TLS_PRIORITY` is set, and nothing changes. Nothing is in the log.

## What it breaks

Nothing stops. But what you switched off is on. couriertls is built with GnuTLS or with OpenSSL, and each reads only
its own settings:

| Setting | GnuTLS (Debian, Ubuntu) | OpenSSL (upstream's default, RPM, FreeBSD) |
| --- | --- | --- |
| `TLS_PRIORITY` | read | ignored |
| `TLS_PROTOCOL` | ignored | read; a value it does not know means TLS 1.0 or higher |
| `TLS_CIPHER_LIST` | ignored | read |
| `TLS_STARTTLS_PROTOCOL` | ignored | ignored |

With GnuTLS and no `TLS_PRIORITY`, TLS 1.0 and 1.1 are on, in Debian 12, 13 and testing alike.

## Check by hand

The first command shows which library it is. The second shows what is set. Then try to connect with TLS 1.0; if a
cipher is named, it is on:

```console
# openssl s_client -connect localhost:993 -tls1 -cipher DEFAULT:@SECLEVEL=0 </dev/null 2>/dev/null | grep Cipher
New, TLSv1.0, Cipher is ECDHE-RSA-AES256-SHA
```

## Fix by hand

1. With GnuTLS, write this below `TLS_PROTOCOL`, in the same file. It leaves TLS 1.2 and 1.3:

    ```text
    TLS_PRIORITY="NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"
    ```

    The like of `TLS_PROTOCOL="TLSv1.1"` is `TLS_PRIORITY="NORMAL:-VERS-TLS1.0"`. Check what you write; this must not
    say `Syntax error`:

    ```console
    # gnutls-cli --priority 'NORMAL:-VERS-TLS1.0:-VERS-TLS1.1' -l | grep ^Protocols
    Protocols: VERS-TLS1.3, VERS-TLS1.2, VERS-DTLS1.2, VERS-DTLS1.0
    ```

2. With OpenSSL, set `TLS_PROTOCOL` to one of `TLSv1`, `TLSv1.1`, `TLSv1.2`, `TLSv1.1++`, `TLSv1.2++`. With `++` a
    client cannot renegotiate.

3. `TLS_CIPHER_LIST` has no exact counterpart in GnuTLS. Its default has no RC4, no 3DES and no export ciphers. If you
    need less than that, take `TLS_PRIORITY="SECURE128:-VERS-TLS1.0:-VERS-TLS1.1"`.

4. Restart what reads the file; for `imapd-ssl` that is:

    ```console
    # systemctl restart courier-imap courier-imap-ssl
    ```

`courier.fix tls-settings-ignored allow=refuse-old-tls` does step 1 where `TLS_PROTOCOL` says what you wanted. Clients
that speak nothing but TLS 1.0 are then refused; that is why it needs your leave. The services are restarted; their open
sessions end, and mail programs connect again.

## Undo

Put a `#` before the `TLS_PRIORITY` line and restart again.

## How to see that it worked

```console
# openssl s_client -connect localhost:993 -tls1 -cipher DEFAULT:@SECLEVEL=0 </dev/null 2>/dev/null | grep Cipher
New, (NONE), Cipher is (NONE)
```

The log then says `A packet with illegal or unsupported version was received.` for such a client. The same command
without `-tls1` and `-cipher` names a cipher.

## Why it happens

The comments in the shipped files describe the settings of both libraries, one after the other. couriertls never says
that it does not know a setting: all of them are environment variables, and it asks only for those that it knows.
`TLS_STARTTLS_PROTOCOL` is still shipped, as `"$TLS_PROTOCOL"`, but no program and no start script reads it any more.
"""

from collections.abc import Iterator

from courierlib import tlssettings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action
from courierlib.tlssettings import Value

ISSUE = Issue(
    id="tls-settings-ignored",
    component="tls",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="the services whose file is changed, for the second of a restart; their open sessions end",
    allows=("refuse-old-tls", "delete-expired-mail"),
    look=(
        "ldd /usr/bin/couriertls | grep -oE 'lib(gnutls|ssl)[.]so[.0-9]*' | sort -u",
        "grep -d skip -E '^TLS_(PROTOCOL|STARTTLS_PROTOCOL|CIPHER_LIST|PRIORITY)=' /etc/courier/*",
    ),
    tell="A setting of the other TLS library stands in the file, and handshakes work.",
    alike=("tls-priority-invalid",),
    bites=("couriertls",),
    known=(
        'run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): TLS_PROTOCOL="TLSv1.2++": TLS 1.0 handshakes '
        'succeed; with TLS_PRIORITY="NORMAL:-VERS-TLS1.0:-VERS-TLS1.1" they do not, TLS 1.2 and 1.3 do',
        "run: trixie with an OpenSSL 3.5 couriertls 1.4.1: TLS_PRIORITY without TLS 1.2, and a garbled one: "
        "TLS 1.2 handshakes succeed; TLS 1.0 is off by OpenSSL's own security level",
        "read: tls_create() in libs/tcpd/libcouriergnutls.c, tls_create_int() and op_list in libcouriertls.c, 1.4.1",
    ),
    references=("https://www.gnutls.org/manual/html_node/Priority-Strings.html",),
)

_EQUIVALENT = {
    version + suffix: priority
    for version, priority in {
        "TLSv1.1": "NORMAL:-VERS-TLS1.0",
        "TLSv1.2": "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1",
    }.items()
    for suffix in ("", "+", "++")
}
"""What GnuTLS must be told to refuse the versions that OpenSSL would refuse for TLS_PROTOCOL (run: bookworm, trixie,
forky)."""

_NO_LIMITS = frozenset({"TLSv1", "TLS1", "SSL2", "SSL3", "SSL23"})
"""Values of TLS_PROTOCOL, old ones too, for which OpenSSL takes TLS 1.0 or higher (read: op_list in libcouriertls.c,
1.4.1)."""

_DEFAULT_CIPHERS = frozenset({"TLSv1:HIGH:!LOW:!MEDIUM:!EXP:!NULL:!aNULL@STRENGTH", "DEFAULT"})


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every setting that would limit TLS, and that couriertls or anybody else never reads."""
    if host.tls_library == "gnutls":
        yield from _meant_for_openssl(host)
    else:
        yield from _meant_for_gnutls(host)
    yield from _starttls(host)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield a TLS_PRIORITY that refuses the versions that TLS_PROTOCOL was to refuse."""
    for finding in findings:
        value = finding.subject
        new = _EQUIVALENT[value.value]
        yield tlssettings.assign(host, value, "TLS_PRIORITY", new, old="not set or NORMAL", allow="refuse-old-tls")


def _meant_for_openssl(host: Host) -> Iterator[Finding | Unknown]:
    for value in tlssettings.values(host, "TLS_PROTOCOL"):
        if isinstance(value, Unknown):
            yield value
        elif value.value not in _NO_LIMITS and _default_priority(host, value):
            yield Finding(
                where=value.where,
                detail=f"{value.value}: ignored by GnuTLS, and TLS_PRIORITY sets no limit ({value.users})",
                severity=Severity.HIGH if _speaks_old_tls(host) else None,
                fixable=value.value in _EQUIVALENT,
                subject=value,
            )
    for value in tlssettings.values(host, "TLS_CIPHER_LIST"):
        if isinstance(value, Unknown):
            yield value
        elif value.value not in _DEFAULT_CIPHERS and _default_priority(host, value):
            detail = f"ignored by GnuTLS, and TLS_PRIORITY sets no limit ({value.users})"
            yield Finding(where=value.where, detail=detail, fixable=False)


def _default_priority(host: Host, value: Value) -> bool:
    """Whether one of the daemons has no TLS_PRIORITY of its own; where only a shell could tell, none."""
    try:
        return any(host.settings(daemon).get("TLS_PRIORITY", "") in ("", "NORMAL") for daemon in value.daemons)
    except Unknown:
        return False


def _speaks_old_tls(host: Host) -> bool:
    protocols = tlssettings.gnutls_protocols(host)
    return not protocols or not {"VERS-TLS1.0", "VERS-TLS1.1"}.isdisjoint(protocols)


def _meant_for_gnutls(host: Host) -> Iterator[Finding | Unknown]:
    for value in tlssettings.values(host, "TLS_PRIORITY"):
        if isinstance(value, Unknown):
            yield value
        elif value.value != "NORMAL" and not _own_settings(host, value):
            detail = f"ignored by OpenSSL, and TLS_PROTOCOL and TLS_CIPHER_LIST set no limit ({value.users})"
            yield Finding(where=value.where, detail=detail, fixable=False)
    for value in tlssettings.values(host, "TLS_PROTOCOL"):
        if isinstance(value, Unknown):
            yield value
        elif value.value not in _NO_LIMITS and value.value not in _EQUIVALENT:
            detail = f"{value.value}: couriertls does not know it, and takes TLS 1.0 or higher ({value.users})"
            yield Finding(where=value.where, detail=detail, fixable=False)


def _own_settings(host: Host, value: Value) -> bool:
    """Whether every daemon that has it also has a setting that OpenSSL reads."""
    try:
        return all(
            host.settings(daemon).get("TLS_PROTOCOL") or host.settings(daemon).get("TLS_CIPHER_LIST")
            for daemon in value.daemons
        )
    except Unknown:
        return True


def _starttls(host: Host) -> Iterator[Finding]:
    """TLS_STARTTLS_PROTOCOL, unless it says what TLS_PROTOCOL says, or a start script reads it."""
    for value in tlssettings.values(host, "TLS_STARTTLS_PROTOCOL"):
        # What only a shell could tell is most often the shipped "$TLS_PROTOCOL", which TLS_PROTOCOL answers for.
        if isinstance(value, Unknown) or _read_by_script(host, value):
            continue
        if value.value not in _NO_LIMITS and _own_protocol(host, value) != value.value:
            detail = f"{value.value}: nothing reads it; STARTTLS has the limits of port 993 and 995 ({value.users})"
            yield Finding(where=value.where, detail=detail, fixable=False)


def _read_by_script(host: Host, value: Value) -> bool:
    scripts = {daemon.removesuffix("-ssl") for daemon in value.daemons}
    paths = (path for name, path in host.layout.scripts.items() if name in scripts)
    return any(host.contains(path, rb"TLS_STARTTLS_PROTOCOL") for path in paths)


def _own_protocol(host: Host, value: Value) -> str:
    return host.settings(value.daemons[0]).get("TLS_PROTOCOL")
