"""Finds the numbers that states, hospitals and registries give to people and their cars. Linear in the text.

A number with a checksum and a form of its own stands by itself; the others need a word beside them that says what they are.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.ee import ik
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.gr import amka
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.za import idnr as za_idnr

from contract.classification import Finding

_SSN = re.compile(
    r"(?<![\d-])(?!000|666|9\d\d)\d{3}(?P<gap>[- ])(?!00)\d{2}(?P=gap)(?!0000)\d{4}(?![\d-])"
    r"|(?:\bssn|\bsocial security|\bss ?#)\D{0,25}(?P<value>\d{9}|\d{3}[ .-]\d{2}[ .-]\d{4})(?!\d)",
    re.IGNORECASE,
)
_ITIN = re.compile(r"(?<![\d-])9\d\d-(?:5\d|6[0-5]|[7-9]\d)-\d{4}(?![\d-])")
_NINO = re.compile(
    r"(?<![A-Z0-9])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?![A-Z0-9])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a state writes its number, whose checksum `module` knows."""

    pattern: re.Pattern[str]
    module: ModuleType


def _form(pattern: str, module: ModuleType) -> _Form:
    return _Form(re.compile(rf"(?<![A-Za-z0-9./-]){pattern}(?![A-Za-z0-9]|[./-]\d)", re.IGNORECASE), module)


_ALONE = (
    _form(r"\d{8}-?[A-Z]", dni),
    _form(r"[XYZ]-?\d{7}-?[A-Z]", nie),
    _form(r"[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]", codicefiscale),
    _form(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", curp),
    _form(r"[A-Z]{5}\d{4}[A-Z]", pan),
    _form(r"[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", nir),
    _form(r"\d{3}\.\d{3}\.\d{3}-\d\d", cpf),
    _form(r"\d{1,2}\.\d{3}\.\d{3}-[\dK]", rut),
    _form(r"\d{17}[\dX]", ric),
    _form(r"\d{6}[-+A]\d{3}[0-9A-Y]", hetu),
    _form(r"\d{6}[-+]\d{4}|(?:19|20)\d{6}-?\d{4}", personnummer),
    _form(r"\d{7}[A-W][ABHWTX]?", pps),
    _form(r"\d{6}/\d{4}", rc),
    _form(r"[1-8]\d{12}", cnp),
    _form(r"\d{13}", za_idnr),
    _form(r"[2-9]\d{3} \d{4} \d{4}", aadhaar),
)
_CALLED = tuple(
    (_form(pattern, module), re.compile(words, re.IGNORECASE))
    for pattern, module, words in (
        (r"\d{3}[ -]?\d{3}[ -]?\d{4}", nhs, r"\bnhs\b"),
        (r"\d{3}[ -]?\d{3}[ -]?\d{3}", sin, r"\bsin\b|social insurance"),
        (r"\d{2} ?\d{3} ?\d{3} ?\d{3}", idnr, r"steuer|idnr|tax"),
        (r"\d{9}", bsn, r"\bbsn\b|burgerservice|sofi"),
        (r"\d{11}", pesel, r"pesel"),
        (r"\d{11}", oib, r"\boib\b"),
        (r"\d{11}", fodselsnummer, r"f[oø]dselsn|personn|national id"),
        (r"\d{11}", ik, r"isikukood|asmens|personal code|national id"),
        (r"\d{11}", amka, r"amka"),
        (r"\d{11}", cpf, r"\bcpf\b"),
        (r"\d{11}", tckimlik, r"kimlik|\btc\b"),
        (r"\d{10}", egn, r"\begn\b|егн"),
        (r"\d{6}[- ]?\d{4}", cpr, r"\bcpr\b|personnummer"),
        (r"\d{12}", aadhaar, r"aadha+r|\buid\b"),
    )
)
_LABELLED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (
        kind,
        re.compile(
            rf"\b(?:{words})\b[^\n\dA-Za-z]{{0,3}}(?:[ _-]?(?:number|no\.?|num\.?|nr\.?|id|card|#|code))*[\s:#=.]*"
            r"(?:(?:is|was|ist|est|es|number|for [a-z ]{1,20} is)[\s:]+)?(?P<value>(?=[A-Z0-9./ -]{0,12}\d)[A-Z0-9]"
            r"(?:[./-]?[A-Z0-9]){4,19}(?:(?: \d{2,6}){1,3}\b)?)",
            re.IGNORECASE,
        ),
    )
    for kind, words in (
        ("PASSPORT", r"passport|reisepass|passeport|pasaporte|passaporto|paspoort"),
        (
            "DRIVER_LICENSE",
            r"(?:driver'?s?|driving|drivers'?) ?(?:licen[cs]e|permit)|licen[cs]e (?:number|no)|fuhrerschein|permis de conduire"
            r"|dl\b|driver id",
        ),
        (
            "MEDICAL_RECORD",
            r"mrn|medical record|patient (?:id|number|no)|chart (?:number|no)|hospital number|health (?:card|insurance)"
            r"|medicare|nhs|npi|dea|case number",
        ),
        (
            "NATIONAL_ID",
            r"national (?:id|identification|identity|insurance)|identity card|id card|personalausweis|carte d'identite|social "
            r"(?:security|insurance)|tax(?:payer)? (?:id|identification|file)"
            r"|tin|itin|nino|nif|cnpj|cpf|rfc|curp|dni|nie|pesel|personnummer|bsn|aadhaar|steuer-?id|steuernummer"
            r"|codice fiscale|vat|green card|visa number|resident permit",
        ),
    )
)
_PLATE = re.compile(
    r"\b(?:licen[cs]e plate|number plate|plates?|registration|reg(?:\.| no)?|kennzeichen|immatriculation|matricula|targa"
    r"|kenteken|vehicle|car)\b"
    r"[\s:#]*(?:(?:number|no\.?|is|was|with plates?|registered|reads|ist|of [a-z ]{1,20} is)[\s:#]+){0,2}"
    r"(?P<value>(?=[A-Z0-9 -]{0,10}\d)[A-Z0-9]{1,4}(?:[ -]?[A-Z0-9]{1,4}){1,3})\b",
    re.IGNORECASE,
)
_PLATE_FORM = re.compile(
    r"(?<![\w-])(?:[A-Z]{2}\d{2} [A-Z]{3}|[A-ZÄÖÜ]{1,3}-[A-Z]{1,2} ?\d{1,4}[EH]?|[A-Z]{2}-\d{3}-[A-Z]{2}"
    r"|\d{4} [BCDFGHJKLMNPRSTVWXYZ]{3}|[A-Z]{2} \d{3} [A-Z]{2})(?![\w-])"
)
_VIN = re.compile(r"\bvin\b[\s:#a-z]{0,20}(?P<value>[A-HJ-NPR-Z0-9]{17})\b", re.IGNORECASE)
_BEFORE_CHARACTERS = 60


def find_identities(text: str) -> Iterator[Finding]:
    """Finds social security numbers, and the national numbers of some thirty other states."""
    for match in _SSN.finditer(text):
        yield Finding(*match.span("value" if match["value"] else 0), "US_SSN")
    for pattern in (_ITIN, _NINO):
        for match in pattern.finditer(text):
            yield Finding(match.start(), match.end(), "NATIONAL_ID")
    for form in _ALONE:
        for match in form.pattern.finditer(text):
            if _is_valid(form.module, match.group()):
                yield Finding(match.start(), match.end(), "NATIONAL_ID")
    for form, words in _CALLED:
        for match in form.pattern.finditer(text):
            if words.search(text, max(0, match.start() - _BEFORE_CHARACTERS), match.start()) and _is_valid(form.module, match.group()):
                yield Finding(match.start(), match.end(), "NATIONAL_ID")


def find_labelled(text: str) -> Iterator[Finding]:
    """Finds passports, licences, medical records, plates and other numbers by the word before them."""
    for kind, pattern in _LABELLED:
        for match in pattern.finditer(text):
            if sum(character.isdigit() for character in match["value"]) > 3:
                yield Finding(*match.span("value"), kind)
    for match in _PLATE.finditer(text):
        if re.search(r"[A-Za-z]", match["value"]) and match["value"].upper() == match["value"]:
            yield Finding(*match.span("value"), "LICENSE_PLATE")
    for match in _PLATE_FORM.finditer(text):
        yield Finding(match.start(), match.end(), "LICENSE_PLATE")
    for match in _VIN.finditer(text):
        yield Finding(*match.span("value"), "LICENSE_PLATE")


def _is_valid(module: ModuleType, number: str) -> bool:
    check: Callable[[str], bool] = module.is_valid
    return len(set(number)) > 2 and check(number)
