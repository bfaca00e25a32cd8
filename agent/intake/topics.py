"""Which topic means what. Pure.

    seawall/v1/agents/{agent}/status                    the agent says here whether it is online; retained
    seawall/v1/agents/{agent}/clients/{client}/prompts  the client asks here
                                              /answers  answers and problems, unless a Response Topic under the same prefix was given
                                              /chunks   pieces of answers
                                              /feedback the client says here whether an answer was good

All that a client writes and reads lies under its own prefix, so that a broker's access list by user name
(`pattern readwrite seawall/v1/agents/+/clients/%u/#`) keeps clients apart.
"""

from dataclasses import dataclass

from agent.intake.strict_json import named
from contract.errors import InvalidRequest, NotFound, Reason

PROMPTS = "prompts"
ANSWERS = "answers"
CHUNKS = "chunks"
FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class ClientTopics:
    """The topics of one client of one agent.

    Args:
        agent_id: the agent's id.
        client: the client's name; printable, without `/`, `+` and `#`.
    """

    agent_id: str
    client: str

    @property
    def prefix(self) -> str:
        """What all the client's topics begin with."""
        return f"seawall/v1/agents/{self.agent_id}/clients/{self.client}/"

    @property
    def answers(self) -> str:
        """Where answers go by default."""
        return self.prefix + ANSWERS

    @property
    def chunks(self) -> str:
        """Where pieces of answers go."""
        return self.prefix + CHUNKS

    def reply_topic(self, response_topic: str | None) -> str:
        """Returns where the answer goes.

        Args:
            response_topic: the Response Topic that came with the prompt (MQTT 5, section 4.10), if any.

        Raises:
            InvalidRequest: FIELD_INVALID, it lies elsewhere, is no topic's name, or is where prompts or feedback come in.
        """
        if response_topic is None:
            return self.answers
        below = response_topic.removeprefix(self.prefix)
        if below in (response_topic, "", PROMPTS, FEEDBACK) or not _is_topic_name(response_topic):
            raise InvalidRequest(
                Reason.FIELD_INVALID,
                f"The Response Topic is not allowed: use one under {self.prefix}, without wildcards, other than {PROMPTS} and {FEEDBACK}.",
            )
        return response_topic


def subscription(agent_id: str) -> str:
    """Returns the filter for all that clients send: also to topics that do not exist, so that they can be told."""
    return f"seawall/v1/agents/{agent_id}/clients/+/+"


def status(agent_id: str) -> str:
    """Returns the topic of the agent's status."""
    return f"seawall/v1/agents/{agent_id}/status"


def split(topic: str) -> tuple[str, str]:
    """Returns the client and the last level of a topic that matched the subscription."""
    *_, client, leaf = topic.split("/")
    return client, leaf


def check_leaf(leaf: str) -> None:
    """Checks the last level of a topic under a client's prefix.

    Raises:
        NotFound: TOPIC_UNKNOWN, prompts do not come in there.
    """
    if leaf != PROMPTS:
        raise NotFound(Reason.TOPIC_UNKNOWN, f"Nothing is taken from the topic .../{named(leaf)[1:-1]}: send prompts to .../{PROMPTS}.")


def _is_topic_name(topic: str) -> bool:
    # Stricter than MQTT 5, sections 4.7.1 and 4.7.3: Mosquitto ends the connection of whoever publishes to a topic with control characters
    # or of more than 200 levels.
    return len(topic) <= 1024 and topic.count("/") <= 100 and topic.isprintable() and not {"+", "#"} & set(topic)
