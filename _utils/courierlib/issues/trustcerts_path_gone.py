r"""
Mail to other servers is deferred, or leaves without TLS: TLS_TRUSTCERTS names a file that is gone

## What you see

The first message to a server is deferred. The log says, with GnuTLS (Debian):

```text
courieresmtp: id=…,from=<…>,addr=<x@other.test>: 400 Peer's certificate not signed by a trusted authority
courieresmtp: id=…,from=<…>,addr=<x@other.test>,status: deferred
```

With OpenSSL it is `400 couriertls: connect: error:0A000086:SSL routines::certificate verify failed`, or
`400 couriertls: TLS_TRUSTCERTS not set: No such file or directory`. The next attempt succeeds, because it is made
without TLS.

## What it breaks

Courier has no certificate of any authority to check others with. What is checked fails:

* With `TLS_VERIFYPEER=PEER` or `ESMTP_TLS_VERIFY_DOMAIN=1` in `courierd`: TLS with every server. Courier takes it for
  broken STARTTLS of that server, and for two to three hours **sends its mail in the clear**.
* With the shipped settings: mail to domains whose MTA-STS policy says `enforce`. There Courier does not fall back. The
  mail waits, and bounces in the end.
* With `TLS_VERIFYPEER=PEER` in a listener's file: clients that show a certificate.

What is not checked works on, and nothing says that the file is missing.

## Check by hand

`ls -L` shows the file, or that it is not there. A link to a file that is gone counts as gone.

## Fix by hand

1. Find the bundle of your system. Debian, Ubuntu and Arch have `/etc/ssl/certs/ca-certificates.crt`, Fedora and RHEL
    `/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem`, openSUSE `/etc/ssl/ca-bundle.pem`, FreeBSD `/etc/ssl/cert.pem`.

2. If there is none, install it. This alone is enough where the setting names the right file:

    ```console
    # apt-get install ca-certificates
    ```

3. Else write the path into `/etc/courier/courierd`, and restart:

    ```console
    # sed -i 's|^TLS_TRUSTCERTS=.*|TLS_TRUSTCERTS=/etc/ssl/certs/ca-certificates.crt|' /etc/courier/courierd
    # systemctl restart courier
    ```

4. Have what waits tried at once:

    ```console
    # courier flush
    ```

`courier.fix trustcerts-path-gone` does step 3 if this host has exactly one bundle. SMTP is closed for about a second.
It needs `allow=delete-expired-mail` where courierd would delete mail when it starts: see `courierd-not-running`.

## Undo

Write the old path back and restart.

## How to see that it worked

```console
# ls -lL "$(. /etc/courier/courierd; echo $TLS_TRUSTCERTS)"
```

It shows the file. The next message to such a domain logs `success`. A server for which TLS failed before is tried with
TLS again two to three hours later.

## Why it happens

The path was right when Courier was configured. Fedora took `/etc/pki/tls/cert.pem` away; Debian has the bundle only
where `ca-certificates` is installed, which is recommended and not required; chroots and containers often lack it.
couriertls does not complain of a path that does not exist: it goes on without any authority.
"""

from collections.abc import Iterator

from courierlib import tlssettings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action
from courierlib.tlssettings import Value

ISSUE = Issue(
    id="trustcerts-path-gone",
    component="tls",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="SMTP, for the second in which courierd is restarted",
    allows=("delete-expired-mail",),
    look=(
        "grep -sE '^(TLS_TRUSTCERTS|TLS_VERIFYPEER|ESMTP_TLS_VERIFY_DOMAIN)=' /etc/courier/courierd",
        '. /etc/courier/courierd; ls -lL "$TLS_TRUSTCERTS"',
    ),
    tell="The file that `TLS_TRUSTCERTS` names does not exist.",
    bites=("courieresmtp", "couriertls"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6, trixie with OpenSSL 1.4.1: TLS_VERIFYPEER=PEER and a path "
        "that does not exist: a message to a server with a trusted certificate is deferred, the next goes without TLS",
        "run: trixie 1.4.1, trixie with OpenSSL 1.4.1: deferred with ESMTP_TLS_VERIFY_DOMAIN=1 too; with neither, mail "
        "is sent with TLS",
        "read: do_esmtp_connect_to() in courier/module.esmtp/libesmtp.c, 1.4.1: MTA-STS",
        "read: add_certificates() in libs/tcpd/libcouriergnutls.c, tls_create_int() in libcouriertls.c, "
        "do_esmtp_connect() in courier/module.esmtp/libesmtp.c, 1.4.1",
        "read: ChangeLog, 2.0.0: Fedora has no /etc/pki/tls/cert.pem any more",
    ),
)

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)
"""Where systems keep the certificates of the authorities that they trust."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every TLS_TRUSTCERTS that is needed and does not exist."""
    bundles = _bundles(host)
    for value in tlssettings.values(host, "TLS_TRUSTCERTS"):
        if isinstance(value, Unknown):
            yield value
            continue
        if host.exists(value.value):
            continue
        try:
            users = tuple(daemon for daemon in value.daemons if _needs(host, daemon))
            checks = any(_verifies(host, daemon) for daemon in users)
        except Unknown as unknown:
            yield unknown
            continue
        if users:
            yield Finding(
                where=value.where,
                detail=f"{value.value}: no such file, {_effect(users, checks)}{_advice(bundles)}",
                severity=Severity.HIGH if checks else None,
                fixable=len(bundles) == 1,
                subject=value,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the path of the host's own bundle, the only one there is."""
    (bundle,) = _bundles(host)
    for finding in findings:
        value: Value = finding.subject
        yield tlssettings.assign(host, value, "TLS_TRUSTCERTS", bundle, old=value.value)


def _bundles(host: Host) -> tuple[str, ...]:
    """The bundles that this host has; one file that has several names only once."""
    return tuple({host.resolve(path): path for path in reversed(BUNDLES) if host.exists(path)}.values())


def _needs(host: Host, daemon: str) -> bool:
    """courierd needs it for MTA-STS even if it checks nobody else; a listener only if it checks clients."""
    if daemon == "courierd":
        return _is_on(host.settings(daemon).get("ESMTP_USE_STARTTLS"))
    return _verifies(host, daemon)


def _verifies(host: Host, daemon: str) -> bool:
    settings = host.settings(daemon)
    if daemon == "courierd" and _is_on(settings.get("ESMTP_TLS_VERIFY_DOMAIN")):
        return True
    # Without the setting, peers are verified (read: tls_create() in libcouriergnutls.c, get_peer_verify_level() in
    # libcouriertls.c, 1.4.1).
    return settings.get("TLS_VERIFYPEER", "PEER")[:1] not in ("n", "N")


def _is_on(value: str) -> bool:
    """As atoi() would see it."""
    return value.strip().lstrip("+-0")[:1] in tuple("123456789")


def _effect(users: tuple[str, ...], checks: bool) -> str:
    who = "everybody who is checked" if checks else "domains with an MTA-STS policy"
    return f"so TLS with {who} fails ({', '.join(users)})"


def _advice(bundles: tuple[str, ...]) -> str:
    if not bundles:
        return "; no bundle of certificates is installed"
    return "" if len(bundles) == 1 else f"; choose between {', '.join(bundles)}"
