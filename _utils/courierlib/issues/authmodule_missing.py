r"""
Some or all users cannot log in: a module of authmodulelist is not installed

## What you see

Login fails for the users of one database (MySQL, LDAP, userdb), always, with the right password too. Mail for them is
refused: `550 User <bob@virt.example.test> unknown`. The service is active. At its start, and only then, the log has:

```text
authdaemond: modules="authmysql", daemons=5
authdaemond: Installing libauthmysql.so.0
authdaemond: file not found
```

`Installation complete: authmysql` would be the third line. authdaemond takes `file not found` for mere information,
and goes on with the modules that it has.

## What it breaks

All accounts that only this module knows: no login, and mail for them bounces at the sender. If it is the only module,
that is every account.

## Check by hand

The first command shows which modules are wanted, the second which are there, each as `libNAME.so.0`. Every wanted one
must be there. Comments after `#` do not count.

## Fix by hand

1. Install what is missing. On Debian the packages are called like the modules:

    | Module | Package, up to Debian 13 | later |
    | --- | --- | --- |
    | `authmysql` | `courier-authlib-mysql` | `courier-authlib` |
    | `authpgsql` | `courier-authlib-postgresql` | `courier-authlib` |
    | `authldap` | `courier-authlib-ldap` | `courier-authlib` |
    | `authsqlite` | `courier-authlib-sqlite` | `courier-authlib` |
    | `authpipe` | `courier-authlib-pipe` | `courier-authlib` |
    | `authuserdb` | `courier-authlib-userdb` | `courier-authlib` |

    ```console
    # apt-get install courier-authlib-mysql
    ```

    Or is it a slip of the pen, or a module that is needed no more? Then change `authmodulelist` in authdaemonrc.
2. Restart authdaemond. On Debian this restarts all of Courier, and open sessions end.

    ```console
    # systemctl restart courier-authdaemon
    ```

No repair does this by itself: whether the module is wanted, only you know.

## Undo

Put the old `authmodulelist` back, or remove the package, and restart authdaemond.

## How to see that it worked

```console
# journalctl -q -t authdaemond -n 3 -o cat
modules="authpam", daemons=5
Installing libauthpam.so.0
Installation complete: authpam
```

Every module must have its `Installation complete`, and `authenumerate` lists the accounts.

## Why it happens

The modules are separate packages. They are lost in a move to another machine, in an upgrade that removed them for a
conflict, or with `apt autoremove`. The list in authdaemonrc is a configuration file, and stays.
`authmodulelistorig` beside it does not count: it is only for webadmin.
"""

from collections.abc import Iterator

from courierlib import authlib
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown

ISSUE = Issue(
    id="authmodule-missing",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="all of Courier restarts with authdaemond on Debian",
    look=(
        "grep '^authmodulelist=' /etc/courier/authdaemonrc",
        "ls /usr/lib/courier-authlib /usr/lib/*/courier-authlib 2>/dev/null | grep 'libauth.*\\.so\\.0$'",
        "journalctl -q -t authdaemond -n 10 -o cat",
    ),
    tell="A `libNAME.so` is missing for a name in `authmodulelist`.",
    bites=("authdaemond",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a module that is not there: its accounts cannot log in",
        "read: initmodules() in authdaemond.c, authlib 0.73.1",
    ),
    signatures=(
        Signature(
            process=("authdaemond",),
            pattern=r"^file not found$",
            sample="file not found",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

_CONFIGURED_BY = {
    "authuserdb": "userdb",
    "authmysql": "authmysqlrc",
    "authpgsql": "authpgsqlrc",
    "authldap": "authldaprc",
    "authsqlite": "authsqliterc",
}


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every wanted module that is not there, or for a list without any."""
    if not authlib.is_used(host):
        return
    wanted = dict.fromkeys(authlib.module_names(host))
    where = f"{host.authdaemonrc_path} authmodulelist"
    if not wanted:
        yield Finding(where=where, detail="names no module, so there is no account", fixable=False)
        return
    directory = authlib.module_directory(host)
    files = [file for file in host.listdir(directory) if host.exists(f"{directory}/{file}")]
    missing = [name for name in wanted if not any(file.startswith(f"lib{name}.so") for file in files)]
    for name in missing:
        rest = [other for other in wanted if other not in missing]
        yield Finding(
            where=f"{where} {name}",
            detail=f"no lib{name}.so in {directory}; "
            + (f"left are {', '.join(rest)}" if rest else "no other module is left"),
            # A name that was never set up is a leftover.
            severity=None if not rest or _is_configured(host, name) else Severity.LOW,
            fixable=False,
        )


def _is_configured(host: Host, name: str) -> bool:
    file = _CONFIGURED_BY.get(name)
    return file is None or host.exists(authlib.configuration(host, file))
