"""Finds payment cards and accounts: numbers that a checksum or a word beside them tells. All take time linear in the text."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from stdnum import iban, luhn, numdb

from contract.classification import Finding

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
_NAMED_CARD = re.compile(
    r"\b(?:(?:credit|debit|bank) ?card|card (?:number|no\.?)|visa|master ?card|amex|american express|kreditkarte|carte bancaire|tarjeta)\b"
    r"[^\d\n]{0,25}(?P<value>\d(?:[ -]?\d){11,18})(?!\d)",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<![A-Z0-9])(?=([A-Z]{2}[\s.-]?\d{2}(?:[\s.-]{0,2}[A-Z0-9]){11,30}))", re.IGNORECASE)
_ACCOUNT = re.compile(
    r"\b(?:(?:bank|checking|savings|current|customer|patient|insurance|policy|member(?:ship)?|employee|tax|loan|brokerage)?[ -]?"
    r"(?:account|acct|policy|membership|member|insurance|claim|customer|employee|routing|konto|kontonummer|compte|cuenta|conto|rekening)"
    r"[ -]?(?:number|no\.?|num\.?|nr\.?|id|#|:)|\ba/c|sort code|bsb|routing|swift|bic)"
    r"[\s:#=]*(?:is |was |ist |est |es )?(?P<value>[A-Z]{0,4}[- ]?\d(?:[ -]?\d){3,17}|[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b)",
    re.IGNORECASE,
)
_WALLET = re.compile(r"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]{40}|bc1[a-z0-9]{25,60}|[13][1-9A-HJ-NP-Za-km-z]{26,34})(?![A-Za-z0-9])")


def find_cards(text: str) -> Iterator[Finding]:
    """Finds payment card numbers: 12 to 19 digits that pass the Luhn check (ISO/IEC 7812-1, annex B), or are called one."""
    for run in _DIGITS.finditer(text):
        for start, end, number in _card_candidates(run.group()):
            if len(set(number)) > 1 and luhn.is_valid(number):
                yield Finding(run.start() + start, run.start() + end, "CREDIT_CARD")
    for match in _NAMED_CARD.finditer(text):
        yield Finding(*match.span("value"), "CREDIT_CARD")


def _card_candidates(run: str) -> Iterator[tuple[int, int, str]]:
    """What may be a card in a run of digits: each group, all of them, and neighbours that begin as issuers' numbers do."""
    groups = list(re.finditer(r"\d+", run))
    if _GROUPED.fullmatch(run):
        yield 0, len(run), "".join(group.group() for group in groups)
    for place, first in enumerate(groups):
        if len(first.group()) in _CARD_DIGITS:
            yield *first.span(), first.group()
        following = groups[place : place + _CARD_DIGITS.stop]
        for last, number in zip(following, accumulate(group.group() for group in following), strict=True):
            if len(number) >= _CARD_DIGITS.stop:
                break
            if _ISSUED.fullmatch(number):
                yield first.start(), last.end(), number


def find_accounts(text: str) -> Iterator[Finding]:
    """Finds bank accounts (ISO 13616: the length and form of their country, and the check), wallets, and what is called an account's."""
    for match in _IBAN.finditer(text):
        compact = re.sub(r"[^A-Z0-9]", "", match[1].upper())
        length = _iban_length(compact[:2])
        if 0 < length <= len(compact) and iban.is_valid(compact[:length], check_country=False):
            yield Finding(match.start(1), match.start(1) + _end_of(match[1], length), "IBAN_CODE")
    for match in _ACCOUNT.finditer(text):
        yield Finding(*match.span("value"), "ACCOUNT_NUMBER")
    for match in _WALLET.finditer(text):
        if re.search(r"\d", match.group()[2:]):
            yield Finding(match.start(), match.end(), "ACCOUNT_NUMBER")


def _end_of(written: str, length: int) -> int:
    """Where the first characters of a number end in it as it is written, with its gaps."""
    places = [place for place, character in enumerate(written) if character.isalnum()]
    return places[length - 1] + 1


@cache
def _iban_length(country: str) -> int:
    """Returns how long a country's account numbers are; 0: it has none. In the registry, `4!a6!n8!n` means 4 + 6 + 8 characters."""
    form = numdb.get("iban").info(country)[0][1].get("bban")
    return 4 + sum(int(part) for part in re.findall(r"\d+", form)) if form else 0
