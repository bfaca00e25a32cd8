"""A local device that asks over MQTT, as any would."""

import json
import queue
import threading
import uuid
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Device:
    """One client of the site's broker.

    Args:
        port: of the broker, on loopback.
        agent_id: whom to ask.
        name: of this device.
    """

    def __init__(self, port: int, agent_id: str, name: str) -> None:
        self._prefix = f"seawall/v1/agents/{agent_id}/clients/{name}"
        self._status = f"seawall/v1/agents/{agent_id}/status"
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._online = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"tour-{name}", protocol=mqtt.MQTTv311)
        self._client.on_message = lambda _client, _data, message: self._heard(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(f"{self._prefix}/answers", 1), (self._status, 1)])

    def wait_for_agent(self, seconds: float = 60.0) -> None:
        """Waits for the agent's retained status.

        Raises:
            TimeoutError: it is not online.
        """
        if not self._online.wait(seconds):
            raise TimeoutError(f"the agent was not online on the broker within {seconds:.0f} s")

    def ask(self, text: str, seconds: float = 120.0) -> dict[str, Any]:
        """Returns the answer to a prompt, or the problem that came instead.

        Raises:
            TimeoutError: nothing came.
        """
        prompt_id = self.publish(text)
        while True:
            try:
                answer = self._answers.get(timeout=seconds)
            except queue.Empty:
                raise TimeoutError(f"no answer within {seconds:.0f} s") from None
            if answer.get("id") == prompt_id:
                return answer

    def wait_for_better(self, prompt_id: str, seconds: float = 120.0) -> dict[str, Any]:
        """Returns the better answer to a prompt that was answered provisionally; others that come are left out.

        Raises:
            TimeoutError: none came.
        """
        while True:
            try:
                answer = self._answers.get(timeout=seconds)
            except queue.Empty:
                raise TimeoutError(f"no better answer within {seconds:.0f} s") from None
            if answer.get("id") == prompt_id and "replaces" in answer:
                return answer

    def publish(self, text: str, max_tokens: int = 96) -> str:
        """Publishes a prompt, waits until the broker has it, and returns its id."""
        prompt_id = str(uuid.uuid4())
        self.publish_bytes(json.dumps({"id": prompt_id, "prompt": text, "max_tokens": max_tokens}).encode())
        return prompt_id

    def publish_bytes(self, payload: bytes) -> None:
        """Publishes anything as a prompt, and waits until the broker has it."""
        self._client.publish(f"{self._prefix}/prompts", payload, qos=1).wait_for_publish(30)

    def collect(self, prompt_ids: list[str], quiet_seconds: float) -> list[str]:
        """Returns the ids of the answers to prompts, better ones that follow left out, until all are there and it stays quiet.

        Args:
            prompt_ids: which are waited for, each for at most a minute.
            quiet_seconds: how long nothing may come after the last one.
        """
        heard: list[str] = []
        while True:
            waits = quiet_seconds if set(prompt_ids) <= set(heard) else 60.0
            try:
                answer = self._answers.get(timeout=waits)
            except queue.Empty:
                return heard
            if answer.get("id") in prompt_ids and "replaces" not in answer:
                heard.append(answer["id"])

    def _heard(self, message: mqtt.MQTTMessage) -> None:
        content = json.loads(message.payload)
        if message.topic != self._status:
            self._answers.put(content)
        elif content["state"] == "online":
            self._online.set()

    def close(self) -> None:
        """Says goodbye to the broker."""
        self._client.disconnect()
        self._client.loop_stop()
