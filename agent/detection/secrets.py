"""Finds keys, passwords and tokens: by their issuers' prefixes, by what a text calls them, by how random they look.

All takes time linear in the text, which must be plain, see agent.detection.reading.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from contract.classification import Finding

_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{16,}|(?:gsk|nvapi|pplx|xai|r8|phc|phx|tgp|fw|csk|jina|lsv2|co|sgp|wandb)[_-][A-Za-z0-9_-]{20,}"  # that serve models
    r"|(?:A3T[A-Z0-9]|AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA)[A-Z0-9]{12,16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|gl(?:pat|ptt|rt|dt|soat|cbt|ft|imt|agent"
    r"|oas)-[A-Za-z0-9_.-]{20,}"  # GitHub, GitLab
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"
    r"|\d{6,}-[a-z0-9]{32}\.apps\.googleusercontent\.com"  # Google
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}|(?:sq0atp|sq0csp|EAAA)[A-Za-z0-9_-]{20,}"  # Stripe, Square
    r"|(?:AC|SK)[0-9a-f]{32}(?![0-9a-f])|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|key-[0-9a-f]{32}"
    r"|[0-9a-f]{32}-us\d{1,2}"  # mail and telephony
    r"|(?:hf|npm|dckr_pat|rubygems|ntn|lin_api|dapi|do[opr]_v1|shp(?:at|ca|pa|ss)|secret|figd|sntrys|glc|pul|dp\.pt|atlasv1|ATATT3|NRAK)"
    r"[_-]?[A-Za-z0-9_-]{28,}|pypi-[A-Za-z0-9_-]{30,}|CFPAT-[A-Za-z0-9_-]{30,}|PMAK-[a-f0-9]{20,}-[a-f0-9]{30,}"
    r"|hv[sbr]\.[A-Za-z0-9_-]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{40,}|EAA[A-Za-z0-9]{60,}"  # Vault, age, Meta
    r"|\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"  # Telegram
    r"|[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"  # Discord
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{0,}"  # JSON Web Token
    r"|https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}|https://(?:discord|discordapp)\.com/api/webhooks/\d{10,}/[A-Za-z0-9_-]{40,}"
    r")"
    r"|(?<=AccountKey=)[A-Za-z0-9+/]{40,}={0,2}|(?<=SharedAccessKey=)[A-Za-z0-9+/]{30,}={0,2}|"
    r"(?<=[?&]sig=)[A-Za-z0-9%+/]{30,}={0,2}"  # Azure
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PRIVATE_KEY_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]{1,20}://([^\s/:@]{0,100}:[^\s/@]{1,200})@|\bbasic\s+([a-z0-9+/]{8,}={0,2})", re.IGNORECASE)

_PASSWORD_WORDS = (
    r"pass(?:word|wort|wd|phrase|code|wrd|ord)s?|kennwort|p(?:s)?wd|\bpw\b|\bpass\b|mot de passe|\bmdp\b|contrasena|\bclave\b"
    r"|\bsenha\b|palavra-passe|wachtwoord"
    r"|has[lł]o\b|losenord|adgangskode|salasana|\bparola\b|\bheslo\b|jelszo|\bsifre\b|\blozinka\b|parole"
)
_SECRET_WORDS = (
    r"secret(?:[ _-]?(?:access[ _-]?)?(?:key|token))?|(?:api|access|private|encryption|master|account|license|signing|shared)[ _-]?key"
    r"|(?:auth|access|api|refresh|bearer|session|bot|personal access|deploy|oauth|security|id)[ _-]?token|\btoken\b|bearer"
    r"|credentials?|api[ _-]?secret"
    r"|recovery (?:code|key|phrase)|backup code|seed phrase|mnemonic|webhook secret|connection string|otp|one-time code"
    r"|verification code|2fa code|security code"
)
_NAMED = re.compile(
    rf"(?:(?P<password>{_PASSWORD_WORDS})|(?:{_SECRET_WORDS}))"
    r"(?:\s?\([^)\n]{1,30}\))?"
    r"(?:(?P<sure>(?:'s|\s+(?:is|was|ist|lautet|war|est|es|ar|er|now|:|->))(?:\s*:\s*|\s+(?:now\s+|set to\s+"
    r"|still\s+)?)|[\"'`)\]]{0,2}\s*(?:[:=]+>?|-?>)\s*)"
    r"|\s+(?:to|as)\s+(?=[^\s]{0,60}[\d@#$%^&*_])"
    r"|\s+(?:(?:for|of|to|on)\s[^\n:=.!?]{1,40}?(?P<named>\s(?:is|was)\s+|[:=]\s*))?)"
    r"(?:(?:bearer|basic|token)\s+)?"
    r"(?P<quote>[\"'`<]?)(?P<value>[^\s\"'`,;<]{4,200})",
    re.IGNORECASE,
)
_REVERSED = re.compile(
    r"(?:\b(?:use|with|is|type|enter|try|to|set)\s+[\"'`]?|^)(?P<value>[^\s\"'`,;:]{5,100})[\"'`]?\s+(?:as|is|was|for)\s+(?:the|my|your|our|his|her|a)?\s?"
    r"(?:new |old |current |wifi |admin |root |default |login )?(?:password|passcode|passphrase|api key|pass\b|pw\b|secret|token)",
    re.IGNORECASE | re.MULTILINE,
)
_PAIR = re.compile(
    r"\b(?:log ?in|sign ?in|login|logins|credentials?|creds|user(?:name)?|account|auth|admin|ssh)\b[^\n]{0,30}?"
    r"(?<![\w/])(?P<user>[A-Za-z][\w.@+-]{1,40})\s?[:/]\s?(?P<value>(?=[^\s,;]{0,60}[\d!@#$%^&*_])[^\s,;/]{6,60})",
    re.IGNORECASE,
)
_PHRASE = re.compile(
    r"(?:pass|seed |recovery |secret |mnemonic )(?:phrase)?\b[^\n:=\"']{0,20}(?:\bis\b|[:=])\s*[\"']?("
    r"(?:[a-z]{3,12}[ -]){3,23}[a-z]{3,12})\b",
    re.IGNORECASE,
)
_QUOTED_PHRASE = re.compile(
    rf"(?:{_PASSWORD_WORDS})[^\n\"']{{0,20}}(?:\bis\b|[:=])\s*(?:\"([^\"\n]{{4,200}})\"|'([^'\n]{{4,200}})')", re.IGNORECASE
)
_PIN = re.compile(
    r"\b(?:pin|cvv2?|cvc|otp|tan|pass ?code|(?:verification|security|access|door|alarm|one-time|unlock|gate|safe) code)"
    r"(?:[ _-]?(?:code|number))?\b(?:\s*[:=]\s*|\s+(?:(?:for|of|to) [^\n\d]{1,25} )?(?:is\s+|was\s+)?)(?P<value>\d{3,8})(?!\d)",
    re.IGNORECASE,
)
_ODD = re.compile(r"[\d@#$%^&*_+=~|!]")
_TALK = frozenset(
    [
        "wrong",
        "incorrect",
        "invalid",
        "expired",
        "required",
        "needed",
        "missing",
        "empty",
        "weak",
        "strong",
        "secure",
        "stored",
        "hashed",
        "never",
        "still",
        "always",
        "being",
        "correct",
        "encrypted",
        "changed",
        "saved",
        "unknown",
        "same",
        "forgotten",
        "lost",
        "working",
        "stolen",
        "leaked",
        "compromised",
        "visible",
        "hidden",
        "shown",
        "sent",
        "shared",
        "used",
        "reset",
        "valid",
        "none",
        "null",
        "true",
        "false",
        "string",
        "optional",
        "longer",
        "shorter",
        "what",
        "where",
        "when",
        "that",
        "this",
        "your",
        "their",
        "there",
        "here",
        "case-sensitive",
        "protected",
        "manager",
        "managers",
        "rotation",
        "based",
        "bucket",
        "buckets",
        "policy",
        "login",
        "limit",
        "limits",
        "count",
        "rules",
        "rotated",
        "revoked",
        "undefined",
        "about",
        "very",
        "only",
        "just",
        "also",
        "with",
        "from",
        "into",
        "safe",
        "easy",
        "hard",
        "difficult",
        "secret",
        "important",
        "getpass.getpass(",
        "input(",
        "password",
        "passwort",
        "token",
    ]
)
_CODE = re.compile(
    r"(?:os\.|process\.|self\.|\$\{?[A-Za-z_]|env\.|config[.\[]|settings\.|getenv|%s|\{\{|<\w+>|\*{3,}|x{4,}|\.{3}|str\b|String\b|None\b)",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"(?<![A-Za-z0-9_+/=.:@-])[A-Za-z0-9_+/-]{20,300}={0,2}(?![A-Za-z0-9_+/=@])")
_LEAST_BITS = 3.6


def find_secrets(text: str) -> Iterator[Finding]:
    """Finds API keys, tokens, private keys, passwords, PINs."""
    yield from _private_keys(text)
    for match in _KEY.finditer(text):
        yield Finding(match.start(), match.end(), "API_KEY")
    for match in _URL_PASSWORD.finditer(text):
        yield Finding(*match.span(match.lastindex or 0), "PASSWORD")
    yield from _named(text)
    for pattern in (_REVERSED, _PAIR):
        for match in pattern.finditer(text):
            if _is_odd(match["value"]):
                yield Finding(*match.span("value"), "PASSWORD")
    for match in _PIN.finditer(text):
        yield Finding(*match.span("value"), "PASSWORD")
    yield from _phrases(text)
    for match in _RANDOM.finditer(text):
        if looks_random(match.group()):
            yield Finding(match.start(), match.end(), "API_KEY")


def _private_keys(text: str) -> Iterator[Finding]:
    """Each from its first line to its last, or to the end of the text where that has been cut off."""
    place = 0
    while match := _PRIVATE_KEY.search(text, place):
        end = _PRIVATE_KEY_END.search(text, match.end())
        place = end.end() if end else len(text)
        yield Finding(match.start(), place, "PRIVATE_KEY")


def _named(text: str) -> Iterator[Finding]:
    start = 0
    while match := _NAMED.search(text, start):
        start = match.end()
        value = match["value"]
        if value.lower().rstrip(".!?:") in _TALK or _CODE.match(value):
            start = match.start("value")  # in "the API key password is x" a word is named, and names the next
            continue
        sure = match["password"] and (match["sure"] or match["named"])
        if sure or (_is_odd(value) and (match["sure"] or match["named"] or match["password"] or len(value) >= 8)):
            begin, end = match.span("value")
            yield Finding(begin, end - (value[-1] in ".)]}>?" and value[:1] not in "([{<"), "PASSWORD")


def _phrases(text: str) -> Iterator[Finding]:
    for pattern in (_PHRASE, _QUOTED_PHRASE):
        for match in pattern.finditer(text):
            place = match.span(match.lastindex or 0)
            if text[slice(*place)].lower() not in _TALK:
                yield Finding(*place, "PASSWORD")


def _is_odd(value: str) -> bool:
    """Whether it is no word of a language: "password rules" is talk about passwords."""
    return bool(_ODD.search(value.rstrip("!"))) and not _CODE.match(value)


def looks_random(value: str) -> bool:
    """Whether a run of letters and digits was made by a machine, and is no name, path or digest in hexadecimal.

    The bound is Shannon's entropy of its characters, which words and names in CamelCase stay below.
    """
    if value.count("/") > 2 or not (re.search(r"\d\D*\d", value) and re.search(r"[a-z]", value) and re.search(r"[A-Z]", value)):
        return False
    if len(re.findall(r"[a-z]\d|\d[a-z]|\d[A-Z]|[A-Z]\d|[a-z][A-Z]", value)) < len(value) / 5:
        return False
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts) >= _LEAST_BITS


def has_key(text: str) -> bool:
    """Says whether a text has a key by its issuer's prefix, or a private key: what no example in a text has by accident."""
    return _KEY.search(text) is not None or _PRIVATE_KEY.search(text) is not None
