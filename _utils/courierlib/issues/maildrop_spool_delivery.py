"""
"Message delivered", but the Maildir stays empty: maildrop delivers to /var/mail

## What you see

Users see no new mail over IMAP or POP3, and the log says that all is well:

```text
courierlocal: id=…,from=<>,addr=<alice@mx1.example.test>,size=345,success: Message delivered.
```

## What it breaks

Mail goes into `/var/mail/NAME`, which Courier's IMAP and POP3 servers never read. Nothing is lost, but nobody sees
it. The sender gets no bounce.

Where maildrop has looked the account up (`-d`, and authdaemon answered), it may not write to `/var/mail` at all. Mail
is then deferred, and the log does say so: `Unable to create a dot-lock`.

## Check by hand

The problem is there if DEFAULTDELIVERY runs maildrop and every line with `DEFAULT` in `/etc/maildroprc` is a comment.
Then `find` lists the mailboxes in `/var/mail` that hold mail, while the Maildirs stay empty (`ls
/home/alice/Maildir/new`).

A healthy host has `DEFAULTDELIVERY=./Maildir`, or a `DEFAULT` in force. Mailboxes in `/var/mail` that do not grow any
more are left from earlier.

## Fix by hand

Deliver to the Maildir without maildrop. Keep a copy, and look at the whole value:

```console
# cp -p /etc/courier/courierd /root/courierd.before
# grep -n -A2 '^DEFAULTDELIVERY' /etc/courier/courierd
```

If its closing quote is on another line, edit the file by hand: `sed` would leave the other lines behind. For a value
of one line:

```console
# sed -i 's,^DEFAULTDELIVERY=.*,DEFAULTDELIVERY=./Maildir,' /etc/courier/courierd
# sh -n /etc/courier/courierd
# systemctl restart courier
```

`sh -n` prints nothing if the file is sound.

Or keep maildrop, and tell it where the mail belongs. That is enough only if every account that DEFAULTDELIVERY
concerns is a system user:

```console
# sed -i 's/^#DEFAULT=/DEFAULT=/' /etc/maildroprc
```

`courier.ensure_maildrop` knows three strategies, `maildir`, `mailfilter` and `authdaemon`; the article
`maildrop-home-directory` describes them. Where `authdaemon` needs `allow=open-authdaemon-socket`, every local user can
read the password hashes of all accounts afterwards, those in `/etc/shadow` too.

The mail that lies in `/var/mail` stays there. Bring it into the Maildir, as the user it belongs to, when nothing is
delivered to `/var/mail` any more:

```console
# su alice -s /bin/sh -c 'cd; umask 077; reformail -s sh -c "reformail -f0 | deliverquota ./Maildir" < /var/mail/alice'
# ls /home/alice/Maildir/new
```

Compare the number of messages (`grep -c '^From ' /var/mail/alice`) before you remove the old file.

## Undo

```console
# cp -p /root/courierd.before /etc/courier/courierd
# systemctl restart courier
```

Where you changed `/etc/maildroprc` instead, which needs no restart:

```console
# sed -i 's/^DEFAULT=/#DEFAULT=/' /etc/maildroprc
```

What another strategy has changed is in the article `maildrop-home-directory`. Mail that was brought into the Maildir
stays there.

## How to see that it worked

```console
# printf 'Subject: test\\n\\ntest\\n' | sendmail -f '' alice@mx1.example.test
# sleep 2; ls /home/alice/Maildir/new
1795367251.M368811P1516V000000000000007EI00000000001DC151_1.mx1,S=323
```

## Why it happens

Courier's own build of maildrop delivers to `MAILDROPDEFAULT`, which courierd sets to `./Maildir`. The separate
maildrop package, which Debian uses since 0.76, ignores that. Its default is the system mailbox, `/var/mail/NAME`,
unless `/etc/maildroprc` or the account's `.mailfilter` sets `DEFAULT`. `/etc/courier/maildroprc`, where it was set
before, is no longer read. A maildrop that is given a filter file, `maildrop "$HOME/.mailfilter"`, does not read
`/etc/maildroprc` either, and delivers to `/var/mail` whatever the filter leaves over.
"""

import re
from collections.abc import Iterator

from courierlib import delivery
from courierlib.host import Account, Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action

ISSUE = Issue(
    id="maildrop-spool-delivery",
    component="delivery",
    severity=Severity.CRITICAL,
    affects=Affects(since="0.76", packaging="debian"),
    interrupts="delivery, for the second in which courierd is restarted; mail that arrives meanwhile waits",
    choices={"strategy": delivery.STRATEGIES},
    allows=(delivery.OPEN_SOCKET, delivery.NO_MAILDIR),
    look=(
        "grep -A2 '^DEFAULTDELIVERY' /etc/courier/courierd",
        "grep -n DEFAULT /etc/maildroprc",
        "find /var/mail -type f -size +0 -printf '%s bytes in %p\\n' | head -5",
    ),
    tell="The log says `success: Message delivered.`, and a mailbox in `/var/mail` grows.",
    alike=("courierd-not-running", "defaultdelivery-in-wrong-file", "maildrop-home-directory"),
    bites=("maildrop", "maildir"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="If DEFAULTDELIVERY runs maildrop, set `DEFAULT` in `/etc/maildroprc`, because "
            "`/etc/courier/maildroprc` is not read any more, or choose a strategy of `courier.ensure_maildrop`.",
        ),
    ),
    known=(
        "run: trixie, Courier 1.4.1, maildrop 3.1.8",
        "run: bookworm, Courier 1.0.16, maildrop 2.9.3",
        "run: forky, Courier 2.0.6, maildrop 4.0.4",
        "read: debian/courier-maildrop.templates, 0.76.1, as blankon-packages/courier has it: "
        "the site's filter moves to /etc/maildroprc",
        "read: libs/maildrop/main.C, 1.4.1: Courier's own build delivers into MAILDROPDEFAULT instead",
    ),
    signatures=(
        Signature(
            process=("courierlocal",),
            pattern=r"maildrop: Unable to create a dot-lock at /var/mail/[^\s<>]+$",
            sample="id=00000000001DC7AD.000000006B0325C5.000002FD,from=<s@client.example.test>,"
            "addr=<carol@virt.example.test>: /usr/bin/maildrop: Unable to create a dot-lock at /var/mail/770.0.mx1.",
            known="run: trixie, 1.4.1; bookworm, 1.0.16; forky, 2.0.6: only if authdaemon answered",
        ),
    ),
    references=("https://www.courier-mta.org/maildrop/maildroprc.html",),
    fixed_by="courier.ensure_maildrop",
)

_SPOOLS = ("/var/mail", "/var/spool/mail")


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if maildrop puts the mail of accounts that have a Maildir into the spool."""
    runs = delivery.maildrop_runs(host)
    if not runs or not delivery.is_standalone(host):
        return
    # Named a filter file, maildrop does not read the site's filter.
    default = "" if any(run.filter for run in runs) else delivery.default_mailbox(host)
    if default and not default.startswith(_SPOOLS):
        return
    looked_up = any(run.recipient for run in runs)
    accounts = delivery.concerned(host)
    unseen = [account for account in accounts if _is_unseen(host, account, looked_up)]
    if unseen:
        spools = [f"{size} bytes in /var/mail/{each.name}" for each in unseen if (size := delivery.spool(host, each))]
        evidence = f" ({', '.join(spools[:3])}{', …' if len(spools) > 3 else ''})" if spools else ""
        yield Finding(
            where=delivery.where(host),
            detail=f"{host.default_delivery}: mail goes to /var/mail, not to the Maildir, for "
            f"{delivery.listed(unseen)}{evidence}",
        )
    elif host.system is None and (absent := [each for each in accounts if not host.exists(each.home)]):
        raise Unknown(f"the homes of {delivery.listed(absent)} are not in {host.root}")
    else:
        delivery.require_all_accounts(host)


def fix(host: Host, findings: list[Finding], *, strategy: str = "") -> Iterator[Action]:
    """Yield what replaces DEFAULTDELIVERY.

    Args:
        strategy: ``maildir``, ``mailfilter`` or ``authdaemon``; there is no default.

    Raises:
        ValueError: another strategy.
    """
    del findings
    yield from delivery.repair(host, strategy)


def _is_unseen(host: Host, account: Account, looked_up: bool) -> bool:
    user = host.user(account.uid)
    if not looked_up and (user is None or user.home.rstrip("/") != account.home.rstrip("/")):
        # maildrop does not even get to its home: another problem.
        return False
    return delivery.has_maildir(host, account) and not _names_its_mailbox(host, account)


def _names_its_mailbox(host: Host, account: Account) -> bool:
    """Whether the account's own filter says where mail goes."""
    path = f"{account.home}/.mailfilter"
    if not host.exists(path):
        return False
    try:
        text = host.read(path)
    except Unknown:
        return False
    return bool(re.search(rb"^[ \t]*(DEFAULT[ \t]*=|to[ \t])", text, re.MULTILINE))
