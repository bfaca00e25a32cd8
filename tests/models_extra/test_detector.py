"""The detector's tagger: what it learns from is marked right, and the int8 graph says what PyTorch says."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from agent.detection.words import SHAPES
from models.detector.export import export
from models.detector.generator import LABELS, Generator
from models.detector.network import Tagger


def test_the_same_seed_makes_the_same_texts() -> None:
    one, again, other = (list(Generator(seed).examples(20)) for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_spans_lie_in_their_text_apart_and_hold_something() -> None:
    for example in Generator(5).examples(500):
        ends = [0, *(end for _, end, _ in example.spans)]
        for (start, end, label), before in zip(example.spans, ends, strict=False):
            assert before <= start < end <= len(example.text)
            assert label in LABELS
            assert example.text[start:end].strip()


def test_some_texts_hold_nothing_and_every_label_comes() -> None:
    examples = list(Generator(6).examples(500))
    assert 0.2 < sum(not example.spans for example in examples) / len(examples) < 0.5
    assert {label for example in examples for _, _, label in example.spans} == set(LABELS) - {"O"}


def test_the_graph_in_int8_chooses_as_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tagger = Tagger(len(LABELS), 2).eval()
    torch.nn.init.normal_(tagger.head.weight, std=0.3)
    export({name: value.numpy() for name, value in tagger.state_dict().items()}, tmp_path / "tagger.onnx")
    ids, shapes = torch.randint(1000, 20000, (1, 40)), torch.randint(0, SHAPES, (1, 40))
    with torch.no_grad():
        expected = tagger(ids, shapes, ids > 0).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "tagger.onnx"), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"ids": ids.numpy(), "shapes": shapes.numpy()})
    assert (got.argmax(-1) == expected.argmax(-1)).mean() > 0.9
    assert np.abs(got - expected).max() < 0.2 * np.abs(expected).max()
