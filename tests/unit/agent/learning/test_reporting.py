"""What a window comes to on a device."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.learning.reporting import Reporting, vector
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.live import LiveStore
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject
from contract import usage
from contract.calibration import sums
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY, Map
from contract.errors import Reason
from contract.learning import noise_of, span, terms
from contract.secagg.masks import from_vector, signed
from contract.secagg.messages import Plan
from contract.subjects import EMBEDDER, MOST_ANSWERS, USAGE, Confidence, Similarity
from tests.fakes.answerer import receipt
from tests.fakes.secagg_cohort import refused

WEEK = "2026-W47"
BEGIN, END = (time.timestamp() for time in span(WEEK))


def named(reporting: Reporting) -> dict[str, int]:
    return {cell: count for cell, count in usage.named(reporting.counts(USAGE, WEEK)).items() if count}


async def give(database: Database, name: str, time: float, may_learn: bool = True, **values: object) -> None:
    given = replace(receipt(name), receipt_id=name, **values)  # type: ignore[arg-type]
    await ReceiptStore(database, age_seconds=1e12).append("c", given, time, may_learn=may_learn)


async def test_the_answers_of_the_week_count_and_no_others(database: Database) -> None:
    for name, time in (("before", BEGIN - 0.001), ("first", BEGIN), ("last", END - 0.001), ("after", END)):
        await give(database, name, time)
    assert named(Reporting(database, lambda _: True, Random(1)))["route.local"] == 2


async def test_what_policy_did_not_let_be_learnt_from_is_not_counted(database: Database) -> None:
    await give(database, "forbidden then", BEGIN, may_learn=False)
    await give(database, "forbidden now", BEGIN, data_class="confidential")
    await give(database, "allowed", BEGIN)
    reporting = Reporting(database, lambda row: row["data_class"] != "confidential", Random(1))
    assert named(reporting)["route.local"] == 1


async def test_once_a_week_is_counted_its_answers_are_in_no_memory(tmp_path: Path) -> None:
    class Counting(Database):
        forgot = 0

        def forget_pages(self) -> None:
            self.forgot += 1
            super().forget_pages()

    with closing(Counting(tmp_path / "agent.db")) as database:
        await give(database, "first", BEGIN)
        assert named(Reporting(database, lambda _: True, Random(1)))["route.local"] == 1
        assert database.forgot == 1


async def test_what_people_said_is_counted_beside_the_answer(database: Database) -> None:
    await give(database, "p1", BEGIN, route="cache")
    await give(database, "p2", BEGIN)
    await LiveStore(database, 1e12).give_feedback("c", "p1", is_good=False, now=BEGIN)
    found = named(Reporting(database, lambda _: True, Random(1), lambda: usage.Condition(55.0, 7.5)))
    assert (found["cache.said.bad"], found["said.bad"], found["celsius.60"], found["watts.10"]) == (1, 1, 1, 1)
    assert "said.good" not in found


async def test_where_a_prompt_lies_is_counted_beside_its_answer_and_one_without_is_counted_too(database: Database) -> None:
    await give(database, "sketched", BEGIN, route="escalated")
    await give(database, "not sketched", BEGIN)
    await SketchStore(database).put("sketched", (1, 0, 0, 1), Subject("c"), BEGIN, BEGIN)
    found = named(Reporting(database, lambda _: True, Random(1)))
    assert {cell for cell in found if cell.startswith("drift.")} == {"drift.0.1", "drift.1.0", "drift.2.0", "drift.3.1"}
    assert (found["route.local"], found["route.escalated"]) == (1, 1)


async def test_where_there_are_too_many_any_of_them_are_drawn(database: Database) -> None:
    def fill(tables: object) -> None:
        text = receipt("p").leaf("c")
        rows = [(f"r{number}", "c", text, BEGIN + number, 1) for number in range(2 * MOST_ANSWERS)]
        rows = [(name, client, text if time < BEGIN + MOST_ANSWERS else later, time, flag) for name, client, text, time, flag in rows]
        query = "INSERT INTO receipts (receipt_id, client, receipt, create_time, may_learn) VALUES (?, ?, ?, ?, ?)"
        tables.conn.executemany(query, rows)  # type: ignore[attr-defined]

    later = replace(receipt("p"), route="cache").leaf("c")
    await database.run(fill)
    found = named(Reporting(database, lambda _: True, Random(1)))
    assert found["route.local"] + found["route.cache"] == MOST_ANSWERS
    assert min(found["route.local"], found["route.cache"]) > MOST_ANSWERS // 3


@pytest.mark.parametrize("text", ["{}", "[]", '{"data_class": 3, "departure": {"unheard of": 1}}'])
async def test_a_receipt_that_cannot_be_read_lets_nothing_be_reported(database: Database, text: str) -> None:
    await give(database, "p", BEGIN)
    await database.run(lambda tables: tables.execute("UPDATE receipts SET receipt = ?", [text]))
    with refused(Reason.LOG_DAMAGED):
        Reporting(database, lambda row: bool(row["data_class"]), Random(1)).counts(USAGE, WEEK)


async def test_a_store_that_is_broken_is_said_to_be(database: Database) -> None:
    await database.run(lambda tables: tables.execute("DROP TABLE feedback"))
    await give(database, "p", BEGIN)
    with refused(Reason.STORE_UNAVAILABLE):
        Reporting(database, lambda _: True, Random(1)).counts(USAGE, WEEK)


def plan(is_exact: bool) -> Plan:
    asked = terms(USAGE, WEEK, is_exact)
    names = tuple(f"agent-{number:02}" for number in range(8))
    return Plan(bytes(32), WEEK, asked.schema, asked.entries, 0, 6, 1, bytes(32), names)


def test_a_vector_without_noise_is_the_counts_clipped() -> None:
    counts = [10, *[0] * (len(usage.CELLS) - 1)]
    assert list(signed(from_vector(vector(counts, USAGE, plan(is_exact=True), Random(1).getrandbits)))) == counts
    counts[0] = 10 * USAGE.norm
    assert signed(from_vector(vector(counts, USAGE, plan(is_exact=True), Random(1).getrandbits)))[0] == USAGE.norm


def test_every_other_vector_bears_noise_in_each_entry() -> None:
    noisy = signed(from_vector(vector([0] * len(usage.CELLS), USAGE, plan(is_exact=False), Random(1).getrandbits)))
    deviation = float(noise_of(USAGE, plan(is_exact=False)).variance_each) ** 0.5
    assert sum(value != 0 for value in noisy) == len(noisy)
    assert 0.7 * deviation < (sum(value * value for value in noisy) / len(noisy)) ** 0.5 < 1.3 * deviation


def test_a_week_without_answers_is_all_zeros(database: Database) -> None:
    assert Reporting(database, lambda _: True, Random(1)).counts(USAGE, WEEK) == [0] * len(usage.CELLS)
    assert timedelta(seconds=END - BEGIN) == timedelta(days=7)


MODEL = receipt("p").model_digest


def reported(reporting: Reporting, in_force: Map = SAME) -> list[int]:
    return reporting.counts(Confidence(MODEL, in_force), WEEK)


async def judge(database: Database, name: str, is_good: bool = True, time: float = BEGIN, may_learn: bool = True, **values: object) -> None:
    await give(database, name, time, may_learn, prompt_id=name, **values)
    await LiveStore(database, 1e12).give_feedback("c", name, is_good, now=time)


async def test_what_people_said_is_held_against_the_map_in_force(database: Database) -> None:
    await judge(database, "good", confidence=0.8)
    await judge(database, "bad", is_good=False, confidence=0.6, route="cache")
    await give(database, "nobody has judged it", BEGIN)
    reporting, judged = Reporting(database, lambda _: True, Random(1)), [(0.8, True), (0.6, False)]
    by_map = [reported(reporting, in_force) for in_force in (SAME, Map(2.0, 0.5))]
    assert by_map == [sums.tally(CONFIDENCE, in_force, judged) for in_force in (SAME, Map(2.0, 0.5))]
    assert by_map[0] != by_map[1]


async def test_of_confidence_nothing_counts_that_may_not_be_learnt_from_or_is_of_another_model_or_week(database: Database) -> None:
    await judge(database, "forbidden then", may_learn=False)
    await judge(database, "forbidden now", data_class="confidential")
    await judge(database, "another model", model_digest="sha256:" + "1" * 64)
    await judge(database, "too late", time=END)
    await judge(database, "too early", time=BEGIN - 1)
    reporting = Reporting(database, lambda row: row["data_class"] != "confidential", Random(1))
    assert reported(reporting) == [0] * Confidence.entries
    await judge(database, "allowed")
    assert reported(reporting) == sums.tally(CONFIDENCE, SAME, [(0.75, True)])


async def test_of_too_many_judged_answers_any_are_drawn(database: Database) -> None:
    for number in range(sums.MOST_ANSWERS + 32):
        await judge(database, f"p{number}", is_good=number < sums.MOST_ANSWERS)
    drawn = {tuple(reported(Reporting(database, lambda _: True, Random(seed)))) for seed in range(4)}
    assert {vector[2] for vector in drawn} == {sums.MOST_ANSWERS * sums.ANSWER_UNITS}
    assert len({vector[0] for vector in drawn}) > 1


def test_a_vector_of_confidence_bears_noise_for_its_own_norm() -> None:
    subject = Confidence(MODEL)
    asked = replace(plan(is_exact=False), schema=terms(subject, WEEK, is_exact=False).schema, entries=subject.entries)
    exact = replace(asked, schema=terms(subject, WEEK, is_exact=True).schema)
    counts = [3, *[0] * (subject.entries - 1)]
    assert list(signed(from_vector(vector(counts, subject, exact, Random(1).getrandbits)))) == counts
    noisy = signed(from_vector(vector(counts, subject, asked, Random(1).getrandbits)))
    deviation = float(noise_of(subject, asked).variance_each) ** 0.5
    assert 0.5 * deviation < (sum(value * value for value in noisy) / len(noisy)) ** 0.5 < 1.5 * deviation


async def recall(database: Database, name: str, is_good: bool = True, similarity: float | None = 0.9, **values: Any) -> None:
    time = values.get("time", BEGIN)
    await judge(database, name, is_good, route="cache", reasons=("similar",), confidence=None, **values)
    await SketchStore(database).put(name, (0, 0, 0, 0), Subject("c"), time, time, similarity)


async def test_what_people_said_of_the_caches_answers_to_similar_questions_is_held_against_the_map_of_similarity(
    database: Database,
) -> None:
    await recall(database, "good", similarity=0.95)
    await recall(database, "bad", is_good=False, similarity=0.85)
    await judge(database, "of confidence")
    await give(database, "nobody has judged it", BEGIN, route="cache", reasons=("similar",))
    await SketchStore(database).put("nobody has judged it", (0, 0, 0, 0), Subject("c"), BEGIN, BEGIN, 0.9)
    reporting, judged = Reporting(database, lambda _: True, Random(1)), [(0.95, True), (0.85, False)]
    for in_force in (SAME, Map(2.0, 0.5)):
        assert reporting.counts(Similarity(EMBEDDER, in_force), WEEK) == sums.tally(SIMILARITY, in_force, judged)
    assert reported(reporting) == sums.tally(CONFIDENCE, SAME, [(0.75, True)]), "an answer to another question has no confidence"


async def test_of_similarity_nothing_counts_that_may_not_be_learnt_from_or_is_of_another_week_or_forgotten(database: Database) -> None:
    await recall(database, "forbidden then", may_learn=False)
    await recall(database, "forbidden now", data_class="confidential")
    await recall(database, "too late", time=END)
    await recall(database, "not similar", similarity=None)
    await recall(database, "forgotten")
    await forget(database, Subject("c"), END)
    reporting = Reporting(database, lambda row: row["data_class"] != "confidential", Random(1))
    assert reporting.counts(Similarity(EMBEDDER), WEEK) == [0] * Similarity.entries
