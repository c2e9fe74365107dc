r"""
DH parameters are missing or cannot be read: clients that offer only DHE are refused

## What you see

Usually nothing but the log. With OpenSSL there are lines for every connection. One names the file, `dhparams.pem`,
and says what is wrong. The next one names the certificate's file, which is innocent: couriertls looks for parameters
there when it has found none.

With GnuTLS the file is never named. There is a line only when a client is refused, and it is the same as for a broken
certificate:

```text
imapd-ssl: ip=[192.0.2.7], No supported cipher suites have been found.
```

## What it breaks

Clients that can do nothing but Diffie-Hellman with numbers (DHE, TLS 1.2 and older). TLS 1.3 and elliptic curves go
on working, so do most mail programs of the last ten years. With GnuTLS, DHE clients that name a group of RFC 7919 go
on working too. No mail is lost.

The severity is that of OpenSSL. With GnuTLS, as in Debian, it is reported as low.

## Check by hand

The first command shows which file counts, service by service: `esmtpd`, `esmtpd-ssl`, `imapd-ssl` and `pop3d-ssl`
each have a line. Where that is another file than `/etc/courier/dhparams.pem`, look at that one.

In it there must be one `BEGIN` and one `END`, spelled `-----BEGIN DH PARAMETERS-----` and `-----END DH
PARAMETERS-----`. `X9.42 DH PARAMETERS` (from `openssl dhparam -dsaparam`) is not read. Of several blocks only the first
counts. With OpenSSL 3, no `EC PARAMETERS` may stand before it.

The last command prints the length, such as `DH Parameters: (3072 bit)`, on a healthy host. Anything else is an error:
the file is not there, or not what it should be.

## Fix by hand

Write a published group (RFC 7919). Nothing is interrupted: couriertls reads the file for every connection.

```console
# openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe3072 -out /etc/courier/dhparams.tmp
# chown --reference=/etc/courier/imapd.pem /etc/courier/dhparams.tmp
# chmod --reference=/etc/courier/imapd.pem /etc/courier/dhparams.tmp
# mv /etc/courier/dhparams.tmp /etc/courier/dhparams.pem
```

If `TLS_DHPARAMS` is not set anywhere, add `TLS_DHPARAMS=/etc/courier/dhparams.pem` to `imapd-ssl`, `pop3d-ssl`,
`esmtpd` and `esmtpd-ssl`, then restart the services: they read their settings only at the start.

## Undo

Put the old file back, if there was one. It was of no use.

## How to see that it worked

```console
# openssl s_client -connect localhost:993 -tls1_2 -cipher DHE </dev/null 2>&1 | grep -E 'Temp Key|alert|Cipher is'
Peer Temp Key: DH, 3072 bits
New, TLSv1.2, Cipher is DHE-RSA-AES256-GCM-SHA384
```

Before, it said `Cipher is (NONE)`.

## Why it happens

The file is made once, by `mkdhparams`, and by nothing else. It is missing after a move to another machine that copied
only certificates, after a failed `mkdhparams` (the GnuTLS version wants `DH_BITS=high`, not a number, and leaves only
an empty `dhparams.pem.tmp`), or in a container image. couriertls treats it as optional: GnuTLS builds swallow every
error.
"""

from courierlib import dh, tlsfiles
from courierlib.issue import BY_TLS, Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade

_SERVERS = ("imapd-ssl", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "imapd", "pop3d", "esmtpd")

ISSUE = Issue(
    id="dh-params-unusable",
    component="tls",
    severity=Severity.MEDIUM,
    affects=Affects(since="0.73"),
    interrupts="nothing: couriertls reads the file for every connection",
    fixed_by="courier.fix_dh",
    choices={"group": dh.GROUPS},
    look=(
        "grep '^TLS_DHPARAMS' /etc/courier/esmtpd /etc/courier/*-ssl",
        "grep -n -e ----- /etc/courier/dhparams.pem",
        "openssl dhparam -in /etc/courier/dhparams.pem -noout -text 2>&1 | head -1",
    ),
    tell="`openssl s_client -connect localhost:993` still names a cipher, which it does not with `pem-unreadable`, and "
    "the file of the DH parameters has no sound block; a sound one that is too short is `dh-params-weak`.",
    bites=("couriertls",),
    upgrades=(
        Upgrade(
            version="0.73",
            act="after",
            step="Name the DH parameters with `TLS_DHPARAMS` and make the file: `TLS_DHCERTFILE` is not read any more.",
        ),
    ),
    known=(
        "run: trixie with an OpenSSL 3.5.7 couriertls 1.4.1: missing, garbage, X9.42, truncated, damaged END line, "
        "indented, CR-only, EC PARAMETERS first: a DHE-only client is refused, others work",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): missing, garbage, X9.42, truncated: a DHE-only "
        "client that names no group is refused, others work",
        "run: bookworm 1.0.16, trixie 1.4.1 (GnuTLS): missing: gnutls-cli, DHE-only, naming ffdhe2048, works",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS): damaged END line, indented, CR-only, even prime, "
        "generator 1: cannot occur, a DHE-only client works",
        "read: INSTALL, 1.4.1: 0.73 removed TLS_DHCERTFILE; TLS_DHPARAMS takes its place",
        "read: load_dh_params() in libs/tcpd/libcouriertls.c, read_dh_params() in libcouriergnutls.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=_SERVERS,
            pattern=BY_TLS
            + r"couriertls: \S*dhparams?\.pem: error:[0-9A-F]+:system library:[a-z]*:(No such|Permission)",
            sample="ip=[192.0.2.7], couriertls: /etc/courier/dhparams.pem: error:FFFFFFFF80000002:system library::"
            "No such file or directory",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: \S+: error:1E08010C:DECODER routines::unsupported",
            sample="couriertls: /etc/courier/dhparams.pem: error:1E08010C:DECODER routines::unsupported",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: \S*dhparams?\.pem: error:[0-9A-F]+:PEM routines:[A-Za-z_]*:bad (end|base64)",
            sample="ip=[192.0.2.7], couriertls: /etc/courier/dhparams.pem: error:0908F066:PEM routines:"
            "get_header_and_data:bad end line",
            known="run: PEM_read_bio and the error texts of OpenSSL 1.1.1l; read: sslerror() in libcouriertls.c, 1.4.1",
            tls="OpenSSL 1.1",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: connect: error:0A0000C1:SSL routines::no shared cipher",
            sample="ip=[::ffff:127.0.0.1], couriertls: connect: error:0A0000C1:SSL routines::no shared cipher",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"couriertls: connect: error:(02800067:Diffie-Hellman|0180006C:bignum) routines::",
            sample="ip=[192.0.2.7], couriertls: connect: error:02800067:Diffie-Hellman routines::modulus too large",
            known="run: trixie, couriertls 1.4.1 with OpenSSL 3.5.7",
            tls="OpenSSL 3",
        ),
        Signature(
            process=_SERVERS,
            pattern=BY_TLS + r"No supported cipher suites have been found\.$",
            sample="ip=[192.0.2.7], No supported cipher suites have been found.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6 (GnuTLS)",
            tls="GnuTLS",
        ),
    ),
    references=("https://www.rfc-editor.org/rfc/rfc7919",),
)


def check(host):
    """Yield a finding for every place from which couriertls should take parameters, and cannot."""
    sources = list(tlsfiles.dh_sources(host))
    yield from (source for source in sources if isinstance(source, Unknown))
    sources = [source for source in sources if isinstance(source, tlsfiles.DhSource)]
    elsewhere = {name for s in sources if s.setting == "TLS_CERTFILE" and not s.problem for name in s.services}
    for source in sources:
        if not source.problem and (source.blocks < 2 or source.setting != "TLS_DHPARAMS"):
            continue
        advice = (
            not source.problem
            or source.spared
            or (source.missing and source.setting == "TLS_CERTFILE")
            or elsewhere.issuperset(source.services)
            or host.tls_library == "gnutls"
        )
        problem = source.problem or f"{source.blocks} blocks of DH parameters; only the first is used"
        yield Finding(
            where=source.path,
            detail=f"{problem} ({', '.join(source.services)})" + (source.unfixable and f"; {source.unfixable}"),
            severity=Severity.LOW if advice else None,
            fixable=not source.unfixable,
            subject=source,
        )


def fix(host, findings, *, group="ffdhe3072"):
    """Yield what puts a group of RFC 7919 there; a new file gets owner and mode of the certificate's file.

    Args:
        group: ``ffdhe2048``, ``ffdhe3072`` or ``ffdhe4096``.

    Raises:
        ValueError: another group.
    """
    for finding in findings:
        yield tlsfiles.write_group(finding.subject, group, finding.subject.problem or "several blocks")
