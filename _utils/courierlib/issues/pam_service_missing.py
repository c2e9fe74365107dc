r"""
Nobody can log in with the right password: the PAM file of the service is missing

## What you see

`LOGIN FAILED`, as for a wrong password, for all users of the system and only with one service: IMAP works and POP3
does not, or the other way round. `su` and SSH work with the same password. Mail arrives.

Usually there is no more in the log. Only if `/etc/pam.d/other` is missing too, there is this:

```text
authdaemond: PAM _pam_init_handlers: no default config other
authdaemond: PAM pam_start: failed to initialize handlers
```

## What it breaks

All logins with that service for accounts that `authpam` knows: the users of the system.

## Check by hand

The first command shows which files there are. `authpam` asks for `imap`, `pop3` and `esmtp`, and for what
`AUTHSERVICE…` in `imapd` and `pop3d` names, such as `imaps`.

A missing file alone does no harm: PAM takes `other` then, and Debian's allows what `login` allows. It is a problem
where `other` has been hardened, which the last command shows: a line with `pam_deny.so`.

## Fix by hand

Write the file as Debian ships it, here for `imap`:

```console
# cat >/etc/pam.d/imap <<'EOF'
@include common-auth
@include common-account
@include common-password
@include common-session
EOF
```

Where there is no `/etc/pam.d/common-auth`, as outside of Debian, copy the file of a service that works.

`courier.fix pam-service-missing` writes it where there is a `common-auth`. Nothing is interrupted, and nothing needs a
restart: PAM reads the file for each login.

## Undo

```console
# rm /etc/pam.d/imap
```

## How to see that it worked

A login works. The log says `LOGIN, user=` and no longer `LOGIN FAILED`.

## Why it happens

The file was lost in a move, or `AUTHSERVICE993=imaps` was set, as the comment in `imapd` shows, without making
`/etc/pam.d/imaps`. PAM says nothing about a file that is missing; it takes `other`.
"""

import re
from collections.abc import Iterator

from courierlib import authlib
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile, NewFile, Refused

ISSUE = Issue(
    id="pam-service-missing",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: PAM reads its files for each login",
    look=(
        "ls /etc/pam.d/imap /etc/pam.d/pop3 /etc/pam.d/esmtp /etc/pam.d/other",
        "grep '^AUTHSERVICE' /etc/courier/imapd /etc/courier/imapd-ssl /etc/courier/pop3d /etc/courier/pop3d-ssl",
        "grep -v '^#' /etc/pam.d/other",
    ),
    tell="`/etc/pam.d` has no file for the service, and `other` has `pam_deny.so`.",
    bites=("authdaemond", "imapd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: without /etc/pam.d/imap: Debian's `other` lets logins work, "
        "one with pam_deny.so and a missing one do not",
        "read: authpam.c, authlib 0.73.1; imaplogin.c, pop3login.c, courieresmtpd.c, 1.4.1: names of the services",
    ),
)

_DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d")
_CONTENT = b"".join(b"@include common-%s\n" % part for part in (b"auth", b"account", b"password", b"session"))
_DENIES = re.compile(r"^[ \t]*-?(?:auth|account)[ \t]+(?:required|requisite)[ \t]+\S*pam_deny\.so", re.MULTILINE)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every service without a PAM file, if what PAM takes instead denies."""
    if not authlib.is_used(host) or "authpam" not in authlib.module_names(host) or not host.exists("/etc/pam.d"):
        return
    missing = {name: who for name, who in _services(host).items() if not _file(host, name)}
    fallback = _file(host, "other")
    if missing and fallback and not _DENIES.search(host.read(fallback).decode("utf-8", "replace")):
        return
    for name, who in missing.items():
        instead = f"{fallback} denies" if fallback else "there is no `other` either"
        yield Finding(
            where=f"/etc/pam.d/{name}",
            detail=f"missing, and {instead}: no system user can log in at {' and '.join(who)}",
            fixable=host.exists("/etc/pam.d/common-auth") and host.exists("/etc/pam.d/common-account"),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield Debian's own file for each."""
    for finding in findings:
        yield EditFile(
            path=finding.where,
            edit=_new,
            old="no such file",
            new="as for logins at the console: common-auth, common-account",
            new_file=NewFile(),
        )


def _new(content: bytes | None) -> bytes:
    if content is not None:
        raise Refused("there is a file now; look at it")
    return _CONTENT


def _file(host: Host, name: str) -> str:
    return next((path for path in (f"{place}/{name}" for place in _DIRECTORIES) if host.exists(path)), "")


def _services(host: Host) -> dict[str, list[str]]:
    """PAM services that the installed listeners ask for, and which ask."""
    found: dict[str, list[str]] = {}
    for listener, port, default, usual in (
        ("imapd", "PORT", "143", "imap"),
        ("imapd-ssl", "SSLPORT", "993", "imap"),
        ("pop3d", "PORT", "110", "pop3"),
        ("pop3d-ssl", "SSLPORT", "995", "pop3"),
    ):
        if listener in host.layout.scripts and host.exists(host.conffile(listener)):
            settings = host.settings(listener)
            for number in re.findall(r"(\d+)\s*(?:,|$)", settings.get(port) or default):
                found.setdefault(settings.get(f"AUTHSERVICE{number}") or usual, []).append(listener)
    for listener in ("esmtpd", "esmtpd-msa", "esmtpd-ssl"):
        # Without AUTH nobody logs in there.
        if listener.replace("-msa", "") in host.layout.scripts and host.exists(host.conffile(listener)):
            settings = host.settings(listener)
            if (settings.get("ESMTPAUTH") + settings.get("ESMTPAUTH_TLS")).strip():
                found.setdefault("esmtp", []).append(listener)
    return {name: list(dict.fromkeys(who)) for name, who in found.items()}
