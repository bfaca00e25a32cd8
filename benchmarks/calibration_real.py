"""The same with figures of the real model, on questions with known answers, dealt so that sites see different kinds of them."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent.confidence import ConfidenceSettings, confidence
from benchmarks.calibration_fleet import Judged, brier, central_map, ece
from benchmarks.calibration_rounds import plain_sum
from benchmarks.confidence import run
from contract.calibration.fitting import fit
from contract.calibration.maps import CONFIDENCE, SAME
from contract.calibration.sums import tally

SITES, MOST_WINDOWS, MOST_TOKENS = 20, 30, 48


def federated_real(bundle: Path, data: Path, questions: int) -> dict[str, Any]:
    """Answers questions, fits to one half of them, and measures on the other.

    Sites report the same answers again under each map, until it stays: there are not so many questions as windows.
    """
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows = sorted(rows[:: max(1, len(rows) // questions)], key=lambda row: (row.get("source", ""), len(row["question"])))
    held = ConfidenceSettings().held_tokens
    judged = [(confidence(item.logprobs[:held]), item.right) for item in asyncio.run(run(bundle, rows, MOST_TOKENS))]
    fitted_to, held_out = judged[::2], judged[1::2]
    in_force = SAME
    for _ in range(MOST_WINDOWS):
        vectors = [tally(CONFIDENCE, in_force, site) for site in dealt(fitted_to)]
        in_force = fit(CONFIDENCE, in_force, [plain_sum(vectors, in_force)]).map
    maps = {"same": SAME, "central": central_map(fitted_to), "federated": in_force}
    errors = {
        f"{name}_{kind}": round(error(found, held_out), 4)
        for name, error in (("ece", ece), ("brier", brier))
        for kind, found in maps.items()
    }
    return {"questions": len(judged), "right": round(sum(right for _, right in judged) / len(judged), 3), **errors}


def dealt(judged: list[Judged]) -> list[list[Judged]]:
    """Deals answers in the order that they are in, so that a site has few kinds of them."""
    edges = [len(judged) * number // SITES for number in range(SITES + 1)]
    return [judged[begin:end] for begin, end in pairwise(edges)]
