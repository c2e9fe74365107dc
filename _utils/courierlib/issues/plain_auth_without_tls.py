r"""
Passwords cross the network in the clear: login without TLS is allowed

## What you see

Nothing. Clients that were set up without TLS work, on ports 143, 110, 25 or 587, and nobody notices. The log tells them
apart: a login with TLS has `starttls=1` at its end, one without has not:

```text
imapd: LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[50706], protocol=IMAP
```

## What it breaks

Whoever sits between such a client and the server reads the password: in a café, a hotel, or at any router on the way.
With it he reads and sends that user's mail.

Debian's settings allow it for IMAP and POP3, on ports 143 and 110, because old clients need it. That is reported as
`low`. It is `medium` where the server also offers `PLAIN` or `LOGIN` before TLS, which makes clients choose them.

Ports 993, 995 and 465 are not concerned: they speak nothing but TLS.

## Check by hand

`ss` shows which ports are open to others, `grep` what is set. `IMAP_TLS_REQUIRED=0` and `POP3_TLS_REQUIRED=0` allow
logins without TLS, and so does `PLAIN` or `LOGIN` in `ESMTPAUTH`. What is in `ESMTPAUTH_TLS` is offered after
`STARTTLS` only.

## Fix by hand

1. See who would be locked out. This lists the logins without TLS that the journal still has:

    ```console
    # journalctl -q -t imapd -t pop3d -o cat | grep 'LOGIN, user=' | grep -v 'starttls=1\|stls=1'
    ```

    Have these users switch on STARTTLS or TLS in their mail programs first.

2. See that TLS works. This must name a cipher:

    ```console
    # openssl s_client -connect localhost:143 -starttls imap </dev/null 2>/dev/null | grep Cipher
    New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
    ```

3. IMAP and POP3:

    ```console
    # sed -i 's/^IMAP_TLS_REQUIRED=.*/IMAP_TLS_REQUIRED=1/' /etc/courier/imapd-ssl
    # sed -i 's/^POP3_TLS_REQUIRED=.*/POP3_TLS_REQUIRED=1/' /etc/courier/pop3d-ssl
    # systemctl restart courier-imap courier-imap-ssl courier-pop courier-pop-ssl
    ```

    Where STARTTLS is switched off (`IMAPDSTARTTLS=NO`, `POP3_STARTTLS=NO`), the first has no effect, and with the
    second nobody can log in on port 110.

4. SMTP: in `/etc/courier/esmtpd`, and `esmtpd-msa` if it says something else, move the words to `ESMTPAUTH_TLS`:

    ```text
    ESMTPAUTH=""
    ESMTPAUTH_TLS="PLAIN LOGIN"
    ```

    ```console
    # systemctl restart courier-mta courier-msa courier-mta-ssl
    ```

    **Do not set `ESMTP_TLS_REQUIRED=1` in `esmtpd`**: port 25 then refuses mail from every server that has no TLS.

`courier.fix plain-auth-without-tls allow=require-tls` does steps 3 and 4, where STARTTLS is offered and the certificate
exists. It leaves out `CRAM-…` where no account can use it: see `cram-without-cleartext`. It needs your leave because
clients without TLS are locked out. The services are restarted; their open sessions end.

## Undo

Write the old values back and restart.

## How to see that it worked

A login without TLS is refused, and one with STARTTLS works:

```console
# exec 3<>/dev/tcp/localhost/143; printf 'a LOGIN alice x\r\n' >&3; timeout 2 cat <&3 | grep ^a
a NO STARTTLS required
```

POP3 answers `-ERR TLS required to log in.`, SMTP `535 Authentication rejected`.

## Why it happens

The settings are from a time when many clients had no TLS. `IMAP_TLS_REQUIRED` and `POP3_TLS_REQUIRED` are shipped as 0.
`ESMTPAUTH` is shipped empty; many guides say to fill it, and do not mention `ESMTPAUTH_TLS`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from courierlib import authlib, tlssettings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action
from courierlib.tlssettings import Value

ISSUE = Issue(
    id="plain-auth-without-tls",
    component="auth",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="the services whose file is changed, for the second of a restart, and their open sessions; clients "
    "without TLS cannot log in afterwards",
    allows=("require-tls", "delete-expired-mail"),
    look=(
        "grep -d skip -E '^(ESMTPAUTH|ESMTPAUTH_TLS|ESMTP_TLS_REQUIRED|IMAP_TLS_REQUIRED|POP3_TLS_REQUIRED)=' "
        "/etc/courier/*",
        "ss -Hltn 'sport = :25 or sport = :587 or sport = :143 or sport = :110'",
    ),
    bites=("smtp-ports", "imap-ports", "authdaemond"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6, trixie with OpenSSL 1.4.1: shipped settings: LOGIN on port "
        "143 and USER on 110 without TLS succeed; with *_TLS_REQUIRED=1 they are refused, with STARTTLS they succeed",
        'run: the same hosts: ESMTPAUTH="PLAIN LOGIN": AUTH PLAIN on port 587 without TLS succeeds; with '
        "ESMTPAUTH_TLS instead it is refused, with STARTTLS it succeeds",
        "read: imaplogin.c, pop3login.c, courieresmtpd.c, 1.4.1",
    ),
    references=("https://www.rfc-editor.org/rfc/rfc8314",),
)

_PORTS = {"smtp": 25, "submission": 587, "imap": 143, "imap2": 143, "pop3": 110}
_PLAIN = frozenset({"PLAIN", "LOGIN"})


@dataclass(frozen=True)
class _Mailbox:
    """A protocol by which mail is read.

    Args:
        plain: the daemon without TLS, and the configuration that its start script sources first.
        daemon: the configuration with the settings of TLS, which both daemons get.
        starttls: setting that offers STARTTLS.
        required: setting that refuses logins before it.
        offered: setting with what is offered before it.
        mechanism: what stands before the name of a mechanism in it.
        always: ``required`` counts without STARTTLS too, and then nobody can log in (read: tls_required() in
            pop3dcapa.c, have_starttls() in imaplogin.c, 1.4.1).
    """

    plain: str
    daemon: str
    starttls: str
    required: str
    offered: str
    mechanism: str
    always: bool


_MAILBOXES = (
    _Mailbox("imapd", "imapd-ssl", "IMAPDSTARTTLS", "IMAP_TLS_REQUIRED", "IMAP_CAPABILITY", "AUTH=", False),
    _Mailbox("pop3d", "pop3d-ssl", "POP3_STARTTLS", "POP3_TLS_REQUIRED", "POP3AUTH", "", True),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every port that others can reach and that takes passwords without TLS."""
    for mailbox in _MAILBOXES:
        try:
            yield from _in_mailbox(host, mailbox)
        except Unknown as unknown:
            yield unknown
    for value in tlssettings.values(host, "ESMTPAUTH"):
        try:
            if isinstance(value, Unknown):
                raise value
            yield from _in_smtp(host, value)
        except Unknown as unknown:
            yield unknown


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the settings that take passwords only after STARTTLS."""
    for finding in findings:
        value: Value = finding.subject
        if value.name != "ESMTPAUTH":
            yield tlssettings.assign(host, value, value.name, "1", old=value.value or "not set", allow="require-tls")
            continue
        kept = _without_useless(host, value.value.split())
        # ESMTPAUTH_TLS counts after STARTTLS, and ESMTPAUTH where it is empty (read: courieresmtpd.c, 1.4.1).
        offered = [host.settings(daemon).get("ESMTPAUTH_TLS").split() for daemon in value.daemons]
        if not all(_PLAIN.intersection(map(str.upper, words)) for words in offered):
            present = list(dict.fromkeys(word for words in offered for word in words))
            after = " ".join(dict.fromkeys(_without_useless(host, present) + kept))
            old = " ".join(present) or "not set"
            yield tlssettings.assign(host, value, "ESMTPAUTH_TLS", after, old=old, allow="require-tls")
        left = " ".join(word for word in kept if word.upper() not in _PLAIN)
        yield tlssettings.assign(host, value, "ESMTPAUTH", left, old=value.value, allow="require-tls")


def _without_useless(host: Host, words: list[str]) -> list[str]:
    """Without those that cram-without-cleartext takes out, so that both repairs can be made in one run."""
    others = [word for word in words if not word.startswith("CRAM-")]
    try:
        cram_works = others == words or not authlib.is_used(host) or authlib.has_challenge_passwords(host)
    except Unknown:
        return words
    return words if cram_works else others


def _in_mailbox(host: Host, mailbox: _Mailbox) -> Iterator[Finding]:
    if mailbox.plain not in host.layout.scripts or not host.exists(host.conffile(mailbox.daemon)):
        return
    values = host.settings(mailbox.daemon)
    required = values.get(mailbox.required)
    starttls = values.get(mailbox.starttls)[:1] in ("y", "Y")
    if (_is_on(required) and (starttls or mailbox.always)) or not (ports := _reachable(host, mailbox.plain)):
        return
    offered = {word.upper().removeprefix(mailbox.mechanism) for word in values.get(mailbox.offered).split()} & _PLAIN
    location = values.where(mailbox.required)
    path = location.path if location else host.conffile(mailbox.daemon)
    yield Finding(
        where=f"{path} {mailbox.required}",
        detail=f"port {ports} takes passwords without TLS" + _why_not(starttls, mailbox, offered),
        severity=None if offered else Severity.LOW,
        fixable=starttls and _has_certificate(host, mailbox.daemon),
        subject=Value(path, mailbox.required, required, (mailbox.daemon,)),
    )


def _why_not(starttls: bool, mailbox: _Mailbox, offered: set[str]) -> str:
    said = f", and offers {' and '.join(sorted(offered))} there" if offered else ""
    return said if starttls else f"{said}; {mailbox.starttls} is not YES, so there is no STARTTLS"


def _in_smtp(host: Host, value: Value) -> Iterator[Finding]:
    offered = {word.upper() for word in value.value.split()} & _PLAIN
    # esmtpd-ssl speaks nothing but TLS.
    daemons = [daemon for daemon in value.daemons if daemon in ("esmtpd", "esmtpd-msa")]
    open_to = [
        ports
        for daemon in daemons
        if offered
        and not _is_on(host.settings(daemon).get("ESMTP_TLS_REQUIRED"))
        and (ports := _reachable(host, daemon))
    ]
    if open_to:
        yield Finding(
            where=value.where,
            detail=f"port {', '.join(open_to)} offers {' and '.join(sorted(offered))} without TLS",
            fixable=all(_has_certificate(host, daemon) for daemon in daemons),
            subject=value,
        )


def _reachable(host: Host, daemon: str) -> str:
    """The daemon's ports on which others can reach it, in words; empty if none."""
    default = {"esmtpd": "smtp", "esmtpd-msa": "submission", "imapd": "imap", "pop3d": "pop3"}[daemon]
    words = (word.rpartition(".")[2] for word in re.split(r"[,\s]+", host.settings(daemon).get("PORT") or default))
    ports = {_PORTS.get(word) or int(word) for word in words if word in _PORTS or (word.isascii() and word.isdigit())}
    found = {each.port for each in host.listeners if each.port in ports and not _is_loopback(each.address)}
    return ", ".join(str(port) for port in sorted(found))


def _is_loopback(address: str) -> bool:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def _has_certificate(host: Host, daemon: str) -> bool:
    certfile = host.settings(daemon).get("TLS_CERTFILE")
    return bool(certfile) and host.exists(certfile)


def _is_on(value: str) -> bool:
    """As atoi() would see it."""
    return re.match(r"\s*[+-]?0*[1-9]", value) is not None
