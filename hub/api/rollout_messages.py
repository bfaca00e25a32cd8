"""Rollouts and their agents as protobuf messages."""

from contract.identity import agent_name
from hub.fleet.messages import timestamp
from hub.release.progress import Progress
from hub.release.rollouts import Shown
from hub.store.rollout_agents import RolloutAgentRecord
from seawall.hub.v1 import rollout_pb2


def rollout_message(shown: Shown) -> rollout_pb2.Rollout:
    """Returns a rollout: what was wanted, and where it stands."""
    record = shown.record
    message = rollout_pb2.Rollout.FromString(record.wanted)
    message.MergeFrom(
        rollout_pb2.Rollout(
            name=f"rollouts/{record.rollout_id}",
            state=rollout_pb2.Rollout.State.Value(record.state),
            state_reason=record.reason,
            current_wave=record.current_wave,
            progress=[_progress(wave) for wave in shown.progress],
            creator=record.creator,
            create_time=timestamp(record.create_time),
            update_time=timestamp(record.update_time),
            end_time=timestamp(record.end_time),
            etag=str(record.revision),
        )
    )
    return message


def rollout_agent_message(record: RolloutAgentRecord, *, is_stuck: bool) -> rollout_pb2.RolloutAgent:
    """Returns one agent of a rollout, with its last report, if there is one."""
    agent = agent_name(record.agent_id)
    return rollout_pb2.RolloutAgent(
        name=f"rollouts/{record.rollout_id}/{agent}",
        agent=agent,
        wave=record.wave,
        report=None if record.report is None else rollout_pb2.ReleaseReport.FromString(record.report),
        choose_time=timestamp(record.choose_time),
        report_time=timestamp(record.report_time),
        stuck=is_stuck,
    )


def _progress(wave: Progress) -> rollout_pb2.WaveProgress:
    return rollout_pb2.WaveProgress(
        begin_time=timestamp(wave.times.begin),
        settle_time=timestamp(wave.times.settle),
        end_time=timestamp(wave.times.end),
        agents=wave.agents,
        waiting=wave.waiting,
        under_way=wave.under_way,
        proven=wave.proven,
        failed=wave.failed,
        stuck=wave.stuck,
        rolled_back=wave.rolled_back,
    )
