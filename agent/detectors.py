"""Finds structured data in a text: what a pattern, a checksum or a word beside it can tell. All take time linear in the text.

Each finder yields the kinds that it finds. The text must have been made plain first, see agent.classify.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate

from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import iban, luhn, numdb

Finder = Callable[[str], Iterator[str]]

_DIGITS = re.compile(r"\d+(?:[\s./_-]{1,3}\d+)*")
_CARD_DIGITS = range(12, 20)
_GROUPED = re.compile(r"\d(?:[ -]?\d){11,18}")
_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"  # Visa
    r"|(?:5[1-5]|2[2-7])\d{14}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3[0689]\d{12,17}|35\d{14,17}"  # Diners Club, JCB
    r"|(?:5[06-8]|6)\d{11,18}"  # Maestro, Discover, UnionPay
)
_IBAN = re.compile(r"(?<![A-Z0-9])(?=([A-Z]{2}[\s.-]?\d{2}(?:[\s.-]{0,2}[A-Z0-9]){11,30}))", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@]@(?:[\w-]{1,63}\.){1,126}[^\W\d_]{2,24}")
_SSN = re.compile(
    r"(?<!\d)(?!000|666|9\d\d)\d{3}[- ](?!00)\d{2}[- ](?!0000)\d{4}(?!\d)|(?:\bssn|social security)\D{0,20}\d{9}(?!\d)", re.IGNORECASE
)
_PHONE_SHAPE = re.compile(
    r"(?<![\w$€£.,])(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\d)"  # North America, its fictional 555 too
    r"|(?<![\w)])\+\d{1,3}(?:[ ().-]{0,2}\d){7,13}(?!\d)"  # E.123, international
    r"|(?<![\w.,:/-])(?!\d\d[./-][01]\d[./-])(?=(?:\D{0,2}\d){8})\(?0\d{1,4}\)?(?:[ ./-]\d{2,4}){2,4}(?!\d)"  # E.123, national; no date
    r"|\b(?:(?:tele)?phone|telefon|tel|mobile|cell|fax|call|dial|ring|sms|whatsapp)\b\D{0,25}\d(?:[ ()./-]{0,2}\d){6,14}(?!\d)",
    re.IGNORECASE,
)
_SEVEN_DIGITS = re.compile(r"(?:\d\D{0,4}){7}")

_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{16,}|(?:gsk|nvapi|pplx|xai|r8|phc|phx)[_-][A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic and others that serve models
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS access key id
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|gl(?:pat|ptt|rt|dt|soat)-[A-Za-z0-9_-]{20,}"  # GitHub, GitLab
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"  # Google
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}"  # Stripe
    r"|(?:AC|SK)[0-9a-f]{32}(?![0-9a-f])|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|key-[0-9a-f]{32}"  # Twilio, SendGrid, Mailgun
    r"|(?:hf|npm|dckr_pat|rubygems|ntn|lin_api|dapi|do[opr]_v1|shp(?:at|ca|pa|ss))_?[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}"
    r"|hv[sbr]\.[A-Za-z0-9_-]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{40,}"  # Vault, age
    r"|\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"  # Telegram
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # JSON Web Token
    r")|AccountKey=[A-Za-z0-9+/]{40,}|-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
)
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:[^\s/@]{1,200}@|\bbasic\s[a-z0-9+/]{8,}={0,2}", re.IGNORECASE)
_NAMED_SECRET = re.compile(
    r"(?:pass(?:word|wort|wd|phrase|code)s?|kennwort|pwd|mot de passe|contrasena|secret(?:[ _-]?key)?"
    r"|(?:api|access|private)[ _-]?key|(?:auth|access|api|refresh)[ _-]?token|bearer|credentials?)"
    r"(?:(?P<sure>\s+(?:is|was|ist|est|es)(?:\s*:\s*|\s+)|[\"'`)\]]{0,2}\s*(?:[:=]+>?|-?>)\s*)"
    r"|\s+(?:(?:for|of|to|on)\s[^\n:=.!?]{1,40}?(?:\s(?:is|was)\s+|[:=]\s*))?)"
    r"[\"'`<]?(?P<value>[^\s\"'`,;<]{4,200})",
    re.IGNORECASE,
)
_PIN = re.compile(r"\bpin(?:[ _-]?(?:code|number))?(?:\s*[:=]\s*|\s+(?:is\s+|was\s+)?)\d{4,8}(?!\d)", re.IGNORECASE)


def find_cards(text: str) -> Iterator[str]:
    """Finds payment card numbers: 12 to 19 digits that pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    for run in _DIGITS.finditer(text):
        if any(len(set(number)) > 1 and luhn.is_valid(number) for number in _card_candidates(run.group())):
            yield "CREDIT_CARD"


def _card_candidates(run: str) -> Iterator[str]:
    """What may be a card in a run of digits: each group, all of them, and neighbours that begin as issuers' numbers do."""
    groups = re.findall(r"\d+", run)
    if _GROUPED.fullmatch(run):
        yield "".join(groups)
    for start, first in enumerate(groups):
        if len(first) in _CARD_DIGITS:
            yield first
        for number in accumulate(groups[start : start + _CARD_DIGITS.stop]):
            if len(number) >= _CARD_DIGITS.stop:
                break
            if _ISSUED.fullmatch(number):
                yield number


def find_ibans(text: str) -> Iterator[str]:
    """Finds account numbers that have the length and form of their country, and pass the check of ISO 13616."""
    for match in _IBAN.finditer(text):
        compact = re.sub(r"[^A-Z0-9]", "", match[1].upper())
        length = _iban_length(compact[:2])
        if 0 < length <= len(compact) and iban.is_valid(compact[:length], check_country=False):
            yield "IBAN_CODE"


@cache
def _iban_length(country: str) -> int:
    """Returns how long a country's account numbers are; 0: it has none. In the registry, `4!a6!n8!n` means 4 + 6 + 8 characters."""
    form = numdb.get("iban").info(country)[0][1].get("bban")
    return 4 + sum(int(part) for part in re.findall(r"\d+", form)) if form else 0


def find_secrets(text: str) -> Iterator[str]:
    """Finds keys by their issuers' prefixes, private keys, passwords in URLs, and values that a text calls a secret."""
    if _KEY.search(text):
        yield "API_KEY"
    if _URL_PASSWORD.search(text) or _PIN.search(text):
        yield "PASSWORD"
    for match in _NAMED_SECRET.finditer(text):
        if match["sure"] or re.search(r"[\d@#$%^&*_+=~|]", match["value"]):  # "password rules" is talk about passwords
            yield "PASSWORD"


def phone_finder(regions: Sequence[str]) -> Finder:
    """Returns a finder of phone numbers: the valid ones of any country, and what is written as phone numbers are.

    Args:
        regions: ISO 3166 codes of the countries whose national forms are known on this site; international ones always are.
    """

    def find_phones(text: str) -> Iterator[str]:
        if not _SEVEN_DIGITS.search(text):
            return
        if _PHONE_SHAPE.search(text):
            yield "PHONE_NUMBER"
            return
        for region in regions or (None,):
            if any(PhoneNumberMatcher(text, region, leniency=Leniency.VALID)):
                yield "PHONE_NUMBER"

    return find_phones


def find_emails(text: str) -> Iterator[str]:
    """Finds e-mail addresses, international ones (RFC 6531) too."""
    if _EMAIL.search(text):
        yield "EMAIL_ADDRESS"


def find_ssns(text: str) -> Iterator[str]:
    """Finds social security numbers of the United States."""
    if _SSN.search(text):
        yield "US_SSN"
