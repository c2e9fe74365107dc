r"""
Passwords of your users stand in the mail log: DEBUG_LOGIN

## What you see

Many lines of `authdaemond` for each login. With `DEBUG_LOGIN=2` one of them has the password that the user typed, and
the hash beside it (here with dots in their place):

```text
authdaemond: received auth request, service=imap, authtype=login
authdaemond: Authenticated: clearpasswd=…, passwd=…
```

## What it breaks

With 2, whoever can read the log can read passwords: the group `adm`, the log server, every backup. With 1 there are no
passwords, but names, homes and much noise; that is reported as low.

## Check by hand

The first command prints `DEBUG_LOGIN=0` on a healthy host. The second counts the lines with a password in the journal
of the last day, without showing them; `0` is right.

## Fix by hand

1. Set this in `/etc/courier/authdaemonrc`:

    ```text
    DEBUG_LOGIN=0
    ```

2. Restart authdaemond. On Debian this restarts all of Courier, and open sessions end.

    ```console
    # systemctl restart courier-authdaemon
    ```

`courier.fix debug-login` does both. It needs `allow=delete-expired-mail` where courierd would delete mail when it
starts: see `courierd-not-running`.

3. Get the passwords out of the logs. The journal cannot forget single lines. **This deletes all of the host's journal
    up to now**, that of other services too; save what you still need of it:

    ```console
    # journalctl --rotate; sleep 2
    # journalctl --vacuum-time=1s
    ```

    With rsyslog, for each file that has them, `.1` and the older ones too (unpack `.gz` first):

    ```console
    # sed -i '/authdaemond.*clearpasswd=/d' /var/log/mail.log
    # systemctl kill --signal=HUP rsyslog
    ```

    Think of the log server and of backups. Then have the passwords changed.

## Undo

Set `DEBUG_LOGIN` to what it was, and restart authdaemond.

## How to see that it worked

Log in once. There is no new line of `authdaemond`:

```console
# journalctl -q -t authdaemond -n 1 -o cat
Installation complete: authpam
```

## Why it happens

Somebody looked for the reason of a failed login, as `README.authdebug` advises, and left it on.
"""

import re
from collections.abc import Iterator
from functools import partial

from courierlib import authlib, settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.plan import Action, EditFile
from courierlib.queue import allow_restart

ISSUE = Issue(
    id="debug-login",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="all of Courier, for the second or two in which it restarts with authdaemond; open sessions end",
    allows=("delete-expired-mail",),
    look=(
        "grep '^DEBUG_LOGIN=' /etc/courier/authdaemonrc",
        "journalctl -q -t authdaemond --since=-24h -o cat | grep -c 'clearpasswd=[^<]'",
    ),
    tell="`DEBUG_LOGIN` in authdaemonrc is not 0.",
    bites=("authdaemond",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: with 2 the password of a login is in the journal",
        "read: printauth() in authdaemond.c, debug.c, authlib 0.73.1",
    ),
    signatures=(
        Signature(
            process=("authdaemond",),
            pattern=r"^received auth request, service=",
            sample="received auth request, service=imap, authtype=login",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

_NAME = "DEBUG_LOGIN"
_RESTARTS = ("authdaemon",)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if authdaemond is told to log what it is asked."""
    if "authdaemon" not in host.components:
        return
    level = _level(authlib.environment(host).get(_NAME))
    if level > 0:
        what = "the passwords of all logins go into the log" if level > 1 else "logs what it is asked, no passwords"
        yield Finding(
            where=f"{host.authdaemonrc_path} {_NAME}",
            detail=f"{level}: {what}",
            severity=None if level > 1 else Severity.LOW,
            subject=level,
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield DEBUG_LOGIN=0."""
    for finding in findings:
        yield EditFile(
            path=host.authdaemonrc_path,
            setting=_NAME,
            edit=partial(settings.assign_authdaemonrc, name=_NAME, value="0"),
            old=str(finding.subject),
            new="0",
            allow=allow_restart(host, _RESTARTS),
            restarts=_RESTARTS,
        )


def _level(value: str) -> int:
    """As atoi reads it (read: courier_authdebug_login_init in debug.c, authlib 0.73.1)."""
    number = re.match(r"\s*[+-]?\d{1,9}", value, re.ASCII)
    return int(number[0]) if number else 0
