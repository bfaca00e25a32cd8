"""Trains the tagger on synthetic text, each example seen once. Needs the extra `detector` and PyTorch."""

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from agent.detection.words import Words, cut
from models.detector.generator import LABELS, Example, Generator
from models.detector.network import Tagger, load_encoder

LONGEST_TOKENS = 128
BATCH_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """An example as the tagger reads it, and what it should say."""

    words: Words
    labels: tuple[int, ...]


def sample(tokenizer: Tokenizer, example: Example) -> Sample:
    """Returns an example in tokens."""
    words = cut(tokenizer, example.text)
    of_word = [0] * len(words.spans)
    for place, (start, end) in enumerate(words.spans):
        for first, last, label in example.spans:
            if start < last and first < end:
                of_word[place] = LABELS.index(label)
    return Sample(words, tuple(of_word[word] for word in words.word_of))


def batches(samples: Sequence[Sample], chance: random.Random) -> list[list[Sample]]:
    """Returns batches of samples of about one length, in random order."""
    ordered = sorted(samples, key=lambda s: len(s.labels) + chance.random() * 4)
    result: list[list[Sample]] = []
    group: list[Sample] = []
    for one in ordered:
        if group and (len(group) + 1) * min(len(one.labels), LONGEST_TOKENS) > BATCH_TOKENS:
            result.append(group)
            group = []
        group.append(one)
    chance.shuffle(result)
    return result


def tensors(group: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns ids, shapes, mask and labels; -100 where there is no token."""
    length = min(LONGEST_TOKENS, max(len(one.labels) for one in group)) + 2
    ids = torch.zeros(len(group), length, dtype=torch.long)
    shapes = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, one in enumerate(group):
        size = min(len(one.labels), length - 2)
        ids[row, : size + 2] = torch.tensor((101, *one.words.ids[:size], 102))
        shapes[row, 1 : size + 1] = torch.tensor(one.words.shapes[:size])
        labels[row, 1 : size + 1] = torch.tensor(one.labels[:size])
    return ids, shapes, ids != 0, labels


def train(tokenizer: Tokenizer, weights: Path, out: Path, count: int, layers: int, seed: int) -> None:
    """Trains and writes the weights as .npz.

    Args:
        tokenizer: MiniLM's.
        weights: MiniLM's, as safetensors.
        out: what to write.
        count: of examples, each seen once.
        layers: see Tagger.
        seed: of everything.
    """
    torch.set_num_threads(1)  # two wait for each other more than they compute, at these sizes
    torch.manual_seed(seed)
    chance = random.Random(seed)  # noqa: S311
    tagger = Tagger(len(LABELS), layers)
    load_encoder(tagger, weights)
    for part in (tagger.words, tagger.positions, tagger.words_norm):
        part.requires_grad_(False)
    groups = batches([s for s in (sample(tokenizer, e) for e in Generator(seed).examples(count)) if s.labels], chance)
    fresh = [*tagger.shapes.parameters(), *tagger.head.parameters()]
    optimizer = torch.optim.AdamW([{"params": tagger.layers.parameters(), "lr": 2e-4}, {"params": fresh, "lr": 1e-3}], weight_decay=0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 100) * max(0.02, 1 - step / len(groups)))
    tagger.train()
    begun = time.monotonic()
    for step, group in enumerate(groups):
        loss = _loss(tagger, group)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tagger.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            sys.stderr.write(f"step {step} of {len(groups)}, loss {loss.item():.4f}, {time.monotonic() - begun:.0f} s\n")
    np.savez(out, **{name: value.numpy() for name, value in tagger.state_dict().items()})


def _loss(tagger: Tagger, group: Sequence[Sample]) -> torch.Tensor:
    ids, shapes, mask, labels = tensors(group)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = tagger(ids, shapes, mask)
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())
