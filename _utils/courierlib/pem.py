"""What is inside a PEM file, as each TLS library sees it, and how its form is repaired.

GnuTLS looks for markers anywhere and skips white space; OpenSSL reads lines, and one bad line costs everything that
follows (read: crypto/pem/pem_lib.c, OpenSSL 3.0; run: GnuTLS 3.7.9). A private key is reduced to the fingerprint of its
public half as soon as it is read; nothing here keeps it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from courierlib import der
from courierlib.plan import Refused

if TYPE_CHECKING:
    from courierlib.keys import Certificate

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9][A-Z0-9 .]*)-----")
_LINE_END = re.compile(rb"\r{0,3}\n|\r")
_REST = re.compile(rb"[^\r\n]*")
_UTF8_BOM = b"\xef\xbb\xbf"
_CERTIFICATES = {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}
_OPENSSL_ONLY = {"TRUSTED CERTIFICATE"}
_KEYS = {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY"}
_RSA_OIDS = {bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d01010a")}
_RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")
_OPENSSL_LINE = 254
_MAX_BLOCKS = 500


@dataclass(frozen=True)
class Block:
    """One block of a PEM file.

    Args:
        label: what stands after ``BEGIN``.
        start: offset of the first dash of the BEGIN marker.
        end: offset after the last dash of the END marker, or after the last byte looked at if there is none.
        digest: SHA-256 of what the block decodes to, in hexadecimal; empty if it cannot be decoded.
        damage: why it cannot be used; empty if it can.
        footer: its END line is damaged, which GnuTLS does not mind.
        pkcs8: a private key in the form that the label ``PRIVATE KEY`` announces.
        encrypted: a private key that asks for a passphrase.
        public: SHA-256 of the public key (SubjectPublicKeyInfo) of a certificate or a private key; empty if unknown.
        doubt: why it cannot be told whether it is sound; empty if it can.
        data: what a block that is neither a certificate nor a private key decodes to.
        certificate: what a certificate says of itself; None if that is not known.
    """

    label: str
    start: int
    end: int
    digest: str = ""
    damage: str = ""
    footer: str = ""
    pkcs8: bool = False
    encrypted: bool = False
    public: str = ""
    doubt: str = ""
    data: bytes = field(default=b"", repr=False)
    certificate: Certificate | None = None

    @property
    def is_certificate(self) -> bool:
        return self.label in _CERTIFICATES

    @property
    def is_key(self) -> bool:
        return self.label in _KEYS


@dataclass(frozen=True)
class PemFile:
    """What a PEM file holds.

    Args:
        line_ends: ``LF``, ``CRLF``, ``CR``, ``mixed``, or empty if there is no line end.
        bom: begins with a UTF-8 byte order mark.
        form: what it is instead of PEM: ``empty``, ``DER``, ``UTF-16`` or ``text``; empty if it has a PEM marker.
        blocks: what stands there, however it is laid out; what GnuTLS sees.
        openssl: what OpenSSL sees.
        openssl_stops: why and at which line OpenSSL stops reading; empty if it reads to the end.
        layout: markers and lines that are not where they belong, each in words with its line.
    """

    line_ends: str
    bom: bool
    form: str
    blocks: tuple[Block, ...]
    openssl: tuple[Block, ...]
    openssl_stops: str
    layout: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Every block can be decoded, so only the layout can be at fault."""
        return bool(self.blocks) and all(block.digest and not block.footer for block in self.blocks)


@dataclass(frozen=True)
class Problem:
    """Why a TLS library cannot use a file, or advice on it.

    Args:
        kind: ``form``, ``layout``, ``damaged``, ``no-certificate``, ``no-key``, ``encrypted``, ``mismatch``,
            ``missing``; ``advice`` if it works; ``bom`` if it works but with old libraries; ``doubt`` if that cannot
            be told.
        detail: in words, with the line.
        repairable: ``repair`` can mend it.
        in_key_file: it is in the separate file of the private key.
    """

    kind: str
    detail: str
    repairable: bool = False
    in_key_file: bool = False


_parsed: OrderedDict[bytes, PemFile] = OrderedDict()
_MAX_PARSED = 4096


def parse(content: bytes) -> PemFile:
    """Look at the content of a PEM file. Never fails: what is wrong stands in the answer, remembered by its hash."""
    name = hashlib.sha256(content).digest()
    if name not in _parsed:
        if len(_parsed) >= _MAX_PARSED:
            _parsed.popitem(last=False)
        _parsed[name] = _parse(content)
    return _parsed[name]


def unix_line_ends(content: bytes) -> bytes:
    """The same content with LF as its only line end."""
    return _LINE_END.sub(b"\n", content) if b"\r" in content else content


def problems(library: str, certificate: PemFile, key: PemFile | None = None) -> Iterator[Problem]:
    """Why couriertls cannot use a certificate file and the private key in it or in a file of its own.

    Args:
        library: ``openssl`` or ``gnutls``.
        certificate: the content of TLS_CERTFILE.
        key: the content of TLS_PRIVATE_KEYFILE; None: the key is in the certificate's file.

    Yields:
        Line ends are not looked at: give it content with LF only.
    """
    certificates = _CERTIFICATES - _OPENSSL_ONLY if library == "gnutls" else _CERTIFICATES
    separate = key is not None
    files = [(certificate, certificates), (key, _KEYS)] if separate else [(certificate, certificates | _KEYS)]
    stopped = False
    for file, used in files:
        for problem in _file_problems(library, file, used):
            stopped = stopped or problem.kind not in ("advice", "bom", "layout", "doubt")
            yield replace(problem, in_key_file=file is key)
    if stopped:
        return
    certified = [block for block in certificate.blocks if block.label in certificates]
    if not certified:
        yield Problem("no-certificate", f"no certificate in it, only {_labels(certificate.blocks)}")
    for problem in _key_problems(certified, (key or certificate).blocks):
        yield replace(problem, in_key_file=separate)


def repair(content: bytes) -> bytes:
    """Put a PEM file into the form that every TLS library reads: LF, each marker on its own line, no byte order mark.

    Text between the blocks stays. What the blocks decode to is compared before and after.

    Raises:
        Refused: there is no sound block, or what would be written does not decode to the same, block for block.
    """
    plain = _from_utf16(content)
    before = _parse(plain)
    if not 0 < len(before.blocks) < _MAX_BLOCKS:
        raise Refused("no PEM block in it, or far too many")
    for block in before.blocks:
        if block.footer or not block.digest:
            raise Refused(f"{block.label}: {block.footer or block.damage}")
    parts, at = [], 0
    for block in before.blocks:
        parts += [_between(plain[at : block.start]), _lines_of(plain[block.start : block.end])]
        at = block.end
    repaired = b"".join((*parts, _between(plain[at:])))
    after = _parse(repaired)
    if _content(after.blocks) != _content(before.blocks) or _content(after.openssl) != _content(before.blocks):
        raise Refused("the repaired file would not decode to the same blocks")
    return repaired


def replace_block(content: bytes, block: Block, replacement: bytes) -> bytes:
    """Put another block in the place of one, with the line ends around it, and leave every other byte alone.

    Args:
        content: the file that ``block`` was found in.
        replacement: a PEM block with LF line ends.

    Raises:
        Refused: the file would not read as before but for that block.
    """
    before = parse(content)
    eol = {"CRLF": b"\r\n", "CR": b"\r"}.get(before.line_ends, b"\n")
    changed = content[: block.start] + replacement.strip().replace(b"\n", eol) + content[block.end :]
    expected = [other.digest for other in before.blocks]
    expected[before.blocks.index(block)] = parse(replacement).blocks[0].digest
    if [other.digest for other in parse(changed).blocks] != expected:
        raise Refused(f"replacing {block.label} would change how the rest of the file reads")
    return changed


def _parse(content: bytes) -> PemFile:
    form = _form(content)
    ends = {match if match in (b"\n", b"\r") else b"\r\n" for match in _LINE_END.findall(content)}
    names = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}
    line_ends = "" if not ends or form in ("DER", "UTF-16") else names[ends.pop()] if len(ends) == 1 else "mixed"
    blocks = () if form in ("DER", "UTF-16") else tuple(itertools.islice(_blocks(content), _MAX_BLOCKS))
    openssl, stops = _openssl(content, blocks)
    layout = tuple(itertools.islice(_layout(content, blocks), 5))
    return PemFile(line_ends, content.startswith(_UTF8_BOM), form, blocks, openssl, stops, layout)


def _form(content: bytes) -> str:
    if not content.strip(b" \t\r\n\0"):
        return "empty"
    if _BEGIN.search(content):
        return ""
    if re.search(rb"-\0-\0-\0-\0-\0B\0|\0-\0-\0-\0-\0-\0B", content):
        return "UTF-16"
    try:
        der.sequence(content)
    except der.Bad:
        return "text"
    return "DER"


def _blocks(content: bytes) -> Iterator[Block]:
    """Every block, wherever on its line it begins."""
    begin = _BEGIN.search(content)
    while begin:
        following = _BEGIN.search(content, begin.end())
        limit = following.start() if following else len(content)
        label = begin[1].decode()
        footer = b"-----END " + begin[1] + b"-----"
        end = content.find(footer, begin.end(), limit)
        if end < 0:
            half = content.find(b"-----END ", begin.end(), limit)
            if half < 0:
                damage = f"no END line, the file was cut off (line {_line(content, begin.start())})"
                yield Block(label, begin.start(), limit, damage=damage)
            else:
                block = _block(label, content[begin.end() : half], begin.start(), limit)
                yield replace(block, footer=f"damaged END line (line {_line(content, half)})")
        else:
            yield _block(label, content[begin.end() : end], begin.start(), end + len(footer))
        begin = following


def _block(label: str, body: bytes, start: int, end: int) -> Block:
    headers, data = _decoded(body)
    encrypted = label == "ENCRYPTED PRIVATE KEY" or b"ENCRYPTED" in headers
    if not data:
        damage = "nothing in it" if data == b"" else "not base64"
        return Block(label, start, end, damage=damage, encrypted=encrypted)
    block = Block(label, start, end, hashlib.sha256(data).hexdigest(), encrypted=encrypted)
    if not (block.is_certificate or block.is_key):
        # Other labels can hide a key (OPENSSH PRIVATE KEY): only what is never secret is kept.
        return replace(block, data=data) if label.endswith("PARAMETERS") else block
    try:
        if block.is_certificate:
            public, doubt, certificate = _certified(data, block.digest)
            return replace(block, public=public, doubt=doubt, certificate=certificate)
        return block if encrypted else _key_block(block, data)
    except der.Bad as bad:
        return replace(block, damage=f"not a {label.lower()}: {bad}")


def _decoded(body: bytes) -> tuple[bytes, bytes | None]:
    """Headers (RFC 1421) and content of a block; None if it is not base64."""
    headers, rest = b"", body
    if b":" in body:
        headers, _, rest = unix_line_ends(body).rpartition(b"\n\n")
    joined = b"".join(rest.split())
    try:
        return headers, base64.b64decode(joined, validate=True) if len(joined) % 4 == 0 else None
    except (binascii.Error, ValueError):
        return headers, None


def _key_block(block: Block, data: bytes) -> Block:
    """The block of a private key without the key.

    Raises:
        der.Bad: it is none, or its numbers do not belong together.
    """
    second = der.sequence(data)[1:2]
    pkcs8 = bool(second) and second[0].tag == der.SEQUENCE
    if block.label == "PRIVATE KEY" and not pkcs8:
        raise der.Bad("its label belongs to another form of key")
    public = _public_half(data)
    return replace(
        block, pkcs8=pkcs8, public=public, doubt="" if public else "an unknown kind of key, or a damaged one"
    )


def _openssl(content: bytes, known: tuple[Block, ...]) -> tuple[tuple[Block, ...], str]:
    """The blocks that OpenSSL's reader finds line by line, and where it gives up.

    Read: get_name() and get_header_and_data() in crypto/pem/pem_lib.c, OpenSSL 3.0.
    """
    found: list[Block] = []
    by_start = {block.start: block for block in known}
    label, start, body, lengths = b"", 0, 0, None
    fresh = True
    for at, line in _openssl_lines(content):
        if not label:
            if fresh and line.startswith(_UTF8_BOM):
                at, line = at + len(_UTF8_BOM), line[len(_UTF8_BOM) :]
            fresh = False
            if line.startswith(b"-----BEGIN ") and line.endswith(b"-----"):
                label, start, body, lengths = line[11:-5], at, at + len(line), None
        elif line.startswith(b"-----END "):
            block = by_start.get(start)
            if line != b"-----END " + label + b"-----" or block is None:
                return tuple(found), f"line {_line(content, at)}: bad END line"
            if not block.digest:
                return tuple(found), block.damage
            found.append(block)
            label, fresh = b"", True
        elif not line:
            header = content[body:at].strip()
            if lengths is not None or (header and b":" not in header):
                return tuple(found), f"line {_line(content, at)}: blank line inside a block"
            lengths = set()
        elif lengths is not None:
            # Behind a blank line every line but the last must have 64 characters.
            if len(line) > 64 or lengths - {64}:
                return tuple(found), f"line {_line(content, at)}: line of the wrong length"
            lengths.add(len(line))
    return tuple(found), f"line {_line(content, start)}: no END line" if label else ""


def _openssl_lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines as BIO_gets() and sanitize_line() give them: cut at LF or after 254 bytes, trailing white space gone."""
    at, whole = 0, True
    while at < len(content):
        newline = content.find(b"\n", at, at + _OPENSSL_LINE)
        end = newline + 1 if newline >= 0 else min(at + _OPENSSL_LINE, len(content))
        line = content[at:end].rstrip(bytes(range(33)))
        if line or whole:
            yield at, line
        whole = newline >= 0
        at = end


def _layout(content: bytes, blocks: tuple[Block, ...]) -> Iterator[str]:
    for block in blocks:
        line_start = max(content.rfind(b"\n", 0, block.start), content.rfind(b"\r", 0, block.start)) + 1
        before = content[line_start : block.start]
        if before and before != _UTF8_BOM or (before and line_start):
            how = "indented" if not before.strip() else "not at the beginning of a line"
            yield f"line {_line(content, block.start)}: BEGIN {block.label} {how}"
        if block.footer or not block.digest:
            continue
        footer = content.rfind(b"-----END ", block.start, block.end)
        if _REST.match(content, _BEGIN.match(content, block.start).end())[0].strip():
            yield f"line {_line(content, block.start)}: something follows BEGIN {block.label} on its line"
        if content[footer - 1 : footer] not in (b"\n", b"\r"):
            yield f"line {_line(content, footer)}: END {block.label} not at the beginning of a line"
        after = _REST.match(content, block.end)[0]
        if after.strip() and not _BEGIN.search(after):
            yield f"line {_line(content, footer)}: something follows END {block.label} on its line"
        body = content[block.start : block.end]
        if b":" not in body and re.search(rb"\n[ \t\r]*\n|\r[ \t]*\r(?!\n)", body):
            yield f"line {_line(content, block.start)}: blank lines inside {block.label}"


def _file_problems(library: str, file: PemFile, used: set[str]) -> Iterator[Problem]:
    """What is wrong with one file, of which blocks with certain labels are used."""
    if file.form:
        yield Problem("form", _FORMS[file.form], repairable=file.form == "UTF-16")
        return
    needed = [block for block in file.blocks if block.label in used]
    # OpenSSL reads a certificate's file to its end, and a private key's only to the key.
    read = [block for block in file.openssl if block.label in used]
    lost = library == "openssl" and (
        bool(file.openssl_stops) or read != needed if used & _CERTIFICATES else read[:1] != needed[:1]
    )
    if lost and not file.whole:
        broken = [block for block in file.blocks if block.footer or not block.digest]
        yield from (Problem("damaged", f"{block.label}: {block.footer or block.damage}") for block in broken)
        return
    if lost:
        yield Problem("layout", "; ".join(file.layout) or file.openssl_stops or "its line ends", repairable=True)
    elif file.layout and file.whole:
        yield Problem("advice", f"{'; '.join(file.layout)}; other TLS libraries do not read it", repairable=True)
    yield from (Problem("damaged", f"{block.label}: {block.damage}") for block in needed if block.damage)
    yield from (Problem("doubt", f"{block.label}: {block.doubt}") for block in needed if block.doubt)
    if library == "gnutls":
        yield from _gnutls_problems(file, needed)
    if file.bom:
        yield Problem("bom", "begins with a UTF-8 byte order mark, which OpenSSL skips since 3.0", repairable=True)


def _gnutls_problems(file: PemFile, needed: list[Block]) -> Iterator[Problem]:
    """What only GnuTLS minds (run: GnuTLS 3.7.9)."""
    for block in file.blocks:
        if block.label.startswith("CERTIFICATE ") and any(other.is_certificate for other in needed):
            yield Problem("damaged", f"{block.label}: GnuTLS takes it for a certificate; it does not belong here")
    for block in needed:
        if block.pkcs8 and block.label != "PRIVATE KEY":
            yield Problem("damaged", f"{block.label}: what is in it belongs under the label PRIVATE KEY")


_FORMS = {
    "empty": "nothing in it",
    "DER": "DER, the binary form: couriertls reads PEM only",
    "UTF-16": "UTF-16, saved as Unicode text by an editor: couriertls reads plain text only",
    "text": "no PEM block in it",
}


def _key_problems(certificates: list[Block], held: tuple[Block, ...]) -> Iterator[Problem]:
    keys = [block for block in held if block.is_key]
    if not keys:
        yield Problem("no-key", f"no private key in it, only {_labels(held)}")
        return
    if keys[0].encrypted:
        yield Problem("encrypted", "the private key asks for a passphrase, and nobody is there to type it")
        return
    if len({key.digest for key in keys}) > 1:
        yield Problem("advice", f"{len(keys)} private keys; only the first is used")
    public = [block.public for block in certificates]
    if not (public and public[0] and keys[0].public) or keys[0].public == public[0]:
        return
    other = f"; it belongs to certificate {public.index(keys[0].public) + 1}" if keys[0].public in public else ""
    yield Problem(
        "mismatch",
        f"the private key does not belong to the first certificate{other} (SHA-256 of the public keys: "
        f"{keys[0].public[:16]}… and {public[0][:16]}…)",
    )


def _labels(blocks: tuple[Block, ...]) -> str:
    return ", ".join(dict.fromkeys(block.label for block in blocks)) or "text"


def _content(blocks: tuple[Block, ...]) -> list[tuple[str, str]]:
    return [(block.label, block.digest) for block in blocks]


def _line(content: bytes, at: int) -> int:
    return len(_LINE_END.findall(content, 0, at)) + 1


def _from_utf16(content: bytes) -> bytes:
    if _form(content) != "UTF-16":
        return content
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding = "utf-16" if marked else "utf-16-be" if content.startswith(b"\0") else "utf-16-le"
    try:
        return content.decode(encoding).encode("ascii")
    except UnicodeError:
        raise Refused("UTF-16 with more than plain ASCII in it") from None


def _between(text: bytes) -> bytes:
    """What stands outside the blocks, so that the next marker begins a line."""
    text = unix_line_ends(text.replace(_UTF8_BOM, b"")).strip(b" \t")
    text = text.removeprefix(b"\n")
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _lines_of(block: bytes) -> bytes:
    begin, footer = _BEGIN.match(block), block.rindex(b"-----END ")
    body = unix_line_ends(block[begin.end() : footer])
    lines = [line.strip() for line in body.strip().split(b"\n")]
    if b":" not in body:
        lines = [line for line in lines if line]
    return b"\n".join((begin[0], *lines, block[footer:])) + b"\n"


_certified_keys: dict[str, tuple[str, str, Certificate | None]] = {}


def _certified(data: bytes, digest: str) -> tuple[str, str, Certificate | None]:
    """The fingerprint of a certificate's public key, what is doubtful about it, and what it says of itself; remembered
    by its hash.

    Raises:
        der.Bad: not a certificate.
    """
    if digest not in _certified_keys:
        if len(_certified_keys) >= _MAX_PARSED:
            _certified_keys.clear()
        whole = der.read(data)
        members = der.children(data, whole)
        fields = der.children(data, members[0]) if members else []
        # TBSCertificate: [0] version (optional), serial, algorithm, issuer, validity, subject, public key.
        at = 6 if fields and fields[0].tag == 0xA0 else 5
        if len(members) != 3 or len(fields) <= at or fields[at].tag != der.SEQUENCE:
            raise der.Bad("it has no public key")
        public = _fingerprint_of(data, fields[at])
        from courierlib import keys

        certificate = None
        try:
            certificate = keys.load_certificate(data[: whole.end])
            doubt = "" if public else "an unknown kind of key"
        except keys.NOT_KNOWN as refused:
            der.check(data[: whole.end])
            doubt = f"an unusual certificate or a damaged one ({str(refused)[:80]})"
        _certified_keys[digest] = public, doubt, certificate
    return _certified_keys[digest]


def _fingerprint_of(data: bytes, info: der.Value) -> str:
    """SHA-256 of a SubjectPublicKeyInfo; keys of one value give one fingerprint, however they are written."""
    parts = der.children(data, info)
    if len(parts) != 2:
        raise der.Bad("its public key is damaged")
    algorithm, key = parts
    oid = der.read(data, algorithm.start, algorithm.end)
    if data[oid.start : oid.end] in _RSA_OIDS:
        # The first octet of a BIT STRING counts unused bits.
        numbers = der.children(data, der.read(data, key.start + 1, key.end))
        if len(numbers) != 2:
            raise der.Bad("its public key is damaged")
        return _rsa_fingerprint(*(der.integer(data, number) for number in numbers))
    raw = der.encode(der.SEQUENCE, data[info.start : info.end])
    from courierlib import keys

    return keys.public(raw)


def _public_half(data: bytes) -> str:
    """The fingerprint of the public key that belongs to a private key; empty for a kind that is not known here.

    Raises:
        der.Bad: not a private key, or its numbers do not belong together.
    """
    members = der.sequence(data)
    if len(members) >= 3 and members[1].tag == der.SEQUENCE:
        oid = der.read(data, members[1].start, members[1].end)
        if data[oid.start : oid.end] in _RSA_OIDS:
            return _rsa_public_half(data[members[2].start : members[2].end])
    elif len(members) >= 9 and all(member.tag == der.INTEGER for member in members[:9]) and _is_rsa(data, members):
        return _rsa_public_half(data)
    from courierlib import keys

    return keys.public_half(data)


def _is_rsa(data: bytes, members: list[der.Value]) -> bool:
    return members[1].end - members[1].start > 8 and der.integer(data, members[0]) in (0, 1)


def _rsa_public_half(data: bytes) -> str:
    """From the nine numbers of PKCS #1.

    Raises:
        der.Bad: one of them is damaged. A full validation would cost 80 ms for each key (run: cryptography 50).
    """
    numbers = [der.integer(data, member) for member in der.sequence(data)[:9]]
    if len(numbers) != 9:
        raise der.Bad(f"{len(numbers)} numbers where 9 belong")
    version, modulus, exponent, secret, p, q = numbers[:6]
    if version == 0 and (p * q != modulus or p < 3 or q < 3 or (exponent * secret - 1) % (p - 1)):
        raise der.Bad("its numbers do not belong together")
    return _rsa_fingerprint(modulus, exponent)


def _rsa_fingerprint(modulus: int, exponent: int) -> str:
    if modulus <= 0 or exponent <= 0:
        raise der.Bad("an RSA key of numbers that are not positive")
    numbers = der.encode(der.SEQUENCE, der.encode_integer(modulus) + der.encode_integer(exponent))
    info = der.encode(der.SEQUENCE, _RSA_ALGORITHM + der.encode(der.BIT_STRING, b"\0" + numbers))
    return hashlib.sha256(info).hexdigest()
