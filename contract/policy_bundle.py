"""What a signed policy is made of: the target of the role `policies` names these files, and nothing else."""

from collections.abc import Mapping

from contract.calibration.maps import read_calibrations
from contract.errors import InvalidRequest, Reason
from contract.learning_limits import LearningLimits
from contract.policy import Policy
from contract.recognizers import read_recognizers

ROLE = "policies"
POLICY_FILE = "policy.cedar"
RECOGNIZERS_FILE = "recognizers.json"
CALIBRATION_FILE = "calibration.json"
LEARNING_FILE = "learning.json"

_OPTIONAL = (CALIBRATION_FILE, LEARNING_FILE, RECOGNIZERS_FILE)

MAX_FILE_BYTES = 1024 * 1024
"""Of any file. A policy that may be read has 20,000 characters at most."""


def check_policy_bundle(files: Mapping[str, bytes]) -> Policy:
    """Returns the policy of a bundle, all of which may be put in force.

    Args:
        files: by name, whole.

    Raises:
        InvalidRequest: POLICY_INVALID, it is not in force and stays out of it; FIELD_INVALID or FIELD_UNKNOWN, so of its recognizers or
            its limits of learning; CALIBRATION_INVALID, so of its calibration.
    """
    check_names({name: len(content) for name, content in files.items()})
    try:
        text = files[POLICY_FILE].decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"{POLICY_FILE} is no text: {error}") from error
    policy = Policy(text)
    if RECOGNIZERS_FILE in files:
        read_recognizers(files[RECOGNIZERS_FILE])
    if CALIBRATION_FILE in files:
        read_calibrations(files[CALIBRATION_FILE])
    if LEARNING_FILE in files:
        LearningLimits.from_json(files[LEARNING_FILE])
    return policy


def check_names(sizes: Mapping[str, int]) -> None:
    """Checks which files there are, before they are fetched.

    Raises:
        InvalidRequest: POLICY_INVALID, one is missing, unknown, or too large.
    """
    if POLICY_FILE not in sizes or set(sizes) - {POLICY_FILE, *_OPTIONAL}:
        raise _invalid(f"its files must be {POLICY_FILE} and, where there are any, {', '.join(_OPTIONAL)}")
    if max(sizes.values()) > MAX_FILE_BYTES:
        raise _invalid(f"a file of it has more than {MAX_FILE_BYTES} bytes")


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.POLICY_INVALID, f"The policy is refused, the one in force stays: {why}.")
