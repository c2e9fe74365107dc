r"""
Folders have strange names such as "Entw&APw-rfe" since an upgrade to 1.0

## What you see

After an upgrade from before Courier 1.0 (courier-imap 5.0), every folder with a letter that is not plain ASCII shows
as `Entw&APw-rfe` instead of `Entwürfe`. Programs that remember the old name say that the folder does not exist, and
often make a new, empty one beside it. Nothing is logged.

## What it breaks

Nothing is lost: the mail is in the folder with the strange name. Filters that deliver to the old name go on filling
it. Sent mail and drafts may go to a new folder of the right name.

## Check by hand

The command prints the folders whose names are still encoded, in the usual places. `&-` alone is an ampersand in the
same encoding, and a name that makes sense as it stands, such as `P&D-plan`, is no old one.

`maildirmake.courier --checkutf8` shows what a conversion would rename. It takes every name for an old one, right ones
too:

```console
# su alice -s /bin/sh -c 'cd; maildirmake.courier --checkutf8 Maildir'
Checking Maildir:
Subscription to INBOX.Entw&APw-rfe changed to INBOX.Entwürfe
Rename INBOX.Entw&APw-rfe to INBOX.Entwürfe
Verified Maildir/courierimapsubscribed
```

## Fix by hand

**Never run `--convutf8` on a Maildir that has a folder with a right name already.** It would encode that one once
more: `Entwürfe` becomes `Entwￃﾼrfe`. Has the user made a folder since the upgrade? Then take the second way.

Stop what uses the Maildirs, and keep a copy:

```console
# systemctl stop courier courier-imap courier-imap-ssl courier-pop courier-pop-ssl
# cp -a /home/alice/Maildir /home/alice/Maildir.before
```

1. All folders still have the old names:

    ```console
    # su alice -s /bin/sh -c 'cd; maildirmake.courier --convutf8 Maildir'
    Checking Maildir:
    Subscription to INBOX.Entw&APw-rfe changed to INBOX.Entwürfe
    Rename INBOX.Entw&APw-rfe to INBOX.Entwürfe
    Updating Maildir/courierimapsubscribed
    ```

2. Some have new names. Rename the others one by one, and change the list of subscriptions:

    ```console
    # cd /home/alice/Maildir
    # mv -nT '.Entw&APw-rfe' .Entwürfe
    # sed -i 's/^INBOX\.Entw&APw-rfe$/INBOX.Entwürfe/' courierimapsubscribed
    # chown --reference=. courierimapsubscribed
    ```

    If there is a `.Entwürfe` already, `mv` does nothing: move the messages in `cur` and `new` over first.

Change the names in `.mailfilter` too: only filters that sqwebmail has written are converted, when their name is given
as a second argument. Then start the services again. SMTP was stopped along with `courier`:

```console
# systemctl start courier courier-mta courier-msa courier-mta-ssl
# systemctl start courier-imap courier-imap-ssl courier-pop courier-pop-ssl
```

There is no `courier.fix` for this: whether a Maildir is converted as a whole or folder by folder is for you to say.

## Undo

Stop the services, move the Maildir away, and put the copy in its place. Mail that came since is in the one you moved.

## How to see that it worked

`find` prints nothing any more, and the mail program shows the folder by its right name, with its mail. Do not ask
`--checkutf8`: it offers to convert what is right now once more.

## Why it happens

Up to 0.78, Courier named folders on disk as IMAP does on the wire, in modified UTF-7. Since 1.0 they are UTF-8, and an
`&` is an `&`. The conversion is a "mandatory upgrade procedure", as the ChangeLog has it; a package cannot do it.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator

from courierlib import maildirs
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade

ISSUE = Issue(
    id="maildir-not-utf8",
    component="delivery",
    severity=Severity.MEDIUM,
    affects=Affects(since="1.0"),
    interrupts="nothing: it is done by hand, with delivery, IMAP and POP3 stopped meanwhile",
    look=("find /home/*/Maildir /srv/mail/*/Maildir -maxdepth 1 -name '.*&[A-Za-z0-9+,]*-*' 2>/dev/null",),
    tell="The name of a folder on disk has `&` and `-` with letters and digits in between.",
    bites=("maildir", "imapd"),
    upgrades=(
        Upgrade(
            version="1.0",
            act="after",
            step="Before the services start again, convert each Maildir that has folders with letters beyond ASCII, "
            "once: `maildirmake --convutf8`.",
        ),
    ),
    known=(
        "run: trixie 1.4.1, bookworm 1.0.16, forky 2.0.6: an encoded folder is listed by its encoded name",
        "run: trixie 1.4.1: --checkutf8, --convutf8, and what it does to a folder that is UTF-8 already",
        "read: ChangeLog, 1.4.1, 2018-07-17: folder names are UTF-8",
        "read: convertutf8() in libs/maildir/maildirmake.c, 1.4.1",
    ),
    references=("https://www.courier-mta.org/maildirmake.html",),
)

_ENCODED = re.compile(r"&([A-Za-z0-9+,]+)-")
_SHOWN = 3


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every Maildir with folders whose names are in modified UTF-7."""
    survey = host.once(maildirs.survey)
    for box in survey.distinct:
        folders = [name for name in box.names if name[0] == "." and "&" in name]
        found = {name[1:]: decoded for name in folders if (decoded := _decoded(name[1:]))}
        if found:
            shown = ", ".join(f"{name} for {found[name]}" for name in sorted(found)[:_SHOWN])
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            yield Finding(where=box.path, detail=f"folders with names of before 1.0: {shown}{more}")
    yield from survey.unknown()


def _decoded(name: str) -> str:
    """What a name in modified UTF-7 stands for; empty if it is not certainly one, with letters beyond ASCII.

    Such a name is all ASCII, and what it encodes is no ASCII (read: RFC 3501, 5.1.3): a folder ``R&D-plan`` is none.
    """
    if not name.isascii() or "&" in _ENCODED.sub("", name).replace("&-", ""):
        return ""
    try:
        decoded = _ENCODED.sub(lambda match: _utf16(match[1]), name)
    except ValueError:
        return ""
    return "" if decoded.isascii() else decoded.replace("&-", "&")


def _utf16(text: str) -> str:
    """The text of one encoded run.

    Raises:
        ValueError: it is none.
    """
    try:
        content = base64.b64decode(text.replace(",", "/") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as failed:
        raise ValueError(str(failed)) from None
    decoded = content.decode("utf-16-be")
    again = base64.b64encode(content).decode().rstrip("=").replace("/", ",")
    if again != text or any(letter.isascii() or unicodedata.category(letter)[0] not in "LMNPS" for letter in decoded):
        raise ValueError(text)
    return decoded
