"""Finds postal addresses by their forms: street and number of several countries, boxes, flats, postal codes. Linear in the text."""

import re
from collections.abc import Iterator

from contract.classification import Finding

_NUMBER = r"\d{1,5}(?:\s?[-/]\s?\d{1,4})?[A-Za-z]?"
_NAME = r"[A-Z][\w'\u2019.-]{0,30}"
_STREETS = (
    r"(?:Street|Str?\.|St|Road|Rd\.?|Avenue|Ave\.?|Lane|Ln\.?|Drive|Dr\.?|Boulevard|Blvd\.?|Court|Ct\.?|Place|Pl\.?|Square|Sq\.?|Way|Terrace|Crescent|Parkway|Pkwy\.?"
    r"|Highway|Hwy\.?|Circle|Cir\.?|Trail|Row|Grove|Close|Gardens|Mews|Plaza|Alley|Turnpike|Causeway)"
)
_ENGLISH = re.compile(
    rf"(?<![\w.,-]){_NUMBER},?\s(?:[NSEW]\.?\s|(?:North|South|East|West)\s)?(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}{_STREETS}(?![\w])"
)
_GERMANIC = re.compile(
    r"\b[A-Z][\w-]{1,30}(?:stra(?:ss|ß)e|str\.|weg|allee|platz|gasse|damm|ufer|straat|laan|plein|gracht|gata|gatan|vagen|veien|vegen|vej|katu|utca)"
    rf"\s{_NUMBER}\b|\b(?:[A-Z][\w-]{{1,20}}\s)?(?:Straße|Strasse|Weg|Allee|Platz|Gasse|utca|ter|ut|mnt|gate)\s{_NUMBER}\b"
)
_ROMANCE_STREET = (
    r"\b(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Aa]llee|[Qq]uai|[Ii]mpasse|[Cc]alle|C/|[Aa]venida|[Aa]v\.|[Aa]vda\.?|[Pp]aseo|[Pp]laza|[Cc]arrer|[Vv]ia|[Vv]iale"
    r"|[Cc]orso|[Pp]iazza|[Vv]icolo|[Rr]ua|[Tt]ravessa|[Ll]argo|[Pp]raca|[Ee]strada|ul\.|[Uu]lica|[Aa]leja|al\.|os\.|[Ss]trada|[Bb]ulevardul|[Cc]alea)"
    rf"\s?(?:(?:de|du|des|del|della|dei|da|do|dos|das|la|le|les|los|las|el|l'|d')\s?){{0,3}}\s?{_NAME}(?:\s(?:(?:de|del|di|da|do)\s)?{_NAME}){{0,3}}"
)
_ROMANCE = re.compile(rf"(?<![\w])\d{{1,5}}(?:\s?(?:bis|ter))?,?\s{_ROMANCE_STREET}|{_ROMANCE_STREET},?\s(?:n[°o]?\.?\s?)?{_NUMBER}\b")
_BOX = re.compile(
    r"\b(?:P\.?\s?O\.?\s?Box|Postfach|Apartado|Casella postale|PSC|CMR)\s(?:\d{1,6})"
    r"(?:,\s?Box\s\d{1,5})?|\b[AFD]PO[,\s]{1,2}A[AEP][,\s]{1,2}\d{5}(?:-\d{4})?\b"
    r"|\b(?:USS|USNS|USNV|USCGC)\s[A-Z]\w{1,20}(?=,?\s{1,2}[AFD]PO\b)"
)
_FLAT = re.compile(r"\b(?:[Aa]pt|[Aa]partment|Suite|Ste|Flat|Appt|Piso|Wohnung)\b\.?\s?#?\s?\d{1,5}[A-Za-z]?\b")
_CODE = re.compile(
    r"\b(?:zip(?:[ -]?code)?|post(?:al)?[ -]?code|plz|postleitzahl|code postal|cap|cep|codigo postal)\b[^\w\n]{0,3}(?:(?:is"
    r"|ist|est|es|number|for [\w ]{1,20} is)\s+)?"
    r"(?P<value>(?=[A-Z0-9 -]{0,6}\d)[A-Z0-9]{2,8}(?:[ -][A-Z0-9]{2,4})?)\b",
    re.IGNORECASE,
)
_BRITISH_CODE = re.compile(r"\b(?:[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}|[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d)\b")
_STATE_CODE = re.compile(
    r"\b(?:A[LKZR]|C[AOT]|D[EC]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[TA]|W[AVIY])\s{1,2}\d{5}(?:-\d{4})?\b"
)


def find_addresses(text: str) -> Iterator[Finding]:
    """Finds streets with their numbers, boxes, flats and postal codes."""
    for pattern in (_ENGLISH, _GERMANIC, _ROMANCE, _BOX, _FLAT, _BRITISH_CODE, _STATE_CODE):
        for match in pattern.finditer(text):
            yield Finding(match.start(), match.end(), "STREET_ADDRESS")
    for match in _CODE.finditer(text):
        if any(character.isdigit() for character in match["value"]):
            yield Finding(*match.span("value"), "STREET_ADDRESS")
