"""Flower's SecAgg+ in one process: its own workflow on the hub's side and its own modifier on the devices', with no network between."""

import logging
import os
from copy import deepcopy
from dataclasses import dataclass
from time import process_time
from typing import Any

for name, value in {"TELEMETRY_ENABLED": "0", "DISABLE_UPDATE_CHECK": "1", "DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1"}.items():
    os.environ[f"FLWR_{name}"] = value  # read when Flower is imported: it calls out otherwise

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common import recorddict_compat
from flwr.server import LegacyContext, SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.supercore.task_identity import TaskIdentity


@dataclass(frozen=True, slots=True)
class FlowerCosts:
    """What a round has cost, and by how much an entry of the mean was off at most."""

    device_milliseconds: float
    hub_seconds: float
    largest_error: float


class Devices:
    """All devices; their processor time is counted, so that the hub's is the rest."""

    def __init__(self, size: int, entries: int) -> None:
        self._values = np.arange(entries, dtype=np.float64) / entries
        self._contexts = {number: Context(1, number, {}, RecordDict(), {}) for number in range(1, size + 1)}
        self.seconds = self.wire_seconds = 0.0

    @property
    def values(self) -> Any:
        """What each device says."""
        return self._values

    def send_and_receive(self, messages: list[Any], **_options: Any) -> list[Any]:
        """Lets each device answer what a wire would have brought: a copy, whose making counts for neither side."""
        begin = process_time()
        messages = [deepcopy(message) for message in messages]
        self.wire_seconds += process_time() - begin
        begin = process_time()
        answers = [secaggplus_mod(message, self._contexts[message.metadata.dst_node_id], self._train) for message in messages]
        self.seconds += process_time() - begin
        return answers

    def _train(self, message: Any, _context: Any) -> Any:
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([self._values]), 1, {})
        return Message(recorddict_compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


def run_secagg_plus(size: int, entries: int, threshold: int) -> FlowerCosts:
    """Plays one round on the full graph.

    Args:
        size: of the cohort.
        entries: of each vector.
        threshold: how many shares give a secret back.
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0
    manager = SimpleClientManager()
    devices: Any = Devices(size, entries)
    for number in range(1, size + 1):
        manager.register(GridClientProxy(number, devices, 1))
    strategy = FedAvg(fraction_fit=1.0, min_fit_clients=size, min_available_clients=size)
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy, client_manager=manager)
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
    start = recorddict_compat.parameters_to_arrayrecord(ndarrays_to_parameters([np.zeros(entries)]), keep_input=True)
    context.state.array_records[MAIN_PARAMS_RECORD] = start
    begin = process_time()
    SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=threshold, max_weight=1.0)(devices, context)
    hub_seconds = process_time() - begin - devices.seconds - devices.wire_seconds
    parameters = recorddict_compat.arrayrecord_to_parameters(context.state.array_records[MAIN_PARAMS_RECORD], keep_input=True)
    [mean] = parameters_to_ndarrays(parameters)
    return FlowerCosts(1e3 * devices.seconds / size, hub_seconds, float(np.abs(mean - devices.values).max()))
