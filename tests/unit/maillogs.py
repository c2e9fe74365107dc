"""Made-up mail logs whose author knows what each line means: what a mail host logs, from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from courierlib import maillog
from courierlib.catalogue import Entry

_RFC_3164 = "{month} {day:2d} {clock} mx1 {tag}: {message}"
_ISO = "2026-{number:02d}-{day:02d}T{clock}.{fraction:06d}+00:00 mx1 {tag}: {message}"
_MONTHS = {9: "Sep", 10: "Oct", 11: "Nov", 12: "Dec"}
_ACCOUNTS = tuple(
    f"{name}{number}@example{number % 7}.test" for name in ("bob", "info", "a.smith") for number in range(200)
)

_ORDINARY: tuple[tuple[int, str, str], ...] = (
    # weight, tag, message
    (14, "imapd-ssl", "Connection, ip=[{ip}], port=[{port}]"),
    (14, "imapd-ssl", "LOGIN, user={user}, ip=[{ip}], port=[{port}], protocol=IMAP"),
    (
        12,
        "imapd-ssl",
        "LOGOUT, user={user}, ip=[{ip}], port=[{port}], headers={n}, body={n}, rcvd={n}, sent={n}, time={n}",
    ),
    (3, "imapd-ssl", "DISCONNECTED, user={user}, ip=[{ip}], port=[{port}], headers=0, body=0, rcvd={n}, sent={n}"),
    (3, "imapd-ssl", "Disconnected, ip=[{ip}], port=[{port}], time=0, starttls=1"),
    (2, "imapd", "LOGIN FAILED, method=PLAIN, ip=[{ip}], port=[{port}]"),
    (7, "pop3d-ssl", "LOGIN, user={user}, ip=[{ip}], port=[{port}]"),
    (
        7,
        "pop3d-ssl",
        "LOGOUT, user={user}, ip=[{ip}], port=[{port}], top=0, retr={n}, rcvd={n}, sent={n}, time=0, stls=1",
    ),
    (2, "pop3d", "Disconnected, ip=[{ip}], port=[{port}]"),
    (8, "courieresmtpd", "started,ip=[{ip}],port=[{port}]"),
    (
        4,
        "courieresmtpd",
        'error,relay={ip},port={port},msg="550 User unknown.",cmd: RCPT TO:<{user}>',
    ),
    (2, "courieresmtpd", "error,relay={ip},port={port},from=<{user}>,to=<{user}>: 513 Relaying denied."),
    (6, "courierd", "newmsg,id={id}: dns; mail.example.net (mail.example.net [{ip}])"),
    (
        6,
        "courierd",
        "started,id={id},from=<{user}>,module=local,host={user}!!1000!1000!/home/vmail/{n}!!,addr=<{user}>",
    ),
    (6, "courierd", "completed,id={id}"),
    (6, "courierd", "Waiting.  shutdown time=none, wakeup time=none, queuedelivering={n}, inprogress={n}"),
    (6, "courierlocal", "id={id},from=<{user}>,addr=<{user}>,size={n},success: Message delivered."),
    (2, "courieresmtp", "id={id},from=<{user}>,addr=<{user}>: 250 2.0.0 Ok: queued as {n}"),
    (
        2,
        "courieresmtp",
        "id={id},from=<{user}>,addr=<{user}>,size={n},success: delivered: mx.example.net [{ip}]",
    ),
    (1, "courieresmtp", "id={id},from=<{user}>,addr=<{user}>: 450 4.2.0 Greylisted, please try again in {n} seconds"),
    (1, "courieresmtp", "id={id},from=<{user}>,addr=<{user}>,status: deferred"),
    (1, "courieresmtp", "id={id},from=<{user}>,addr=<{user}>,status: failure"),
    (2, "spamd[{n}]", "spamd: result: . -1 - BAYES_00,DKIM_SIGNED scantime={n},size={n},user=vmail,mid=<{id}@x>"),
    (1, "opendkim[{n}]", "{id}: DKIM verification successful"),
    (1, "freshclam[{n}]", "Received signal: wake up"),
)
_STRANGERS = (
    # What others say in Courier's words, and what a client or a sender would have taken for an error.
    ("sshd[{n}]", "Permission denied"),
    ("dovecot", "No supported cipher suites have been found."),
    ("postfix/smtpd[{n}]", "submitclient: EOF from submit."),
    ("spamd[{n}]", "couriertls: /etc/courier/imapd.pem: error:0480006C:PEM routines::no start line"),
    ("courierlocal", "id={id},from=<error:.failed@example.net>,addr=<{user}>,size={n},success: Message delivered."),
    (
        "courierlocal",
        'id={id},from=<"maildrop: Unable to change to home directory."@example.net>,addr=<{user}>,size={n},'
        "success: Message delivered.",
    ),
    (
        "courierlocal",
        'id={id},from=<"addr=<x>: Invalid user specified."@example.net>,addr=<{user}>,size={n},'
        "success: Message delivered.",
    ),
    (
        "imapd-ssl",
        "LOGIN FAILED, user=x, couriertls: /x: error:0480006C:PEM routines::no start line, ip=[{ip}]",
    ),
    ("imapd-ssl", "LOGIN, user=not found@example.net, ip=[{ip}], port=[{port}], protocol=IMAP"),
    ("courieresmtp", "id={id},from=<{user}>,addr=<{user}>: 550 5.7.1 error: cannot find failed user, access denied"),
    ("courieresmtpd", 'error,relay={ip},port={port},msg="517 Permission denied",cmd: MAIL FROM:<{user}>'),
)
_UNEXPLAINED = (
    ("imapd", "Permission denied"),
    ("authdaemond", "failed to connect to mysql server (server=localhost, userid=courier): access denied"),
    ("courierd", "Error: stuck delivery, PID {n}, sending signal 9"),
    ("imapd-ssl", "couriertls: connect: error:00000000:lib(0)::reason({n})"),
    ("courieresmtpd", "submit terminated with a non-zero exit code."),
    ("courierfilter", "Unable to start filter {n}"),
)


@dataclass(frozen=True)
class Line:
    """One line, and what its author means by it."""

    text: str
    issues: tuple[str, ...] = ()
    unexplained: bool = False


class _Details(dict):
    """What differs from line to line; each detail is drawn when a message asks for it."""

    def __init__(self, dice: random.Random):
        super().__init__()
        self.dice = dice

    def __missing__(self, name: str) -> str:
        number = self.dice.getrandbits(48)
        if name == "ip":
            return f"::ffff:198.{18 + number % 2}.{number >> 8 & 255}.{number >> 16 & 255}"
        if name == "id":
            return f"{number:016X}.{number >> 16:016X}.{number >> 36:08X}"
        return _ACCOUNTS[number % len(_ACCOUNTS)] if name == "user" else str(number % 40_000)


def lines(seed: int, entries: Mapping[str, Entry], *, known: float = 0.0075, odd: float = 0.002) -> Iterator[Line]:
    """An endless log: one half of it in the form of RFC 3164, one in that of ISO 8601, a thousand lines at a time.

    Args:
        seed: the same seed, the same log.
        entries: known problems; each of their samples is written for each of its processes.
        known: share of lines by which an issue speaks.
        odd: share of lines that only seem to be of an issue or an error; the same again of errors that nobody knows.
    """
    dice = random.Random(seed)
    details = _Details(dice)
    samples = _samples(entries.values())
    weights = [weight for weight, _, _ in _ORDINARY]
    while True:
        for form in (_RFC_3164, _ISO):
            for _, tag, message in dice.choices(_ORDINARY, weights, k=1000):
                issues, unexplained, draw = (), False, dice.random()
                if draw < known:
                    tag, message, issues = dice.choice(samples)
                    message = re.sub(r"ip=\[[^]]*\]", f"ip=[{details['ip']}]", message)
                else:
                    if draw < known + 2 * odd:
                        unexplained = draw >= known + odd
                        tag, message = dice.choice(_UNEXPLAINED if unexplained else _STRANGERS)
                    tag, message = tag.format_map(details), message.format_map(details)
                yield Line(_stamped(dice, form, tag, message), issues, unexplained)


def _samples(entries: Iterable[Entry]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Tag, message and the ids of all issues that are known to log it."""
    entries = list(entries)
    spoken = {(tag, each.sample): None for entry in entries for each in entry.issue.signatures for tag in each.process}
    return [
        (tag, sample, tuple(entry.id for entry, _ in maillog.matching(f"{tag}: {sample}", entries)))
        for tag, sample in spoken
    ]


def _stamped(dice: random.Random, form: str, tag: str, message: str) -> str:
    number, day, second, fraction = (
        dice.randint(9, 12),
        dice.randint(1, 30),
        dice.randrange(86_400),
        dice.randrange(10**6),
    )
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return form.format(
        month=_MONTHS[number], number=number, day=day, clock=clock, fraction=fraction, tag=tag, message=message
    )
