"""Questions of numbers and of what is counted through: made by rules."""

from collections.abc import Iterator, Sequence
from random import Random

from benchmarks.questions import TRIES, Asking, Question, yes_or_no

_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def of_numbers() -> dict[str, Asking]:
    """Returns what makes the questions of each kind."""
    return {
        "addition": addition,
        "subtraction": subtraction,
        "multiplication": multiplication,
        "division": division,
        "equal": equal,
        "larger": larger,
        "next_number": next_number,
        "even_or_odd": even_or_odd,
        "to_words": to_words,
        "to_digits": to_digits,
        "days": lambda random: after(random, "day", _DAYS),
        "months": lambda random: after(random, "month", _MONTHS),
    }


def in_words(number: int) -> str:
    """Returns a number below 100 in words."""
    if number < 20:
        return (*_ONES, *_TEENS)[number]
    tens, ones = _TENS[number // 10 - 2], number % 10
    return f"{tens}-{_ONES[ones]}" if ones else tens


def either(number: int) -> tuple[str, ...]:
    """Returns a number in digits, and where it is short in words too."""
    return (str(number), in_words(number)) if 0 <= number < 100 else (str(number),)


def addition(random: Random) -> Iterator[Question]:
    """What is 3 plus 4?"""
    for _ in range(TRIES):
        one, other = random.randint(1, random.choice((9, 50, 300))), random.randint(1, 50)
        yield from _reckoned(random, one, "plus", "+", other, one + other)


def subtraction(random: Random) -> Iterator[Question]:
    """What is 7 minus 4?"""
    for _ in range(TRIES):
        rest, other = random.randint(1, random.choice((9, 50, 300))), random.randint(1, 50)
        yield from _reckoned(random, rest + other, "minus", "-", other, rest)


def multiplication(random: Random) -> Iterator[Question]:
    """What is 3 times 4?"""
    for _ in range(TRIES):
        one, other = random.randint(2, 20), random.randint(2, 20)
        yield from _reckoned(random, one, "times", "*", other, one * other)


def division(random: Random) -> Iterator[Question]:
    """What is 12 divided by 4?"""
    for _ in range(TRIES):
        one, other = random.randint(2, 20), random.randint(2, 12)
        yield from _reckoned(random, one * other, "divided by", "/", other, one)


def equal(random: Random) -> Iterator[Question]:
    """Is 3 plus 4 equal to 7?"""
    for _ in range(TRIES):
        one, other, off = random.randint(1, 30), random.randint(1, 30), random.choice((0, 0, 1, 10))
        yield yes_or_no(f"Is {one} plus {other} equal to {one + other + off}?", off == 0)


def larger(random: Random) -> Iterator[Question]:
    """Which number is larger, 3 or 4?"""
    for _ in range(TRIES):
        one, other = random.sample(range(1, random.choice((20, 100, 2000))), 2)
        word, right = random.choice((("larger", max(one, other)), ("smaller", min(one, other))))
        yield Question(f"Which number is {word}, {one} or {other}?", (str(right),), (str(one + other - right),))


def next_number(random: Random) -> Iterator[Question]:
    """Which number comes next: 3, 4, 5?"""
    for _ in range(TRIES):
        start, step = random.randint(1, 60), random.choice((1, 2, 3, 5, 10, 7))
        first, second, third, fourth = (str(start + step * count) for count in range(4))
        yield Question(f"Which number comes next: {first}, {second}, {third}?", (fourth,))


def even_or_odd(random: Random) -> Iterator[Question]:
    """Is 3 even or odd?"""
    for number in random.sample(range(1, 1000), TRIES):
        right, wrong = ("odd", "even") if number % 2 else ("even", "odd")
        yield Question(f"Is the number {number} even or odd? Answer in one word.", (right,), (wrong, "neither"))


def to_words(_random: Random) -> Iterator[Question]:
    """Write 3 in words."""
    for number in range(100):
        yield Question(f"Write the number {number} in words.", (in_words(number),))
        yield Question(f"How is {number} spelled out?", (in_words(number),))


def to_digits(_random: Random) -> Iterator[Question]:
    """Write three in digits."""
    for number in range(100):
        yield Question(f"Write the number {in_words(number)} in digits.", (str(number),))
        yield Question(f"Which number is '{in_words(number)}'? Use digits.", (str(number),))


def after(random: Random, what: str, names: Sequence[str]) -> Iterator[Question]:
    """Which day comes after Monday?"""
    for _ in range(TRIES):
        place, step = random.randrange(len(names)), random.choice((1, 1, -1, 2, 3))
        asked, right = names[place], names[(place + step) % len(names)]
        if step in (1, -1):
            yield Question(f"Which {what} comes {'after' if step > 0 else 'before'} {asked}?", (right,))
            yield Question(f"Name the {what} that {'follows' if step > 0 else 'comes just before'} {asked}.", (right,))
        yield Question(f"Which {what} is {abs(step)} {what}s {'after' if step > 0 else 'before'} {asked}?", (right,))


def _reckoned(random: Random, one: int, word: str, sign: str, other: int, result: int) -> Iterator[Question]:
    """Asks in words or in signs; what is the answer may not stand in the question, which answers repeat."""
    if result not in (one, other):
        text = random.choice((f"What is {one} {word} {other}?", f"{one} {sign} {other} = ?"))
        yield Question(text, either(result))
