"""A hub in the worst hands: it has the CA and every online key, keeps all that it was ever sent, and tells each device what it likes.

It plays an honest hub's round up to a stage; from there on, the test speaks for it.
"""

from cryptography.hazmat.primitives.asymmetric import ec

from contract.secagg.client import Participant
from contract.secagg.keys import Secrets, sign_keys
from contract.secagg.messages import Keys, Plan
from contract.secagg.server import Coordinator
from contract.secagg.wire import Kind, kind_of
from tests.fakes.secagg_cohort import Cohort


class MaliciousHub:
    def __init__(self, cohort: Cohort, plan: Plan | None = None) -> None:
        self.cohort = cohort
        self.plan = plan or cohort.plan()
        self.devices: dict[str, Participant] = cohort.participants()
        self.heard: dict[Kind, dict[str, bytes]] = {}
        """What the devices have sent, by kind and sender."""
        self.sent: dict[Kind, dict[str, bytes]] = {}
        self._own_key = ec.generate_private_key(ec.SECP256R1())
        """One that no roster has, in whatever name it likes."""

    def up_to(self, kind: Kind, lost: tuple[str, ...] = ()) -> dict[str, bytes]:
        """Plays an honest round until these messages are to be sent, and returns them. Of who is lost, it says that no vector came."""
        coordinator = Coordinator(self.plan, self.cohort.roster)
        messages = coordinator.invitations()
        while (found := kind_of(next(iter(messages.values())))) is not kind:
            self.sent[found] = messages
            for agent, message in messages.items():
                answer = self.tell(agent, message)
                if not (found is Kind.DELIVERY and agent in lost):
                    coordinator.receive(agent, answer)
            messages = coordinator.close_stage()
        self.sent[kind] = messages
        return messages

    def tell(self, agent: str, message: bytes) -> bytes:
        answer = self.devices[agent].receive(message)
        self.heard.setdefault(kind_of(answer), {})[agent] = answer
        return answer

    def keys_for(self, agent: str) -> Keys:
        """Returns keys in a device's name whose secrets the hub has, signed by a key of its own."""
        return sign_keys(Secrets.make(self.cohort.randomness), self.plan.round_id(), agent, self._own_key)
