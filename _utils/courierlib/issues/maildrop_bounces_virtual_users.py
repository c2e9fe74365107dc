"""
maildrop -d: mail bounces with "Invalid user specified" when authdaemon cannot be asked

## What you see

Senders get their mail back, `NOTICE: mail delivery status.`, with this in it, and the log has it too:

```text
courierlocal: id=…,addr=<carol@virt.example.test>: Invalid user specified.
```

In the log the line before it may blame authdaemon, and the line after it says `status: failure`. The next message to
the same address is refused at once, with `556 Address unavailable.`

With `-a` in the line, maildrop says `Temporary authentication failure.` instead, and the status is `deferred`:
nothing is lost yet.

## What it breaks

| line | system users | virtual users, authdaemon's socket closed (the default) | virtual users, socket open |
| --- | --- | --- | --- |
| `-d "${RECIPIENT}"` | bounces | bounces | arrives; bounces while authdaemon restarts |
| `-a -d "${RECIPIENT}"` | waits while the socket is closed, bounces when it is open | waits | arrives |
| `-d "$USER"` | arrives | bounces | arrives; bounces while authdaemon restarts |
| `-a -d "$USER"` | waits while the socket is closed, arrives when it is open | waits | arrives |

"Arrives" supposes that maildrop knows the Maildir: see the article `maildrop-spool-delivery`. What waits bounces
after `queuetime`, a week by default. Accounts for which authdaemon knows a Maildir (`mail=`) are not affected:
Courier delivers to them without DEFAULTDELIVERY.

## Check by hand

Without `-d` in the first line this is not your problem. With `-d`, the table above says whom it hits: look for `-a`,
for the name after `-d`, and at the mode of the socket's directory.

`drwxr-x---` says that authdaemon's socket is closed to all but the group courier. That is the default, and right.
`drwxr-x--x` is open.

The last command lists the addresses that have bounced or failed lately. A healthy host prints nothing.

What maildrop does with one account can be tried, as the account's own user and group; an empty message is delivered
if it works:

```console
# setpriv --reuid vmail --regid vmail --clear-groups maildrop -d carol@virt.example.test </dev/null; echo $?
ERR: authdaemon: s_connect() failed: Permission denied
Invalid user specified.
67
```

67 is a bounce, 75 a deferral, 0 a delivery.

## Fix by hand

Stop the bounces first: deliver to every account's Maildir, without maildrop. Keep a copy, and look at the whole value:

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
# courier clear all
```

`sh -n` prints nothing if the file is sound.

`courier clear all` is needed: Courier refuses an address for up to two hours after a bounce.

To keep filters, choose a strategy of `courier.ensure_maildrop`; the article `maildrop-home-directory` describes all
three.

| strategy | filters | needs authdaemon |
| --- | --- | --- |
| `maildir` | not used | no |
| `mailfilter` | those of accounts that have a `.mailfilter` | no |
| `authdaemon` | all | yes, with its socket open: `allow=open-authdaemon-socket` |

`strategy=authdaemon` without that `allow` still writes the safe line, `-a -d "$USER"`: mail then waits instead of
bouncing.

With the socket open, every local user, a web application too, can read password hashes: those of system users from
`/etc/shadow` and those of virtual users. See `authdaemon-socket-open`.

## Undo

```console
# cp -p /root/courierd.before /etc/courier/courierd
# systemctl restart courier
```

What else a strategy has changed, and how to take that back, is in the article `maildrop-home-directory`.

## How to see that it worked

Send a message to one system user and one virtual user, and look at the log:

```console
# printf 'Subject: test\\n\\ntest\\n' | sendmail -f '' alice@mx1.example.test
# printf 'Subject: test\\n\\ntest\\n' | sendmail -f '' carol@virt.example.test
# journalctl -q -t courierlocal -o cat --since -5s
id=…,from=<>,addr=<alice@mx1.example.test>,size=345,success: Message delivered.
id=…,from=<>,addr=<carol@virt.example.test>,size=345,success: Message delivered.
# courier show all
```

The last command prints nothing. What has bounced before is gone: its senders have been told.

## Why it happens

`-d NAME` makes maildrop ask authdaemon for the account. Local delivery runs as the recipient's user, and
`/run/courier/authdaemon` lets only the group courier in. maildrop without `-a` takes any failure for "no such account
there", looks into passwd, finds no such user either, and ends with 67, which Courier turns into a bounce. `-a` makes
it end with 75.

`${RECIPIENT}` is the address after aliases and rewriting, and always has a domain. An account in passwd is called
`alice`, not `alice@mx1.example.test`, so this lookup fails for every system user, whoever is asked. `$USER` is the
account's name as authdaemon gave it to Courier.
"""

from collections.abc import Iterator

from courierlib import delivery
from courierlib.delivery import MaildropRun
from courierlib.host import Account, Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action

ISSUE = Issue(
    id="maildrop-bounces-virtual-users",
    component="delivery",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="delivery, for the second in which courierd is restarted; mail that arrives meanwhile waits",
    choices={"strategy": delivery.STRATEGIES},
    allows=(delivery.OPEN_SOCKET, delivery.NO_MAILDIR),
    look=(
        "grep -A2 '^DEFAULTDELIVERY' /etc/courier/courierd",
        "stat -c '%A %U:%G %n' /run/courier/authdaemon",
        "courier show all",
    ),
    tell="DEFAULTDELIVERY runs maildrop with `-d`, and the log says `status: failure` or `Temporary authentication "
    "failure.`",
    alike=("maildrop-home-directory", "maildrop-spool-delivery"),
    bites=("maildrop", "authdaemond"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step='Do not follow the note of Debian\'s package: leave `-d "${RECIPIENT}"` out of DEFAULTDELIVERY.',
        ),
    ),
    known=(
        "run: trixie, Courier 1.4.1, maildrop 3.1.8",
        "run: bookworm, Courier 1.0.16, maildrop 2.9.3",
        "run: forky, Courier 2.0.6, maildrop 4.0.4",
        "read: libs/maildrop/main.C, 1.4.1: without -a, an authdaemon that does not answer counts as no such user; "
        "Courier's own build is no exception",
        "read: debian/courier-maildrop.templates, 0.76.1, as blankon-packages/courier has it: recommends "
        '-d "${RECIPIENT}"',
    ),
    signatures=(
        Signature(
            process=("courierlocal",),
            pattern=r"addr=<[^<>]*>: Invalid user specified\.$",
            sample="id=00000000001CA8B2.000000006B031ED5.000002E9,from=<s@client.example.test>,"
            "addr=<carol@virt.example.test>: Invalid user specified.",
            known="run: trixie, 1.4.1",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"addr=<[^<>]*>: ERR: authdaemon: s_connect\(\) failed: Permission denied$",
            sample="id=00000000001CA8B2.000000006B031ED5.000002E9,from=<s@client.example.test>,"
            "addr=<carol@virt.example.test>: ERR: authdaemon: s_connect() failed: Permission denied",
            known="run: trixie, 1.4.1",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"maildrop: Temporary authentication failure\.$",
            sample="id=00000000001CA1FB.000000006B031EEA.0000041D,from=<s@client.example.test>,"
            "addr=<dora@virt.example.test>: /usr/bin/maildrop: Temporary authentication failure.",
            known="run: trixie, 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/maildrop/INSTALL.html",),
    fixed_by="courier.ensure_maildrop",
)

_FATES = {
    "bounces": ("mail bounces at once", Severity.CRITICAL),
    "waits": ("mail waits until it bounces", Severity.CRITICAL),
    "may bounce": ("mail bounces whenever authdaemon does not answer", Severity.HIGH),
}
"""What happens to mail, the worst first."""


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if maildrop looks accounts up (``-d``) in a way that fails for some of them."""
    runs = [run for run in delivery.maildrop_runs(host) if run.recipient]
    found = [finding for run in runs if (finding := _worst(host, run))]
    yield from found
    if runs and not found:
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


def _worst(host: Host, run: MaildropRun) -> Finding | None:
    fates = [(_fate(host, run, account), account) for account in delivery.concerned(host)]
    worst = next((fate for fate in _FATES if any(met == fate for met, _ in fates)), None)
    if worst is None:
        return None
    words, severity = _FATES[worst]
    struck = delivery.listed([account for met, account in fates if met == worst])
    detail = f"{host.default_delivery}: {words} for {struck}"
    return Finding(where=delivery.where(host), detail=detail, severity=severity)


def _fate(host: Host, run: MaildropRun, account: Account) -> str:
    """What happens to this account's mail; empty if it arrives.

    Authlib is asked first, then passwd; no such user is exit status 67, a bounce (read: run() in libs/maildrop/main.C,
    1.4.1; run: trixie).
    """
    asked = _asked_for(run, account)
    if asked == account.name and host.named_user(asked):
        return "waits" if run.defers and delivery.socket_refuses(host, account) else ""
    if not run.defers:
        if asked != account.name or delivery.socket_refuses(host, account):
            return "bounces"
        return "may bounce"
    if delivery.socket_refuses(host, account):
        return "waits"
    return "" if asked == account.name else "bounces"


def _asked_for(run: MaildropRun, account: Account) -> str:
    """The name that maildrop looks up for this account.

    Raises:
        Unknown: it is neither of the variables that Courier sets.
    """
    local, at, _ = account.name.partition("@")
    names = {
        "USER": account.name,
        # An address always has a domain here, also that of a system user (run: trixie, 1.4.1).
        "RECIPIENT": account.name if at else f"{local}@",
        "LOCAL": local,
    }
    variable = run.recipient.strip("${}")
    if variable not in names:
        raise Unknown(f"maildrop -d {run.recipient}: only $RECIPIENT, $USER and $LOCAL can be followed")
    return names[variable]
