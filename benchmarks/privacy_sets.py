"""What the benchmark of the detector is measured on where no file is given: texts with marks, and secrets that are made up anew."""

import json
import random
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MARK = re.compile(r"\[([^|\]]+)\|([A-Z_]+)\]")
_OWN = Path(__file__).parent / "privacy_texts.txt"

_LETTERS = string.ascii_letters + string.digits
_ALPHABETS = {"letters": _LETTERS, "hex": "0123456789abcdef", "capitals": string.ascii_uppercase + "234567"}
_KEYS = """
sk-proj- letters 48, sk-ant-api03- letters 60, AKIA capitals 16, ghp_ letters 36, github_pat_ letters 82, glpat- letters 20,
xoxb- letters 40, AIza letters 35, ya29. letters 60,
sk_live_ letters 24, SG. letters 22, AC hex 32, hf_ letters 34, npm_ letters 36, pypi- letters 60,
dop_v1_ hex 64, hvs. letters 24, shpat_ hex 32, dckr_pat_ letters 27, - letters 40, - letters 32
"""
_KEY_SENTENCES = """Why does the call with {} fail?
api_key = '{}'
export TOKEN={}
Authorization: Bearer {}
{"apiKey": "{}"}
my key is {} please check it
curl -H 'X-Api-Key: {}' https://api.example.org
Here is the new one: {}
The token {} was revoked.
{}""".splitlines()
_PASSWORD_SENTENCES = """my password is {}
password: {}
The wifi password is {}.
pwd={}
DB_PASSWORD={}
{"user": "jo", "password": "{}"}
Passwort: {}
mot de passe : {}
contraseña: {}
use {} as the password
login: admin / {}
postgres://jo:{}@db.example.org/stock
mysql -u root -p pass: {}
I changed my password to {} and forgot it
username jo password {}
the password for the router is {}
senha: {}
wachtwoord is {}
<password>{}</password>
Kennwort lautet {}""".splitlines()
_WORDS = ["sunflower", "harbour", "Winter", "tiger", "dragon", "Coffee", "ladder", "monkey", "Summer", "pirate", "Berlin", "falcon"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text and what is somebody's in it: start, end, kind."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def own_texts() -> list[Text]:
    """Returns the benchmark's own texts."""
    lines = _OWN.read_text("utf-8").splitlines()
    return [_marked(line.replace("\\n", "\n")) for line in lines if line and not line.startswith("#")]


def read_texts(path: Path) -> list[Text]:
    """Reads a file of JSON objects, one a line: `text`, and `spans` [start, end, kind] in characters."""
    rows = (json.loads(line) for line in path.read_text("utf-8").splitlines() if line)
    return [Text(row["text"], tuple((start, end, kind) for start, end, kind in row["spans"])) for row in rows]


def secrets(chance: random.Random, count: int) -> Iterator[Text]:
    """Yields texts with an API key or a password in each, half of either."""
    for place in range(count):
        kind = ("API_KEY", "PASSWORD")[place % 2]
        value, sentences = _key(chance) if place % 2 == 0 else (_password(chance), _PASSWORD_SENTENCES)
        before, after = chance.choice(sentences).split("{}")
        yield Text(before + value + after, ((len(before), len(before) + len(value), kind),))


def _marked(line: str) -> Text:
    text, end = "", 0
    spans: list[tuple[int, int, str]] = []
    for mark in _MARK.finditer(line):
        text += line[end : mark.start()]
        spans.append((len(text), len(text) + len(mark[1]), mark[2]))
        text += mark[1]
        end = mark.end()
    return Text(text + line[end:], tuple(spans))


def _key(chance: random.Random) -> tuple[str, Sequence[str]]:
    prefix, alphabet, length = chance.choice(_KEYS.split(",")).split()
    value = "".join(chance.choices(_ALPHABETS[alphabet], k=int(length)))
    if prefix == "-":
        return value, _KEY_SENTENCES[1:7]  # without an issuer's mark nor a word beside it, it might be anything
    if prefix == "SG.":
        value += "." + "".join(chance.choices(_LETTERS, k=43))
    return prefix + value, _KEY_SENTENCES


def _password(chance: random.Random) -> str:
    word = chance.choice(_WORDS)
    forms = (
        word + str(chance.randint(1, 2030)),
        word.capitalize() + chance.choice("!#$%&*") + str(chance.randint(10, 99)),
        "".join(chance.choices(_LETTERS + "!#$%*_-", k=12)),
        f"{word}-{chance.choice(_WORDS)}-{chance.randint(1, 99)}",
        word.replace("o", "0").replace("e", "3").replace("i", "1") + chance.choice("!?*") + chance.choice(_LETTERS) + "9",
    )
    return chance.choice(forms)
