"""Finds how to reach somebody or something: e-mail, telephone, web and network addresses, places on the globe. Linear in the text."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence

import phonenumbers

from contract.classification import Finding

Finder = Callable[[str], Iterator[Finding]]

_EMAIL = re.compile(
    r"(?:\"[^\"\s@][^\"@\n]{0,63}\"|(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}|[^\s@])@(?:[\w-]{1,63}\.){1,126}[^\W\d_]{2,24}"
)
_SPELT_EMAIL = re.compile(
    r"\b[\w.+-]{1,64}\s?[(\[{]?\s?\bat\b\s?[)\]}]?\s?[\w-]{1,63}\s?[(\[{]?\s?\bdot\b\s?[)\]}]?\s?[a-z]{2,6}\b", re.IGNORECASE
)
_URL = re.compile(
    r"\b(?:https?|ftp|sftp|smb|ssh)://[^\s<>\"'`]{3,2000}|\bwww\.[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}(?:/[^\s<>\"'`]{0,2000})?", re.IGNORECASE
)
_INTERNAL_HOST = re.compile(
    r"(?<![\w.-])(?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,8}(?:local|internal|intranet|intra|corp|lan|localdomain|home\.arpa|private)\b(?![\w-])",
    re.IGNORECASE,
)
_UNC = re.compile(r"(?<!\\)\\\\[\w.-]{1,63}\\[^\s\"'<>|]{1,200}")
_IPV4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f:]{0,39}:)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
_MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![\w:-])", re.IGNORECASE)
_COORDINATES = re.compile(
    r"(?<![\d.])[+-]?(?:[1-8]?\d|90)\.\d{3,}\s?°?\s?[NS]?\s?[,;/ ]\s?[+-]?(?:1[0-7]\d|\d?\d|180)\.\d{3,}(?!\d)(?:\s?°)?(?:\s?[EWO]\b)?"
    r"|\d{1,2}\s?°\s?\d{1,2}\s?['\u2032]\s?(?:\d{1,2}(?:\.\d+)?\s?(?:\"|\u2033|''))?\s?[NS][,\s]{0,3}\d{1,3}\s?°\s?\d{1,2}\s?['\u2032]\s?(?:\d{1,2}(?:\.\d+)?\s?(?:\"|\u2033|''))?\s?[EWO]\b"
)

_NUMBER = re.compile(
    r"(?<![\w.$€£/-])(?<!\d[:,])(?!\d{1,4}[./-]\d{1,2}[./-]\d{2,4}(?![./-]?\d))(?:\+|\(\+)?\(?\d(?:[ ().\-/]{0,3}\d){6,15}(?:\s?(?:x"
    r"|ext\.?|extension)\s?\d{1,6})?(?!\w|[.,:]\d)",
    re.IGNORECASE,
)
_SHAPE = re.compile(
    r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"  # North America, its fictional 555 too
    r"|\(?\+\d{1,3}\)?(?:[ ().-]{0,3}\d){6,13}"  # E.123, international
    r"|(?:001|00[1-9]\d)(?:[ ().-]{0,3}\d){7,13}"
    r"|(?!\d\d[./-][01]\d[./-])(?=(?:\D{0,2}\d){8})\(?0\d{1,4}\)?(?:[ ./-]\d{2,4}){2,4}",  # E.123, national; no date
    re.IGNORECASE,
)
_SINGLE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
_SHAPE_SUFFIX = re.compile(r"\s?(?:x|ext\.?|extension)\s?\d{1,6}$", re.IGNORECASE)
_CALLED_A_PHONE = re.compile(
    r"\b(?:(?:tele)?phone|telefon(?:o|nummer)?|tel|tfn|mobile?|mobil|handy|cell(?:phone|ular)?|fax|call|called|dial|ring|sms|whatsapp|rufen|numero|text|portable|movil"
    r"|reach (?:me|him|her|us|them)(?: at| on)?)\b\D{0,25}$",
    re.IGNORECASE,
)
_SAID_AFTER = re.compile(r"\s{0,2}[(\[]?(?:office|fax|mobile|cell|home|work|phone|tel|direct)\b", re.IGNORECASE)
_LOOKBEHIND_CHARACTERS = 50


def find_emails(text: str) -> Iterator[Finding]:
    """Finds e-mail addresses, international ones (RFC 6531) and those that are spelt with "at" and "dot" too."""
    if "@" in text:
        yield from _each(_EMAIL, text, "EMAIL_ADDRESS")
    yield from _each(_SPELT_EMAIL, text, "EMAIL_ADDRESS")


def find_hosts(text: str) -> Iterator[Finding]:
    """Finds addresses of the web and of networks. Private networks and names that no public resolver knows are a company's own."""
    for match in _URL.finditer(text):
        end = match.end() - len(match.group()) + len(match.group().rstrip(".,;:!?)]}"))
        yield Finding(match.start(), end, "INTERNAL_HOST" if _INTERNAL_HOST.search(match.group()) else "URL")
    yield from _each(_INTERNAL_HOST, text, "INTERNAL_HOST")
    yield from _each(_UNC, text, "INTERNAL_HOST")
    for match in _IPV4.finditer(text):
        yield Finding(match.start(), match.end(), _network_kind(match.group()))
    for pattern in (_IPV6, _MAC):
        for match in pattern.finditer(text):
            if pattern is _MAC or _is_ipv6(match.group()):
                yield Finding(match.start(), match.end(), "IP_ADDRESS" if pattern is _MAC else _network_kind(match.group()))


def _network_kind(written: str) -> str:
    address = ipaddress.ip_address(".".join(str(int(part)) for part in written.split(".")) if "." in written else written)
    return "IP_ADDRESS" if address.is_global else "INTERNAL_HOST"


def _is_ipv6(written: str) -> bool:
    try:
        ipaddress.IPv6Address(written)
    except ValueError:
        return False
    return len(written) > 4


def find_coordinates(text: str) -> Iterator[Finding]:
    """Finds places given by latitude and longitude."""
    yield from _each(_COORDINATES, text, "COORDINATES")


def phone_finder(regions: Sequence[str]) -> Finder:
    """Returns a finder of phone numbers: the valid ones of any country, and what is written or called as phone numbers are.

    Args:
        regions: ISO 3166 codes of the countries whose national forms are known on this site; international ones always are.
    """

    def find_phones(text: str) -> Iterator[Finding]:
        for match in _NUMBER.finditer(text):
            if _is_phone(text, match, regions):
                yield Finding(match.start(), match.end(), "PHONE_NUMBER")

    return find_phones


def _is_phone(text: str, match: re.Match[str], regions: Sequence[str]) -> bool:
    number = _SHAPE_SUFFIX.sub("", match.group())
    if _SHAPE.fullmatch(number) or len(number) < len(match.group()):
        return True
    before = text[max(0, match.start() - _LOOKBEHIND_CHARACTERS) : match.start()]
    if _CALLED_A_PHONE.search(before) or _SAID_AFTER.match(text, match.end()):
        return True
    return (
        len(_SINGLE_DIGIT.findall(number)) < 3
        and not re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{4}|\d{4}-\d\d-\d\d.*", number)
        and any(_is_valid(number, region) for region in regions)
    )


def _is_valid(number: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


def _each(pattern: re.Pattern[str], text: str, kind: str) -> Iterator[Finding]:
    for match in pattern.finditer(text):
        yield Finding(match.start(), match.end(), kind)
