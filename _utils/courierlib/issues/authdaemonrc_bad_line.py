r"""
authdaemond does not start: a line of authdaemonrc that it cannot read

## What you see

After a restart or a reboot nobody can log in, and port 25 is closed or answers `450 Service temporarily unavailable.`
`systemctl start courier-authdaemon` reports success; a moment later the service is `inactive`. The journal has the line
that it fell over:

```text
authdaemond: Bad line in /etc/courier/authdaemonrc: this is bad
```

Until that restart everything works: a running authdaemond keeps what it has read before.

## What it breaks

All logins and all mail for local accounts, from the next start of authdaemond on. See `authdaemon-down`.

## Check by hand

The first command prints the lines that are neither empty nor a comment and have no `=`. A healthy host prints nothing.

## Fix by hand

1. Look at each line that was printed. authdaemond wants one setting in one line: `name="value"`. It knows no
    continuation with `\`, no `export`, no `if`. A list that was broken in two lines must be put into one again:

    ```text
    authmodulelist="authuserdb authpam"
    ```

    What is no setting gets a `#` in front.
2. Start it, and what stopped with it:

    ```console
    # systemctl start courier-authdaemon courier-mta courier-msa courier-mta-ssl
    # systemctl start courier-imap courier-imap-ssl courier-pop courier-pop-ssl
    ```

No repair does this by itself: only you know what the line was meant to say.

## Undo

Put the old line back.

## How to see that it worked

```console
# systemctl is-active courier-authdaemon
active
```

`authenumerate` lists the accounts.

## Why it happens

The file looks like shell, and its start script does source it. But authdaemond then reads it a second time, by itself,
line by line, and gives up at the first line without `=` (`readconfig` in authdaemond.c). So a file that the shell
accepts can be refused.
"""

from collections.abc import Iterator

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown

ISSUE = Issue(
    id="authdaemonrc-bad-line",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="authdaemond is down until the line is mended",
    look=(
        "grep -nv -e '^[[:space:]]*\\(#\\|$\\)' -e = /etc/courier/authdaemonrc || echo 'every line has its ='",
        "systemctl is-active courier-authdaemon",
    ),
    tell="The journal has `Bad line in …/authdaemonrc`.",
    bites=("authdaemond",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a line without '=': authdaemond ends at its start",
        "read: readconfig() in authdaemond.c, authlib 0.73.1",
    ),
    signatures=(
        Signature(
            process=("authdaemond",),
            pattern=r"^Bad line in /\S+/authdaemonrc: ",
            sample="Bad line in /etc/courier/authdaemonrc: this is bad",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for the first line at which authdaemond gives up."""
    if "authdaemon" not in host.components:
        return
    path = host.authdaemonrc_path
    content = host.read(path)
    try:
        settings.parse_authdaemonrc(content)
    except Unknown as rejected:
        yield Finding(where=path, detail=rejected.reason, fixable=False)
