"""The vocabulary: what an issue is made of, and what a check can say."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Severity(enum.IntEnum):
    """How bad a finding is; ordered, so that severities compare."""

    LOW = 1  # advice
    MEDIUM = 2  # degraded
    HIGH = 3  # TLS or logins stop, or a hole
    CRITICAL = 4  # mail is lost or stopped

    @property
    def word(self) -> str:
        """The name as it stands in reports and arguments."""
        return self.name.lower()


BY_TLS = r"^(ip=\[[^\]]*\], |courier )?"
"""What stands before a message of couriertls; read: ssl_errmsg() in libs/tcpd/starttls.c, 1.4.1.

A pattern that begins with it does not match what a client chose, such as a user name, in another message.
"""


@dataclass(frozen=True)
class Signature:
    """One line by which an issue speaks in the mail log.

    Args:
        process: tags of the processes that log it, as syslog shows them.
        pattern: regular expression for the message after the tag, in the common subset of Python, JavaScript and RE2.
        sample: a real message that the pattern matches.
        known: how the line is known: ``run: host``, ``read: file, version`` or ``reported: link``.
        tls: generation of the TLS library that words it so: ``OpenSSL 1.0``, ``OpenSSL 1.1``, ``OpenSSL 3``,
            ``GnuTLS``; empty if Courier itself does.
    """

    process: tuple[str, ...]
    pattern: str
    sample: str
    known: str
    tls: str = ""


@dataclass(frozen=True)
class Affects:
    """Which builds an issue can occur on; empty means any.

    Args:
        tls: ``openssl`` or ``gnutls``, the library that couriertls is linked with.
        since: first affected Courier version.
        until: first version that is no longer affected.
        packaging: ``debian`` or ``upstream``.
    """

    tls: str = ""
    since: str = ""
    until: str = ""
    packaging: str = ""


@dataclass(frozen=True)
class Upgrade:
    """A version whose crossing makes an issue bite.

    Args:
        version: first Courier version on the far side.
        act: ``before`` or ``after`` the packages are upgraded.
        step: what to do then, one sentence in Markdown.
        packaging: ``debian`` or ``upstream``; empty for both.
    """

    version: str
    act: str
    step: str
    packaging: str = ""


@dataclass(frozen=True)
class Issue:
    """What a program needs to know of an issue; the article is the docstring of the issue's module.

    Args:
        id: address of the article; never reused.
        component: ``mta``, ``delivery``, ``tls``, ``services``, ``auth``.
        logged: its lines in the log, which no other issue shares, are a finding, for a day.
        severity: of a finding that does not set its own.
        affects: data for the matrix and the upgrade guide.
        interrupts: what the fix interrupts.
        known: how the failure itself is known, one line for each piece of evidence.
        signatures: lines of the mail log; empty if it says nothing there.
        references: links.
        fixed_by: name of the function that repairs it, if not ``courier.fix ID``.
        choices: options that the repair offers, and their values.
        allows: words that ``allow=`` may name for actions of the repair.
        look: shell commands that only read, and by whose output the issue is seen; the real-host tests record it.
        tell: how to tell the issue from others that look alike; one sentence in Markdown.
        alike: ids of issues that look alike without sharing a log line.
        bites: where in the mail flow it bites, from ``mailflow.PLACES``.
        upgrades: versions whose crossing makes it bite.
        formerly: ids that it once had; their addresses lead here.
    """

    id: str
    component: str
    severity: Severity
    affects: Affects
    interrupts: str
    known: tuple[str, ...]
    signatures: tuple[Signature, ...] = ()
    references: tuple[str, ...] = ()
    fixed_by: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    allows: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    tell: str = ""
    alike: tuple[str, ...] = ()
    bites: tuple[str, ...] = ()
    upgrades: tuple[Upgrade, ...] = ()
    formerly: tuple[str, ...] = ()
    logged: bool = False


@dataclass(frozen=True)
class Finding:
    """One place where an issue was found.

    Args:
        where: file, unit, process or setting.
        detail: what is wrong there, with the measured value; no secret.
        severity: of this finding, where it differs from the issue's.
        fixable: False where the issue's fix cannot repair this one.
        subject: what the fix needs to know beyond ``where``; never reported.
    """

    where: str
    detail: str
    severity: Severity | None = None
    fixable: bool = True
    subject: object = None


class Unknown(Exception):
    """Something could not be looked at, and why.

    Facts raise it; a check may also yield it for one thing among several.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason
