"""How fast does the decoder answer, beside llama.cpp on the same weights, and how well?

    python -m benchmarks.inference [--bundle FOLDER] [--gguf FILE] [--rounds 5] [--no-quality]

All engines take turns in every round, and a figure is the median over the rounds, so that whatever else the machine does falls on all
alike. Decoding is timed from the first token to the last; the first token's time is the prefill. Prompts differ in their first words,
so that no prefix is warm unless it is meant to be. Run it on a machine that does nothing else: threads that wait for each other lose most
where processors are shared, llama.cpp more than we. The last line is JSON.
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from agent.confidence import ConfidenceSettings
from agent.inference.loading import load_bundle
from agent.inference.settings import EngineSettings
from agent.inference.tokenizer import ChatTokenizer
from agent.prompts import Message
from benchmarks.peers import CONTEXT_TOKENS, THREADS, LlamaCpp, Ours, Peer, Prompt, Timing, endless_bundle, write_q4_0
from benchmarks.quality import Quality, measure_quality
from contract.bundle import TOKENIZER_FILE

TEXT = Path("models/evaluation/alice-chapter-1.txt")
SHORT, LONG = (38, 128), (978, 64)
"""Tokens of the prompt, and of the answer."""

WARM_TOKENS = 300
SETTINGS = EngineSettings(
    threads=THREADS, slots=8, context_tokens=CONTEXT_TOKENS, speculation_tokens=0, logprob_tokens=ConfidenceSettings().held_tokens
)


class Prompts:
    """Prompts of wanted lengths, no two with the same beginning."""

    def __init__(self, bundle_folder: Path) -> None:
        self._words = TEXT.read_text().split()
        self._tokenizer = ChatTokenizer(bundle_folder / TOKENIZER_FILE, load_bundle(bundle_folder, verify=False).chat_template)
        self._made = 0

    def of(self, tokens: int) -> Prompt:
        """Returns a prompt of about so many tokens: words of the text, behind a number."""
        self._made += 1
        system = ("system", f"{self._made * 7919 % 10_000} Go on.")
        words = self._words[self._made * 131 % 500 :]
        count = next(count for count in range(1, len(words)) if len(self.ids((system, ("user", " ".join(words[:count]))))) >= tokens)
        return (system, ("user", " ".join(words[:count])))

    def with_system(self, tokens: int, questions: int) -> list[Prompt]:
        """Returns prompts that share a system prompt of about so many tokens."""
        opening = ("system", self.of(tokens)[1][1])
        return [(opening, ("user", f"{word}?")) for word in self._words[100 : 100 + questions]]

    def repeating(self) -> Prompt:
        """Returns a conversation whose next answer repeats what was said."""
        self._made += 1
        said = " ".join(self._words[self._made * 57 % 900 :][:90])
        ask = ("user", "Say the text again, word for word.")
        return (
            ("system", f"{self._made} Repeat."),
            ("user", f"Repeat this text: {said}"),
            ("assistant", said),
            ask,
            ("assistant", said),
            ask,
        )

    def ids(self, prompt: Prompt) -> list[int]:
        """Returns a prompt's tokens, for llama.cpp."""
        return self._tokenizer.encode([Message(role, content) for role, content in prompt], 100_000)  # type: ignore[arg-type]  # roles come as plain text from JSON


@dataclass
class Engines:
    """The children."""

    ours: Peer
    guessing: Peer
    q4_1: Peer
    q4_0: Peer
    q4_1_slots: Peer


class Results(dict[str, list[float]]):
    """Measured values by name; a figure is the median."""

    def add(self, name: str, value: float) -> None:
        """Adds one value."""
        self.setdefault(name, []).append(value)

    def of(self, name: str) -> float:
        """Returns a median."""
        return median(self[name])


def measure_alone(engines: Engines, prompts: Prompts, results: Results) -> None:
    """One answer at a time, each engine in turn."""
    for kind, (length, tokens) in (("short", SHORT), ("long", LONG)):
        prompt = prompts.of(length)
        ids = prompts.ids(prompt)
        for name in ("ours", "q4_1", "q4_0"):
            timing: Timing = getattr(engines, name).call("answer", prompt if name == "ours" else ids, tokens)
            results.add(f"{name} decode {kind}", 1 / timing.step_seconds)
            results.add(f"{name} prefill {kind}", len(ids) / timing.first_seconds)


def measure_warm(engines: Engines, prompts: Prompts, results: Results) -> None:
    """The first token behind a prefix that is known, in steps of the same answer."""
    first, *others = prompts.with_system(WARM_TOKENS, 4)
    engines.ours.call("answer", first, 2)
    for prompt in others:
        timing: Timing = engines.ours.call("answer", prompt, 24)
        results.add("warm steps", timing.first_seconds / timing.step_seconds)


def measure_guessing(engines: Engines, prompts: Prompts, results: Results) -> None:
    """Text that repeats its prompt, with and without guesses."""
    prompt = prompts.repeating()
    plain: Timing = engines.ours.call("answer", prompt, 100)
    guessed: Timing = engines.guessing.call("answer", prompt, 100)
    results.add("speculation", plain.step_seconds / guessed.step_seconds)
    results.add("speculation same", float(plain.tokens == guessed.tokens))


def measure_together(engines: Engines, prompts: Prompts, results: Results) -> None:
    """Several answers at once, and each of them alone."""
    length, tokens = SHORT
    for count in (1, 4, 8):
        asked = [prompts.of(length) for _ in range(count)]
        timings: list[Timing] = engines.ours.call("answer_all", asked, tokens)
        results.add(f"ours {count}", count * tokens / engines.ours.last_seconds)
        results.add(f"ours {count} decode", _rate_while_all_decode(timings))
        engines.q4_1_slots.call("answer_all", [prompts.ids(prompt) for prompt in asked], tokens)
        results.add(f"q4_1 {count}", count * tokens / engines.q4_1_slots.last_seconds)
    alone = [engines.ours.call("answer", prompt, tokens) for prompt in asked]
    results.add("batch same", sum(one.tokens == two.tokens for one, two in zip(alone, timings, strict=True)) / len(alone))


def measure_stall(engines: Engines, prompts: Prompts, results: Results) -> None:
    """The longest that seven others wait for a token while a long prompt comes in."""
    timings = engines.ours.call("answer_late", [prompts.of(SHORT[0]) for _ in range(7)], 100, prompts.of(1000))
    *others, late = timings
    end = late.arrivals[0]
    gaps = [
        two - one
        for timing in others
        for one, two in zip(timing.arrivals, timing.arrivals[1:], strict=False)
        if end - late.first_seconds <= two <= end
    ]
    results.add("stall", max(gaps))


def _rate_while_all_decode(timings: list[Timing]) -> float:
    """Tokens a second of all together, between the last one's first token and the first one's last."""
    begin, end = max(timing.arrivals[0] for timing in timings), min(timing.arrivals[-1] for timing in timings)
    return sum(begin < arrival <= end for timing in timings for arrival in timing.arrivals) / (end - begin)


def figures(engines: Engines, results: Results, quality: Quality | None, memory_ratio: float) -> dict[str, float | None]:
    """Returns what the last line tells."""
    of = results.of
    return {
        "perplexity_ratio": quality.perplexity_ratio if quality else None,
        "agreement": quality.agreement if quality else None,
        "decode_short_ratio": of("ours decode short") / of("q4_1 decode short"),
        "decode_long_ratio": of("ours decode long") / of("q4_1 decode long"),
        "decode_short_ratio_q4_0": of("ours decode short") / of("q4_0 decode short"),
        "prefill_ratio": of("ours prefill long") / of("q4_1 prefill long"),
        "warm_prefix_steps": of("warm steps"),
        "speculation_speedup": of("speculation"),
        "speculation_same": sum(results["speculation same"]) / len(results["speculation same"]),
        "batch8_speedup": of("ours 8 decode") / of("ours 1 decode"),
        "batch8_ratio": of("ours 8") / of("q4_1 8"),
        "batch8_same": sum(results["batch same"]) / len(results["batch same"]),
        "longest_stall_seconds": max(results["stall"]),
        "memory_ratio": memory_ratio,
        "ready_seconds": min(engines.ours.ready_seconds, engines.guessing.ready_seconds),
    }


def print_table(results: Results) -> None:
    """Prints every median."""
    print(f"\n{'median of ' + str(len(results['ours 8'])) + ' rounds':28}{'value':>10}{'least':>10}{'most':>10}")
    for name, values in sorted(results.items()):
        print(f"{name:28}{median(values):10.2f}{min(values):10.2f}{max(values):10.2f}")


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path, default=Path("build/models/smollm2-135m-instruct-int8"))
    parser.add_argument("--gguf", type=Path, default=Path("build/downloads/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quality", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    quality = measure_quality(options.bundle, options.gguf, TEXT) if options.quality else None
    with tempfile.TemporaryDirectory() as folder:
        bundle = endless_bundle(options.bundle, Path(folder) / "bundle")
        q4_0 = write_q4_0(options.gguf, Path(folder) / "q4_0.gguf")
        prompts = Prompts(bundle)
        engines = Engines(
            ours=Peer(Ours, bundle, SETTINGS),
            guessing=Peer(Ours, bundle, EngineSettings(threads=THREADS, context_tokens=CONTEXT_TOKENS)),
            q4_1=Peer(LlamaCpp, options.gguf, 1),
            q4_0=Peer(LlamaCpp, q4_0, 1),
            q4_1_slots=Peer(LlamaCpp, options.gguf, 8),
        )
        results = Results()
        measure_alone(engines, prompts, Results())  # warms up
        memory_ratio = engines.ours.peak_bytes() / engines.q4_1.peak_bytes()
        for _ in range(options.rounds):
            for measure in (measure_alone, measure_warm, measure_guessing, measure_together, measure_stall):
                measure(engines, prompts, results)
        print_table(results)
        told = {**figures(engines, results, quality, memory_ratio), "load_of_others": load}
        print(json.dumps({name: value if value is None else round(value, 4) for name, value in told.items()}))
        for engine in vars(engines).values():
            engine.close()


if __name__ == "__main__":
    main()
