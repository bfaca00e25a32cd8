"""Windows of a fleet: what each device reports, through the real secure sum, with its part of the noise where there is any."""

import os
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.calibration_fleet import Judged, Spoil, Traffic
from benchmarks.learning_cohort import WINDOW, Memory, member_key
from contract.calibration.cohorts import CohortSum
from contract.calibration.fitting import fit
from contract.calibration.maps import CONFIDENCE, SAME, Map
from contract.calibration.sums import SCALE_BITS, entries, schema_digest, tally
from contract.identity import key_hash
from contract.learning import noise_of
from contract.privacy_noise import Bits, Noise
from contract.secagg.client import Member, Participant
from contract.secagg.masks import to_vector
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import MOST_AGENTS, Rules, Terms, least_threshold
from contract.secagg.server import Coordinator
from contract.subjects import Confidence
from contract.tree_heads import public_der

MODEL = "sha256:" + "0" * 64

Vectors = Sequence[Sequence[int]]
Summed = Callable[[Vectors, Map], CohortSum]


def secure_sum(vectors: Vectors, in_force: Map) -> CohortSum:
    """Plays one round of the protocol, as honest devices and an honest hub do."""
    agents = tuple(f"agent-{number:03}" for number in range(len(vectors)))
    roster = Roster(1, {agent: key_hash(public_der(member_key(agent))) for agent in agents})
    terms = Terms(WINDOW, schema_digest(CONFIDENCE, MODEL, in_force), entries(CONFIDENCE), SCALE_BITS)
    plan = _plan(terms, roster.digest, agents)
    coordinator, devices = Coordinator(plan, roster), dict[str, Participant]()
    for agent, values in zip(agents, vectors, strict=True):
        member = Member(agent, member_key(agent), roster, Rules(smallest_cohort=1))
        devices[agent] = Participant(member, terms, Memory(), _saying(to_vector(values)), os.urandom)
    messages = coordinator.invitations()
    while messages:
        for agent, message in messages.items():
            coordinator.receive(agent, devices[agent].receive(message))
        messages = coordinator.close_stage()
    assert coordinator.sum is not None
    return CohortSum(len(agents), coordinator.sum.values)


def shipped_noise(size: int) -> Noise:
    """Returns the noise that a round's sum of so many devices bears."""
    subject = Confidence(MODEL)
    terms = Terms(WINDOW, subject.digest, subject.entries, subject.scale_bits)
    return noise_of(subject, _plan(terms, bytes(32), tuple(f"agent-{number:03}" for number in range(size))))


def _plan(terms: Terms, roster_digest: bytes, agents: tuple[str, ...]) -> Plan:
    shape = terms.schema, terms.entries, terms.scale_bits
    return Plan(os.urandom(32), terms.window, *shape, least_threshold(len(agents)), 1, roster_digest, agents)


def _saying(vector: bytes) -> Callable[[Plan], bytes]:
    return lambda _: vector


def plain_sum(vectors: Vectors, _in_force: Map) -> CohortSum:
    """Adds up what a secure sum would, which is exact."""
    return CohortSum(len(vectors), tuple(map(sum, zip(*vectors, strict=True))))


def window(sites: Sequence[Traffic], random: Random, in_force: Map, garbage: Spoil | None = None) -> tuple[list[list[int]], list[Judged]]:
    """Returns what the devices report of a window, and all answers in one place; of the first site's data, garbage may be made."""
    answers = [site.window(random) for site in sites]
    reported = [garbage(own, Random(1)) if garbage and not number else own for number, own in enumerate(answers)]
    return [tally(CONFIDENCE, in_force, own) for own in reported], [answer for own in answers for answer in own]


def learn(
    sites: Sequence[Traffic], random: Random, windows: tuple[int, int], summed: Summed = plain_sum, garbage: Spoil | None = None
) -> tuple[Map, list[Judged]]:
    """Fits a map after each of some windows, and then one to several windows together.

    Returns:
        The last map, and the answers of the windows that it was fitted to.
    """
    in_force = SAME
    for _ in range(windows[0]):
        in_force = fit(CONFIDENCE, in_force, [summed(window(sites, random, in_force, garbage)[0], in_force)]).map
    found = [window(sites, random, in_force, garbage) for _ in range(windows[1])]
    step = fit(CONFIDENCE, in_force, [summed(vectors, in_force) for vectors, _ in found])
    return step.map, [answer for _, answers in found for answer in answers]


def cohorts_of(vectors: Vectors) -> list[Vectors]:
    """Deals devices to cohorts of at most 64, as equal as can be."""
    count = -(-len(vectors) // MOST_AGENTS)
    return [vectors[number::count] for number in range(count)]


def noisy_sum(vectors: Vectors, noise: Noise, bits: Bits) -> CohortSum:
    """Adds up vectors of devices that each add their part of the noise: in all of them, much more than what is counted on."""
    found = plain_sum([vector_of(noise.contribution(values, bits)) for values in vectors], SAME)
    return CohortSum(len(vectors), found.values, float(noise.variance_each) * len(vectors))


def vector_of(content: bytes) -> list[int]:
    """Returns a vector's numbers with their signs."""
    return [int.from_bytes(content[place : place + 8], "little", signed=True) for place in range(0, len(content), 8)]
