"""How this host delivers to its accounts: what DEFAULTDELIVERY says, whom it concerns, and what may replace it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from courierlib import settings
from courierlib.host import Account, Host
from courierlib.issue import Unknown
from courierlib.plan import Action, Choose, EditFile, NewFile, Refused, SetOwnership

STRATEGIES = ("maildir", "mailfilter", "authdaemon")

OPEN_SOCKET = "open-authdaemon-socket"
NO_MAILDIR = "no-maildir"

_WITH_ARGUMENT = frozenset("dVMAfwWDt")
_SHELL_WORDS = frozenset(
    {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "(", "exec", "nice", "preline"}
)
_SYSTEM_MODULES = frozenset({"authpam", "authpwd", "authshadow"})
_UNKNOWN_TO_ALL = "what the shell makes of it is not known"


@dataclass(frozen=True)
class MaildropRun:
    """One call of maildrop in a delivery instruction.

    Args:
        program: as it is written.
        recipient: what follows ``-d``, unexpanded, such as ``${RECIPIENT}``; empty without.
        defers: ``-a``: an authdaemon that does not answer defers the message.
        filter: name of a filter file; maildrop is then not in delivery mode.
        headers: it is told the message's Delivered-To: header, by ``-A`` or by preline.
    """

    program: str
    recipient: str = ""
    defers: bool = False
    filter: str = ""
    headers: bool = False


@dataclass(frozen=True)
class Instruction:
    """One line of delivery instructions.

    Args:
        kind: ``mailbox`` (Maildir or mbox), ``command`` or ``forward``.
        text: the line, without what marks its kind.
        runs: the calls of maildrop in a command.
    """

    kind: str
    text: str
    runs: tuple[MaildropRun, ...] = ()


def parse(text: str) -> tuple[Instruction, ...]:
    """Delivery instructions as courierdeliver reads them (read: dodel in courier/module.local/deliver.c, 1.4.1).

    Raises:
        Unknown: a command names maildrop in a way that only a shell could take apart.
    """
    found = []
    # Only commands and addresses can be continued; a mailbox ends with its line.
    for line in re.findall(r"(?:[./][^\n]*|(?:[^\\\n]|\\[ \t]*\n|\\.)+)", text):
        if line[0] in "./":
            found.append(Instruction("mailbox", line.rstrip("/")))
        elif line[0] == "|":
            command = line.lstrip("|").strip()
            found.append(Instruction("command", command, tuple(_maildrop_runs(command))))
        elif line.strip() and line[0] != "#":
            found.append(Instruction("forward", line.lstrip("&!").strip()))
    return tuple(found)


def _maildrop_runs(command: str) -> Iterator[MaildropRun]:
    if "maildrop" not in command:
        return
    lexer = shlex.shlex(command.replace("\\\n", " ").replace("\n", ";"), posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError as failed:
        raise Unknown(f"{command!r}: {_UNKNOWN_TO_ALL} ({failed})") from None
    simple: list[str] = []
    seen = False
    for token in [*tokens, ";"]:
        if token and not token.strip(";&|"):
            run = _maildrop_run(simple)
            seen = seen or run is not None
            if run:
                yield run
            simple = []
        else:
            simple.append(token)
    if not seen and re.search(r"(^|[\s/`(\"'])maildrop($|[\s`)\"'])", command):
        raise Unknown(f"{command!r}: {_UNKNOWN_TO_ALL}")


def _maildrop_run(words: Sequence[str]) -> MaildropRun | None:
    """The words of a simple command, if that is maildrop."""
    rest = list(words)
    headers = False
    while rest and (rest[0].rsplit("/", 1)[-1] in _SHELL_WORDS or re.match(r"[A-Za-z_]\w*=", rest[0])):
        headers = rest.pop(0).rsplit("/", 1)[-1] == "preline" or headers
    if not rest or rest[0].rsplit("/", 1)[-1] != "maildrop":
        return None
    program, recipient, defers, delivers = rest.pop(0), "", False, False
    # One letter an argument, its value attached or next (read: run() in libs/maildrop/main.C, 1.4.1).
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option == "--":
            break
        value = option[2:]
        if option[1] in _WITH_ARGUMENT and not value and rest:
            value = rest.pop(0)
        recipient = value if option[1] == "d" else recipient
        headers = headers or option[1] == "A" and ("DTLINE" in value or "delivered-to:" in value.lower())
        defers = defers or option[1] == "a"
        delivers = delivers or option[1] in "dM"
    # Without -d, an argument is the filter file; redirections are the shell's.
    names = [word for word in rest if not set(word) & set("<>")]
    return MaildropRun(program, recipient, defers, names[0] if names and not delivers else "", headers)


def maildrop_runs(host: Host) -> tuple[MaildropRun, ...]:
    """The calls of maildrop in DEFAULTDELIVERY.

    Raises:
        Unknown: the setting cannot be evaluated or taken apart, or the maildrop that it runs is not there.
    """
    if not host.installed or "mta" not in host.components:
        return ()
    runs = tuple(run for instruction in parse(host.default_delivery) for run in instruction.runs)
    if runs and host.maildrop is None:
        raise Unknown(f"DEFAULTDELIVERY runs {runs[0].program}, which is not installed")
    return runs


def is_standalone(host: Host) -> bool:
    """Whether maildrop is the standalone build, which ignores the home and the mailbox that Courier tells it."""
    return host.maildrop is not None and not host.maildrop.courier_build


def concerned(host: Host) -> tuple[Account, ...]:
    """The accounts that DEFAULTDELIVERY delivers to, as far as they can be known.

    Not those for which authlib gives a Maildir, nor those with instructions of their own in ``.courier`` (read: main
    and dodel in courier/module.local/deliver.c, 1.4.1).

    Raises:
        Unknown: authdaemon cannot be asked, and the system's accounts are not among those it knows.
    """
    every = known_accounts(host)
    return tuple(account for account in every if not account.maildir and not _has_instructions(host, account))


def known_accounts(host: Host) -> tuple[Account, ...]:
    """The accounts as far as they can be known: the system's, where authdaemon cannot be asked.

    Raises:
        Unknown: authdaemon cannot be asked, and the system's accounts are not among those it knows.
    """
    try:
        return host.accounts
    except Unknown:
        if not _SYSTEM_MODULES.intersection(_modules(host)):
            raise
        return _system_accounts(host)


def require_all_accounts(host: Host) -> None:
    """Look whether ``known_accounts`` leaves some out: what was found of the others holds, that nothing was does not.

    Raises:
        Unknown: authdaemon cannot be asked, and has other modules than those for the system's accounts.
    """
    try:
        _ = host.accounts
    except Unknown:
        if not _SYSTEM_MODULES.issuperset(_modules(host)):
            raise


def _modules(host: Host) -> list[str]:
    return host.authdaemonrc.get("authmodulelist", "").split()


def _system_accounts(host: Host) -> tuple[Account, ...]:
    """The accounts of people in the system's user database."""
    people = (user for user in host.users if 1000 <= user.uid < 65534)
    return tuple(Account(user.name, user.uid, user.gid, user.home, "", "passwd") for user in people)


def _has_instructions(host: Host, account: Account) -> bool:
    file = host.stat(f"{account.home}/.courier") if account.home.startswith("/") else None
    return file is not None and file.size > 0


def socket_refuses(host: Host, account: Account) -> bool:
    """Whether a delivery to this account cannot reach authdaemon's socket.

    Raises:
        Unknown: the socket's directory cannot be looked at.
    """
    maildrop = host.stat(host.maildrop.path) if host.maildrop else None
    if maildrop and maildrop.mode & 0o4000 and maildrop.uid == 0:
        return False
    groups = {account.gid} | ({maildrop.gid} if maildrop and maildrop.mode & 0o2000 else set())
    directory = host.stat(host.authdaemonvar)
    if directory is None:
        raise Unknown(f"{host.authdaemonvar}: no such directory; is authdaemon running?")
    shift = 6 if directory.uid == account.uid else 3 if directory.gid in groups else 0
    return account.uid != 0 and not directory.mode >> shift & 1


def site_filter(host: Host) -> str:
    """Path of maildrop's site-wide filter, which it reads in delivery mode."""
    return (
        "/usr/local/etc/maildroprc"
        if host.maildrop and host.maildrop.path.startswith("/usr/local/")
        else "/etc/maildroprc"
    )


def default_mailbox(host: Host) -> str:
    """DEFAULT as the site-wide filter sets it; empty if it leaves it alone.

    Raises:
        Unknown: the file cannot be read.
    """
    if not host.exists(site_filter(host)):
        return ""
    text = host.read(site_filter(host)).decode("utf-8", "surrogateescape")
    values = re.findall(r'^[ \t]*DEFAULT[ \t]*=[ \t]*("[^"\n]*"|\'[^\'\n]*\'|[^\s#]+)', text, re.MULTILINE)
    return values[-1].strip("\"'") if values else ""


def listed(found: Sequence[Account], limit: int = 5) -> str:
    """Names of accounts for a report; addresses first, which are the less obvious ones."""
    names = sorted((account.name for account in found), key=lambda name: ("@" not in name, name))
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def where(host: Host) -> str:
    """What a finding about DEFAULTDELIVERY names."""
    return f"{host.conffile('courierd')} DEFAULTDELIVERY"


# --- what may replace it ----------------------------------------------------------------------------------------------


def repair(host: Host, strategy: str) -> Iterator[Action]:
    """Actions that put a working DEFAULTDELIVERY in the place of one that runs maildrop.

    Args:
        strategy: one of STRATEGIES; empty: the operator has to choose.

    Raises:
        ValueError: another strategy.
    """
    if strategy and strategy not in STRATEGIES:
        raise ValueError(f"strategy: {strategy!r} is none of {', '.join(STRATEGIES)}")
    if not strategy:
        yield Choose(
            old=host.default_delivery,
            new="another line",
            about=where(host),
            option=f"strategy={'|'.join(STRATEGIES)}",
        )
    elif strategy == "authdaemon":
        yield from _through_authdaemon(host)
    else:
        allow = NO_MAILDIR if _without_maildir(host) else ""
        if strategy == "mailfilter":
            yield _script(host, allow)
        yield _setting(host, mailfilter_line(host) if strategy == "mailfilter" else "./Maildir", allow)


def _setting(host: Host, line: str, allow: str) -> EditFile:
    return EditFile(
        path=host.conffile("courierd"),
        setting="DEFAULTDELIVERY",
        edit=partial(settings.assign, name="DEFAULTDELIVERY", value=line),
        old=host.default_delivery,
        new=line,
        allow=allow,
        restarts=("scheduler",),
    )


def _without_maildir(host: Host) -> tuple[Account, ...]:
    """Accounts that read their mail in /var/mail and have no Maildir; Courier would make a file of that name."""
    return tuple(account for account in concerned(host) if spool(host, account) and not has_maildir(host, account))


def spool(host: Host, account: Account) -> int:
    """Size in bytes of an account's mailbox in /var/mail."""
    file = host.stat(f"/var/mail/{account.name}") if "/" not in account.name else None
    return file.size if file and file.kind == "file" else 0


def has_maildir(host: Host, account: Account) -> bool:
    """Whether the account has a Maildir where Courier's servers look for it."""
    inbox = host.stat(f"{account.home}/Maildir/new") if account.home.startswith("/") else None
    return inbox is not None and inbox.kind == "dir"


SCRIPT = r"""# Delivery through maildrop for accounts that have a filter, without asking authdaemon.
# DEFAULTDELIVERY in courierd names this file; courierd runs it as the account's user, in the account's home.
# 0: there is no filter, and Courier goes on to the next line, ./Maildir. 99: delivered, and Courier stops.
filter=.mailfilter
site=@SITE@
[ -k . ] && exit 75
grep -qsv '^[[:space:]]*\(#\|$\)' "$site" || site=
if [ -e "$filter" ] || [ -L "$filter" ]
then
	# What maildrop itself demands of a filter before it trusts it.
	if [ -z "$(find -H "$filter" -prune -type f -user "$(id -u)" ! -perm /077)" ]
	then
		echo "$HOME/$filter: must be a file of its account's own with mode 0600"
		exit 75
	fi
elif [ -z "$site" ]
then
	exit 0
else
	filter=
fi
umask 077
recipe=$(mktemp) || exit 75
trap 'rm -f "$recipe"' EXIT HUP INT TERM
{
	# Named a file, maildrop knows only the passwd entry of the user ID, which several accounts may share.
	printf 'HOME="$1"\nLOGNAME="$2"\nSHELL="$3"\nDEFAULT="$4"\n'
	[ -z "$site" ] || printf 'include "%s"\n' "$site"
	[ -z "$filter" ] || printf 'include "$HOME/%s"\n' "$filter"
} >"$recipe" || exit 75
@MAILDROP@ -A "$DTLINE" -A "$RPLINE" -f "$SENDER" \
	"$recipe" "$HOME" "$USER" "${SHELL:-/bin/sh}" "${MAILDROPDEFAULT:-./Maildir}" && exit 99
"""
"""Run on booted bookworm, trixie and forky, for system and virtual users, with and without a filter."""


def script_path(host: Host) -> str:
    """Where the script of the strategy ``mailfilter`` is."""
    return f"{host.layout.sysconfdir}/deliver-mailfilter"


def mailfilter_line(host: Host) -> str:
    """DEFAULTDELIVERY of the strategy ``mailfilter``: two lines, the second for accounts without a filter."""
    return f"| /bin/sh {script_path(host)}\n./Maildir"


def _script(host: Host, allow: str) -> EditFile:
    content = SCRIPT.replace("@SITE@", site_filter(host)).replace("@MAILDROP@", host.maildrop.path).encode()
    return EditFile(
        path=script_path(host),
        edit=partial(_whole, content),
        old="no such file" if not host.exists(script_path(host)) else "another version",
        new="delivers to accounts that have a .mailfilter",
        new_file=NewFile(),
        allow=allow,
    )


def _whole(content: bytes, _present: bytes | None) -> bytes:
    return content


def authdaemon_line(host: Host) -> str:
    """DEFAULTDELIVERY of the strategy ``authdaemon``.

    The account is $USER, as authlib names it: $RECIPIENT is always an address, which no system user has, and the
    message bounces (run: trixie, 1.4.1). Without -A and -f the headers that stop mail loops would be missing.
    """
    return f'| {host.maildrop.path} -A "$DTLINE" -A "$RPLINE" -f "$SENDER" -a -d "$USER"'


def _through_authdaemon(host: Host) -> Iterator[Action]:
    shut = [account for account in concerned(host) if socket_refuses(host, account)]
    bounces = any(run.recipient and not run.defers for run in maildrop_runs(host))
    # With a shut socket -a defers everybody's mail: better than a bounce, worse than any line that works for some.
    leave = OPEN_SOCKET if shut and not bounces else ""
    if shut:
        yield from _opened_socket(host)
    if not default_mailbox(host):
        yield EditFile(
            path=site_filter(host),
            setting="DEFAULT",
            edit=with_default_mailbox,
            old="not set: /var/mail",
            new="$HOME/Maildir",
            new_file=NewFile(),
            allow=",".join(filter(None, (leave, NO_MAILDIR if _without_maildir(host) else ""))),
        )
    yield _setting(host, authdaemon_line(host), leave)


def _opened_socket(host: Host) -> Iterator[Action]:
    directory = host.stat(host.authdaemonvar)
    opened = directory.mode | 0o001
    line = f"z {host.authdaemonvar} {opened:04o} - - -\n"
    if host.exists("/usr/lib/tmpfiles.d") or host.exists("/lib/tmpfiles.d"):
        yield EditFile(
            # The first file that names a path wins, and the package's own begins with "courier".
            path="/etc/tmpfiles.d/00-courier-authdaemon-socket.conf",
            edit=partial(_whole, line.encode()),
            old="closed to other users at boot",
            new=f"{host.authdaemonvar} {opened:04o} at boot",
            new_file=NewFile(),
            allow=OPEN_SOCKET,
        )
    yield SetOwnership(
        path=host.authdaemonvar,
        mode=opened,
        inode=directory.inode,
        old=f"{directory.mode:04o}",
        new=f"{opened:04o}",
        allow=OPEN_SOCKET,
    )


def with_default_mailbox(content: bytes | None) -> bytes:
    """maildroprc with DEFAULT set to the account's Maildir: Debian's own line uncommented, else one before everything.

    Raises:
        Refused: DEFAULT is set already.
    """
    content = content or b""
    if re.search(rb"^[ \t]*DEFAULT[ \t]*=", content, re.MULTILINE):
        raise Refused("DEFAULT is set already")
    line = b'DEFAULT="$HOME/Maildir"'
    commented = re.search(rb'^[ \t]*#[ \t]*DEFAULT="\$HOME/Maildir/?"[ \t]*$', content, re.MULTILINE)
    if commented:
        return content[: commented.start()] + line + content[commented.end() :]
    return line + b"\n" + content
