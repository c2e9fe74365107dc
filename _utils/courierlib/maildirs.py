"""The Maildirs of a host's mail accounts: what one pass over all of them tells, for every check that looks at them."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from courierlib import delivery
from courierlib.host import Account, Host
from courierlib.issue import Unknown
from courierlib.tree import FileStat, Unreadable

MAX_ACCOUNTS = 5_000
"""Accounts looked at in one run."""
PARTS = ("cur", "new", "tmp")


@dataclass(frozen=True)
class Mailbox:
    """One account and the Maildir that Courier uses for it.

    Args:
        path: of the Maildir.
        given: the path comes from authlib, not from Courier's default.
        home: names in the account's home; None if there is no such directory.
        found: owner and kind of what is at the path, a link at the end followed; None if there is nothing.
        names: what the Maildir contains.
    """

    account: Account
    path: str
    given: bool
    home: Collection[str] | None
    found: FileStat | None
    names: Collection[str]

    @property
    def is_maildir(self) -> bool:
        """Whether there is a directory, whatever it contains."""
        return self.found is not None and self.found.kind == "dir"

    @property
    def owner(self) -> tuple[int, int]:
        """The ids that Courier's servers run with for this account."""
        return self.account.uid, self.account.gid


@dataclass(frozen=True)
class Survey:
    """What the pass has seen.

    Args:
        left_out: why accounts are missing in it; empty if none are.
    """

    mailboxes: tuple[Mailbox, ...]
    left_out: str

    @cached_property
    def distinct(self) -> tuple[Mailbox, ...]:
        """The mailboxes with a Maildir each of their own: where accounts share one, the first of them."""
        return tuple({box.path: box for box in reversed(self.mailboxes) if box.path}.values())[::-1]

    def is_disputed(self, box: Mailbox) -> bool:
        """Whether accounts with other ids use the same Maildir, so that nobody can say whose it should be."""
        return len(self._owners[box.path]) > 1

    @cached_property
    def _owners(self) -> Mapping[str, Collection[tuple[int, int]]]:
        owners: dict[str, set[tuple[int, int]]] = {}
        for box in self.mailboxes:
            owners.setdefault(box.path, set()).add(box.owner)
        return owners

    def unknown(self) -> Iterator[Unknown]:
        """What a check has to say of accounts that were not looked at."""
        if self.left_out:
            yield Unknown(self.left_out)


def survey(host: Host) -> Survey:
    """The mail accounts and their Maildirs; read it with ``host.once(survey)``.

    Raises:
        Unknown: the accounts cannot be known, or where their Maildirs are.
    """
    if not host.installed or not {"mta", "imap", "pop"}.intersection(host.components):
        return Survey((), "")
    system = host.once(system_names)
    accounts = [account for account in delivery.known_accounts(host) if is_mail_account(account, system)]
    default, names = default_path(host), _Names(host)
    mailboxes = tuple(_mailbox(host, account, default, names) for account in accounts[:MAX_ACCOUNTS])
    return Survey(mailboxes, _left_out(host, len(accounts), mailboxes))


def is_mail_account(account: Account, system: Collection[str]) -> bool:
    """Whether somebody reads mail there: authpam lists every entry of passwd, daemons too.

    Args:
        system: names in the system's user database.
    """
    if not account.home.startswith("/") and not account.maildir.startswith("/"):
        return False
    return bool(account.maildir) or account.name not in system or 1000 <= account.uid < 65534


def system_names(host: Host) -> frozenset[str]:
    """Names in the system's user database; read it with ``host.once(system_names)``."""
    return frozenset(user.name for user in host.users)


def default_path(host: Host) -> str:
    """Where the Maildir of an account is for which authlib gives none, relative to its home; empty if not known.

    The servers take MAILDIRPATH, else ./Maildir (read: imapd.rc.in, imaplogin.c, imapd.c, pop3login.c,
    pop3dserver.c, 1.4.1). Without them, it is where DEFAULTDELIVERY delivers to.

    Raises:
        Unknown: the setting is computed by the shell.
    """
    for component, name in (("imap", "imapd"), ("pop", "pop3d")):
        if component in host.components:
            return host.settings(name).get("MAILDIRPATH") or "Maildir"
    delivered = (step.text for step in delivery.parse(host.default_delivery) if step.kind == "mailbox")
    return next(delivered, "")


class _Names:
    """Names in directories; accounts may share a home."""

    def __init__(self, host: Host):
        self._host = host
        self._known: dict[str, Collection[str] | None] = {}

    def of(self, directory: str) -> Collection[str] | None:
        """None if it is no directory, or must not be read."""
        if directory not in self._known:
            try:
                # Nothing in it, and nothing there, look alike.
                names = self._host.listdir(directory)
                self._known[directory] = names if names or self._host.exists(directory) else None
            except Unreadable:
                self._known[directory] = None
        return self._known[directory]


def _mailbox(host: Host, account: Account, default: str, names: _Names) -> Mailbox:
    home = names.of(account.home) if account.home.startswith("/") else None
    if not account.maildir and not default:
        return Mailbox(account, "", False, home, None, ())
    path = posixpath.join(account.home, account.maildir or default)
    if "//" in path or "/." in path or path[-1] == "/":
        path = posixpath.normpath(path)
    try:
        found = host.stat(path)
    except Unreadable:
        found = None
    inside = names.of(path) if found and found.kind == "dir" else None
    return Mailbox(account, path, bool(account.maildir), home, found, inside or ())


def _left_out(host: Host, accounts: int, mailboxes: Collection[Mailbox]) -> str:
    if accounts > MAX_ACCOUNTS:
        return f"only the first {MAX_ACCOUNTS} of {accounts} accounts were looked at"
    if mailboxes and host.system is None and all(box.home is None and box.found is None for box in mailboxes):
        return f"homes: none of {len(mailboxes)} is in {host.root}"
    try:
        delivery.require_all_accounts(host)
    except Unknown as unknown:
        return unknown.reason
    return ""
