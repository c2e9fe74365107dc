r"""
Some mail programs cannot log in, others can: CRAM is offered and cannot work

## What you see

A user with the right password cannot log in with one program, and can with another. Some programs fall back to
another method and are only slow: each failure takes five seconds. The log says which method it was:

```text
imapd: LOGIN FAILED, method=CRAM-MD5, ip=[::ffff:192.0.2.7], port=[47542]
```

## What it breaks

Logins of programs that choose CRAM-MD5, CRAM-SHA1 or CRAM-SHA256 because the server offers them. Always.

## Check by hand

The first command must print `authmodulelist` with more than `authpam`, `authpwd`, `authshadow` if the second prints
anything. With `authuserdb`, accounts that can use CRAM have a `hmac-md5pw` in `userdb`.

Settings that end in `_ORIG` or `_WEBADMIN` do not count.

## Fix by hand

Take the words `AUTH=CRAM-MD5` and so on out of `IMAP_CAPABILITY` in `imapd`, and `CRAM-MD5` and so on out of `POP3AUTH`
in `pop3d` and `ESMTPAUTH` in `esmtpd`, wherever they are, those with `_TLS` at the end too. Then:

```console
# systemctl restart courier-imap courier-imap-ssl courier-pop courier-pop-ssl
```

and, if `esmtpd` was changed, `systemctl restart courier-mta courier-msa courier-mta-ssl`.

`PLAIN` and `LOGIN` stay. They are no less safe inside TLS: offer them in the settings with `_TLS`.

`courier.fix cram-without-cleartext` does this. New connections are refused for a second. Where a setting had nothing
but CRAM, the service offers no AUTH there afterwards; that needs `allow=no-auth`. Where `esmtpd` is changed and
courierd would delete mail when it starts, it needs `allow=delete-expired-mail`: see `courierd-not-running`.

## Undo

Put the words back, and restart the same services.

## How to see that it worked

```console
# timeout 2 bash -c 'head -1 </dev/tcp/localhost/143'
* OK [CAPABILITY IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT …
```

There is no `CRAM` in the line.

## Why it happens

With CRAM the password is not sent. The server has to know it, in clear text or prepared, to check the answer. PAM,
`/etc/shadow` and hashes in a database can only say whether a password that was sent is right. `IMAP_CAPABILITY_ORIG`
in the file lists CRAM, and is often copied.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from courierlib import authlib, settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile, Refused
from courierlib.queue import allow_restart

NO_AUTH = "no-auth"

ISSUE = Issue(
    id="cram-without-cleartext",
    component="auth",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="new connections, for the second in which the listener restarts",
    allows=(NO_AUTH, "delete-expired-mail"),
    look=(
        "grep '^authmodulelist=' /etc/courier/authdaemonrc",
        "grep -E '^(IMAP_CAPABILITY|POP3AUTH|ESMTPAUTH)(_TLS)?=.*CRAM' /etc/courier/imapd /etc/courier/imapd-ssl "
        "/etc/courier/pop3d /etc/courier/pop3d-ssl /etc/courier/esmtpd /etc/courier/esmtpd-msa /etc/courier/esmtpd-ssl",
    ),
    tell="`LOGIN FAILED, method=CRAM-…` for users whose password works with another program.",
    bites=("imapd", "esmtpd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: with authpam CRAM-MD5 fails, LOGIN with the same password "
        "works",
        "read: authpam.c, authuserdb.c, authlib 0.73.1",
    ),
)

_IMAP = ("IMAP_CAPABILITY", "IMAP_CAPABILITY_TLS")
_POP3 = ("POP3AUTH", "POP3AUTH_TLS")
_SMTP = ("ESMTPAUTH", "ESMTPAUTH_TLS")
_OFFERED = {
    "imapd": (_IMAP, "imap"),
    "imapd-ssl": (_IMAP, "imaps"),
    "pop3d": (_POP3, "pop3"),
    "pop3d-ssl": (_POP3, "pop3s"),
    "esmtpd": (_SMTP, "smtp"),
    "esmtpd-msa": (_SMTP, "msa"),
    "esmtpd-ssl": (_SMTP, "smtps"),
}
_CRAM = re.compile(r"(?:^|(?<=\s))(?:AUTH=)?CRAM-[A-Z0-9-]+(?:\s+|$)")
_WRITTEN = re.compile(r"[ \t]+(?:AUTH=)?CRAM-[A-Z0-9-]+|(?<=[\"'=])(?:(?:AUTH=)?CRAM-[A-Z0-9-]+[ \t]*)+")


@dataclass(frozen=True)
class _Offer:
    """A setting that offers CRAM, and the listeners that read it."""

    path: str
    name: str
    value: str
    roles: tuple[str, ...]

    @property
    def without(self) -> str:
        return _CRAM.sub("", self.value).rstrip()


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every setting that offers CRAM, where it can work for no account."""
    if not authlib.is_used(host):
        return
    offers = list(_offers(host))
    if not offers or authlib.has_challenge_passwords(host):
        return
    modules = ", ".join(authlib.module_names(host)) or "none"
    for offer in offers:
        words = " ".join(re.findall(r"CRAM-[A-Z0-9-]+", offer.value))
        yield Finding(
            where=f"{offer.path} {offer.name}",
            detail=f"offers {words}, which no account can use: modules {modules}",
            subject=offer,
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield each setting without the words that offer CRAM."""
    for finding in findings:
        offer = finding.subject
        yield EditFile(
            path=offer.path,
            setting=offer.name,
            edit=partial(without_cram, name=offer.name),
            old=offer.value,
            new=offer.without or "nothing",
            allow=",".join(filter(None, ("" if offer.without else NO_AUTH, allow_restart(host, offer.roles)))),
            restarts=offer.roles,
        )


def _offers(host: Host) -> Iterator[_Offer]:
    """Settings that offer CRAM, but for those that take it over from another of them, and are mended with that."""
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for listener, (names, role) in _OFFERED.items():
        if listener.replace("-msa", "") not in host.layout.scripts or not host.exists(host.conffile(listener)):
            continue
        values = host.settings(listener)
        for name in names:
            value, place = values.get(name), values.where(name)
            if place and _CRAM.search(value) and not _is_taken_over(host, place):
                found.setdefault((place.path, name), (value, []))[1].append(role)
    for (path, name), (value, roles) in found.items():
        yield _Offer(path, name, value, tuple(roles))


def without_cram(content: bytes | None, name: str) -> bytes:
    """A settings file with the words that offer CRAM taken out of one setting, and of those that take it over.

    Raises:
        Refused: it is not certain that sh would then see this, and everything else unchanged.
    """
    text = (content or b"").decode("utf-8", "surrogateescape")
    lines = re.compile(rf"^[ \t]*(?:export[ \t]+)?{name}=[^#\n]*", re.MULTILINE)
    edited = lines.sub(lambda line: _WRITTEN.sub("", line[0]), text).encode("utf-8", "surrogateescape")
    before, after = (
        _words(settings.evaluate([("", each)], {})) for each in (text.encode("utf-8", "surrogateescape"), edited)
    )
    if before.get(name) is None:
        raise Refused(f"{name} is not set here any more")
    wanted = {key: [word for word in words or () if not _CRAM.match(word)] for key, words in before.items()}
    changed = [key for key in before.keys() | after.keys() if after.get(key) != before.get(key)]
    if after.get(name) == wanted[name] and all(after.get(key) == wanted.get(key) for key in changed):
        return edited
    return settings.assign(content, name, " ".join(wanted[name]))


def _words(values: settings.Settings) -> dict[str, list[str] | None]:
    """The words of each variable that the files set; None where only a shell could tell."""
    found: dict[str, list[str] | None] = {}
    for name in values.names():
        try:
            found[name] = values.get(name).split()
        except Unknown:
            found[name] = None
    return found


def _is_taken_over(host: Host, place: settings.Location) -> bool:
    line = host.read(place.path).decode("utf-8", "surrogateescape").split("\n")[place.line - 1]
    return (
        "CRAM-" not in line and re.search(r"\$\{?(?:IMAP_CAPABILITY|POP3AUTH|ESMTPAUTH)(?:_TLS)?\b", line) is not None
    )
