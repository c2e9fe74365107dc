"""
"Unable to change to home directory": maildrop looks for virtual users in the wrong place

## What you see

The mail log repeats this for every message to some accounts, each time with `status: deferred`, and their mail stays
in the queue:

```text
courierlocal: id=…,from=<>,addr=<carol@virt.example.test>: maildrop: Unable to change to home directory.
```

The program is called `/usr/bin/maildrop` in that line when DEFAULTDELIVERY has options after it. Where the account's
user ID has no entry in passwd at all, maildrop cannot determine its username. A home that belongs to somebody else or
is world-writable is not trusted, and that is said too.

## What it breaks

Mail to accounts whose home, as authdaemon knows it, is not the home of their user ID in passwd: virtual users. It is
deferred, and bounces when it has been in the queue for `queuetime` (a week by default). If passwd's home exists and
belongs to that user ID, it is worse: the mail of all these accounts is delivered there, without a word.

System users are affected only if their home belongs to somebody else or is world-writable; that is repaired with
`chown` and `chmod o-w`, and not by changing the delivery. Not affected at all are accounts for which authdaemon knows
a Maildir (`mail=` in userdb, the maildir column of an SQL table): Courier delivers to those by itself, without
DEFAULTDELIVERY.

## Check by hand

The problem is there if all three commands say so:

* DEFAULTDELIVERY runs maildrop with neither `-d` nor the name of a filter file. On a host that needs no maildrop it
  says `./Maildir`.
* maildrop is the separate package: `Courier Authentication Library extension enabled.` Courier's own build says
  `Courier-specific maildrop build`, and has no such problem.
* The last command lists accounts whose home is not the one that passwd has for their user ID; `none` stands for a user
  ID that passwd does not have. A healthy host prints nothing, however it delivers.

Accounts for which authdaemon knows a Maildir are left out of that list, because they do not need DEFAULTDELIVERY.
A home that maildrop does not trust is not in it either: `ls -ld /home/alice` shows whose it is, and its mode.

## Fix by hand

Choose one of three strategies. Keep a copy first: `cp -p /etc/courier/courierd /root/courierd.before`.

| strategy | filters | what else |
| --- | --- | --- |
| `maildir` | not used any more | Courier delivers by itself |
| `mailfilter` | those of accounts that have one | the others get their mail in the Maildir |
| `authdaemon` | all | authdaemon's socket must be open to every local user |

The quickest way to get mail moving is `maildir`. First look at the whole value:

```console
# grep -n -A2 '^DEFAULTDELIVERY' /etc/courier/courierd
```

If its closing quote is on another line, edit the file by hand: `sed` would leave the other lines behind. For a value
of one line:

```console
# sed -i 's,^DEFAULTDELIVERY=.*,DEFAULTDELIVERY=./Maildir,' /etc/courier/courierd
# sh -n /etc/courier/courierd
# systemctl restart courier
# courier flush
```

`sh -n` prints nothing if the file is sound.

`courier.ensure_maildrop strategy=mailfilter` writes the script `/etc/courier/deliver-mailfilter` and this, and
restarts Courier:

```text
DEFAULTDELIVERY="| /bin/sh /etc/courier/deliver-mailfilter
./Maildir"
```

The script calls maildrop with the home that Courier gives it, keeps `Delivered-To:` and `Return-Path:`, reads
`/etc/maildroprc` if that holds more than comments, and ends with 99, so that Courier does not go on to `./Maildir`.
It asks nothing of authdaemon. A user ID without a passwd entry does not work with it.

For `authdaemon` the line is

```text
DEFAULTDELIVERY='| /usr/bin/maildrop -A "$DTLINE" -A "$RPLINE" -f "$SENDER" -a -d "$USER"'
```

and `/run/courier/authdaemon` must let others in, or everybody's mail is deferred:

```console
# echo 'z /run/courier/authdaemon 0751 - - -' > /etc/tmpfiles.d/00-courier-authdaemon-socket.conf
# chmod 0751 /run/courier/authdaemon
# sed -i 's/^#DEFAULT=/DEFAULT=/' /etc/maildroprc
# sh -n /etc/courier/courierd
# systemctl restart courier
# courier flush
```

**Any local user can then read password hashes**: `authtest alice` prints the one of `/etc/shadow`, for every system
user, and what the database has for virtual users. Who has broken into a web application can do that too; see
`authdaemon-socket-open`. `mailfilter` does without. Salt does this only with `allow=open-authdaemon-socket`. `DEFAULT`
is needed because maildrop otherwise delivers to `/var/mail`.

Do not use `-d "${RECIPIENT}"`, which Debian recommended: a system user's recipient is `alice@mx1.example.test`, which
no account is called, so system users' mail bounces.

An account that has no Maildir gets a mailbox *file* called `Maildir` from Courier. Make Maildirs first
(`maildirmake.courier`, as that user). Where such an account has mail in `/var/mail`, Salt goes ahead only with
`allow=no-maildir`.

## Undo

By hand, for every strategy:

```console
# cp -p /root/courierd.before /etc/courier/courierd
# systemctl restart courier
```

After `mailfilter` nothing uses `/etc/courier/deliver-mailfilter` any more: remove it. After `authdaemon` close the
socket again, and make `DEFAULT` a comment if it was one:

```console
# rm /etc/tmpfiles.d/00-courier-authdaemon-socket.conf
# chmod 0750 /run/courier/authdaemon
# sed -i 's/^DEFAULT=/#DEFAULT=/' /etc/maildroprc
```

## How to see that it worked

```console
# courier flush; sleep 3; journalctl -q -t courierlocal -o cat --since -4s
id=…,from=<alice@mx1.example.test>,addr=<carol@virt.example.test>,size=345,success: Message delivered.
# ls /srv/mail/carol/Maildir/new
1795367327.M577352P744V000000000000007EI00000000001DC7F1_1.mx1,S=2356
# mailq | tail -1
   0 messages.
```

If SMTP still answers `456 Address temporarily unavailable.`, Courier remembers the failed deliveries for up to two
hours: `courier show all` lists such addresses, `courier clear all` forgets them.

## Why it happens

Since 0.76, Debian's package uses the separate maildrop package. That build ignores the environment. Without `-d` it
takes user and home from passwd, by the user ID it runs as, and virtual users share one user ID whose home is somebody
else's or does not exist. Courier's own build takes `HOME` from Courier and is not affected.
"""

from collections.abc import Iterator

from courierlib import delivery
from courierlib.delivery import MaildropRun
from courierlib.host import Account, Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Upgrade
from courierlib.plan import Action

ISSUE = Issue(
    id="maildrop-home-directory",
    component="delivery",
    severity=Severity.CRITICAL,
    affects=Affects(since="0.76", packaging="debian"),
    interrupts="delivery, for the second in which courierd is restarted; mail that arrives meanwhile waits",
    choices={"strategy": delivery.STRATEGIES},
    allows=(delivery.OPEN_SOCKET, delivery.NO_MAILDIR),
    look=(
        "grep -A2 '^DEFAULTDELIVERY' /etc/courier/courierd",
        "maildrop -v | grep Courier",
        'authenumerate | awk -F\'\\t\' \'$5 == "" {home = "none"; getent = "getent passwd " $2 " | cut -d: -f6"; '
        'getent | getline home; close(getent); if (home != $4) print $1 ": " $4 ", in passwd " home}\' | head -5',
    ),
    tell="The log says `status: deferred`, and DEFAULTDELIVERY runs maildrop without `-d`; with `-d` it is "
    "`maildrop-bounces-virtual-users`.",
    alike=("maildrop-bounces-virtual-users", "maildrop-spool-delivery"),
    bites=("maildrop",),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="If DEFAULTDELIVERY runs maildrop, choose a strategy of `courier.ensure_maildrop`: the separate "
            "maildrop package takes an account's home from passwd.",
        ),
    ),
    known=(
        "run: trixie, Courier 1.4.1, maildrop 3.1.8",
        "run: bookworm, Courier 1.0.16, maildrop 2.9.3",
        "run: forky, Courier 2.0.6, maildrop 4.0.4",
        "read: debian/courier-maildrop.templates, 0.76.1, as blankon-packages/courier has it: "
        "courier-maildrop gives way to the separate package",
        "read: libs/maildrop/main.C, 1.4.1: Courier's own build takes the home from Courier instead",
    ),
    signatures=(
        Signature(
            process=("courierlocal",),
            pattern=r"maildrop: Unable to change to home directory\.$",
            sample="id=00000000001B0437.000000006B031E06.000002CD,from=<>,addr=<carol@virt.example.test>: "
            "maildrop: Unable to change to home directory.",
            known="run: trixie, 1.4.1; bookworm, 1.0.16; forky, 2.0.6",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"maildrop: Cannot determine my username\.$",
            sample="id=00000000001DC7A0.000000006B0325BF.00000262,from=<s@client.example.test>,"
            "addr=<zoe@virt.example.test>: maildrop: Cannot determine my username.",
            known="run: trixie, 1.4.1; bookworm, 1.0.16; forky, 2.0.6",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"maildrop: Home directory owned by wrong user\.$",
            sample="id=00000000001DC7A8.000000006B0325C1.0000027A,from=<s@client.example.test>,"
            "addr=<alice@mx1.example.test>: maildrop: Home directory owned by wrong user.",
            known="run: trixie, 1.4.1; bookworm, 1.0.16; forky, 2.0.6",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"maildrop: Invalid home directory permissions - world writable\.$",
            sample="id=00000000001DC713.000000006B0325C0.0000026E,from=<s@client.example.test>,"
            "addr=<alice@mx1.example.test>: maildrop: Invalid home directory permissions - world writable.",
            known="run: trixie, 1.4.1; bookworm, 1.0.16; forky, 2.0.6",
        ),
    ),
    references=("https://www.courier-mta.org/maildrop/maildrop.html",),
    fixed_by="courier.ensure_maildrop",
)


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if maildrop does not find some account's home, or does not trust it."""
    runs = delivery.maildrop_runs(host)
    if not runs:
        return
    accounts = delivery.concerned(host)
    stranded = {account: reason for account in accounts if (reason := _stranded(host, account, runs))}
    if stranded:
        first = min(stranded, key=lambda account: ("@" not in account.name, account.name))
        yield Finding(
            where=delivery.where(host),
            detail=f"{host.default_delivery}: fails for {delivery.listed(list(stranded))} ({stranded[first]})",
        )
    mistrusted = {account: reason for account in accounts if (reason := _mistrusted(host, account, runs))}
    for account, reason in mistrusted.items():
        if account not in stranded:
            yield Finding(where=account.home, detail=f"{reason}: maildrop defers the mail", fixable=False)
    if not stranded and not mistrusted:
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


def _stranded(host: Host, account: Account, runs: tuple[MaildropRun, ...]) -> str:
    """Why maildrop does not find this account's home; empty if it does.

    Not looked up with ``-d``, the account is the passwd entry of its user ID; named a filter file, maildrop needs no
    more than that entry's name (read: run() in libs/maildrop/main.C, 1.4.1).
    """
    if not delivery.is_standalone(host) or all(run.recipient for run in runs):
        return ""
    user = host.user(account.uid)
    if user is None:
        return f"uid {account.uid} has no passwd entry"
    if user.home.rstrip("/") != account.home.rstrip("/") and any(not run.recipient + run.filter for run in runs):
        return _elsewhere(host, account, user.home)
    return ""


def _mistrusted(host: Host, account: Account, runs: tuple[MaildropRun, ...]) -> str:
    """Why maildrop, in delivery mode, refuses this account's home; empty if it does not."""
    if all(run.filter for run in runs) or not delivery.has_maildir(host, account):
        return ""
    home = host.stat(account.home)
    if home and home.uid != account.uid:
        return f"belongs to uid {home.uid}, not to {account.name} (uid {account.uid})"
    return "is world-writable" if home and home.mode & 0o002 else ""


def _elsewhere(host: Host, account: Account, home: str) -> str:
    there = host.stat(home) if home.startswith("/") else None
    if there and there.uid == account.uid:
        return f"home {account.home}, but mail goes to {home}"
    return f"home {account.home}, passwd has {home}{'' if there else ', which does not exist'}"
