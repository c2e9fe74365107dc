"""The way of a message through Courier: the places it comes to, and what passes between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A station of the mail flow.

    Args:
        label: its name.
        about: programs, ports or paths, in a few words.
        kind: ``port``, ``process``, ``socket`` (a process that others ask over a socket) or ``store``.
        evidence: how what is said of it is known.
    """

    label: str
    about: str
    kind: str
    evidence: str


PLACES: Mapping[str, Place] = {
    "smtp-ports": Place(
        "SMTP ports",
        "25, 587 and 465: other servers and mail programs hand mail in",
        "port",
        "read: esmtpd.dist.in, esmtpd-msa.dist.in, esmtpd-ssl.dist.in, 1.4.1",
    ),
    "couriertls": Place(
        "couriertls",
        "TLS: handshake, certificates, DH parameters; one process for each connection",
        "process",
        "read: esmtpd-ssl.in, imapd-ssl.rc.in, tlsclient.c, courieresmtpd.c, 1.4.1",
    ),
    "esmtpd": Place(
        "esmtpd",
        "couriertcpd takes the connection, courieresmtpd speaks SMTP",
        "process",
        "read: esmtpd.in, esmtpd-ssl.in, 1.4.1",
    ),
    "authdaemond": Place(
        "authdaemond",
        "accounts: passwords, homes, Maildirs",
        "socket",
        "read: authdaemonlib.c, courier-authlib 0.73.1",
    ),
    "submit": Place(
        "submit",
        "checks sender and recipients, writes the message; sendmail and bounces come in here too",
        "process",
        "read: comsubmitclient.c, submit.C, sendmail.c, dsn.c, 1.4.1",
    ),
    "courierfilter": Place(
        "courierfilter",
        "mail filters, with sockets in allfilters and filters",
        "socket",
        "read: cdfilters.C, 1.4.1",
    ),
    "queue": Place(
        "Queue",
        "/var/lib/courier: new mail in tmp, what courierd has taken in msgs and msgq",
        "store",
        "read: submit2.C, cdmsgq.C, 1.4.1; run: trixie 1.4.1: without courierd a message stays in tmp",
    ),
    "courierd": Place(
        "courierd",
        "the scheduler: which message goes where, and when again",
        "process",
        "read: courierd.C, cdmsgq.C, cddrvinfo.C, 1.4.1",
    ),
    "courieresmtp": Place(
        "courieresmtp",
        "sends to port 25 of other servers",
        "process",
        "read: courieresmtp.c, libesmtp.c, 1.4.1",
    ),
    "courierlocal": Place(
        "courierlocal",
        "delivers to accounts here: .courier files, DEFAULTDELIVERY",
        "process",
        "read: localmail.c, deliver.c, 1.4.1",
    ),
    "maildrop": Place(
        "maildrop",
        "delivers by filter files: maildroprc, .mailfilter",
        "process",
        "read: deliver.c and maildrop's main.C, 1.4.1",
    ),
    "maildir": Place(
        "Maildir",
        "~/Maildir, or the one that authdaemond names",
        "store",
        "read: deliver.c, 1.4.1; run: trixie 1.4.1: the account's Maildir comes before DEFAULTDELIVERY",
    ),
    "imapd": Place(
        "imapd and pop3d",
        "couriertcpd takes the connection, imaplogin or pop3login asks for the password, then mail is read",
        "process",
        "read: imapd.rc.in, imapd-ssl.rc.in, imaplogin.c, pop3login.c, 1.4.1",
    ),
    "imap-ports": Place(
        "IMAP and POP3 ports",
        "143 and 993, 110 and 995: mail programs fetch mail",
        "port",
        "read: imapd.dist.in, imapd-ssl.dist.in, pop3d.dist.in, pop3d-ssl.dist.in, 1.4.1",
    ),
}
"""The places by id, in the order of the way; Courier 0.76 and later."""

ARROWS: tuple[tuple[str, str, str], ...] = (
    ("smtp-ports", "couriertls", "TLS: at once on 465, else STARTTLS"),
    ("smtp-ports", "esmtpd", "SMTP in the clear"),
    ("couriertls", "esmtpd", "SMTP, decrypted"),
    ("esmtpd", "authdaemond", "AUTH: is the password right?"),
    ("esmtpd", "submit", "message"),
    ("submit", "authdaemond", "does the account exist?"),
    ("submit", "courierfilter", "may the message pass?"),
    ("submit", "queue", "message, and word by tmp/trigger"),
    ("queue", "courierd", "message that is due"),
    ("courierd", "authdaemond", "where does the account live?"),
    ("courierd", "courieresmtp", "message for another server"),
    ("courierd", "courierlocal", "message for an account here"),
    ("courieresmtp", "couriertls", "STARTTLS with the other server"),
    ("courierlocal", "maildrop", "message, if the delivery line says so"),
    ("courierlocal", "maildir", "message"),
    ("maildrop", "authdaemond", "-d: where does the account live?"),
    ("maildrop", "maildir", "message"),
    ("maildir", "imapd", "messages"),
    ("imapd", "authdaemond", "login: is the password right?"),
    ("imap-ports", "imapd", "IMAP or POP3 in the clear"),
    ("imap-ports", "couriertls", "TLS: at once on 993 and 995, else STARTTLS"),
    ("couriertls", "imapd", "IMAP or POP3, decrypted"),
)
"""What passes: from, to, what. An arrow to a socket is a question."""
