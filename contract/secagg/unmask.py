"""Takes the masks off a sum: of the alive, their own masks; of the dead, their masks with each of the alive.

Every secret that is put together from shares is held against what its owner has published. One wrong share makes no sum.
"""

from collections.abc import Mapping

from contract.errors import InvalidRequest, Reason
from contract.secagg.keys import commitment, own_mask_key, pair_mask_key, public_x25519
from contract.secagg.masks import ENTRY_BYTES, VectorSum, mask
from contract.secagg.messages import KeyList, Keys, Plan, Survivors
from contract.secagg.shamir import combine, weights

Shared = Mapping[str, Mapping[str, bytes]]
"""By the device that has given it, and by the one whose it is: a share."""


def unmasked(plan: Plan, key_list: KeyList, survivors: Survivors, masked: Mapping[str, bytes], shares: Shared) -> bytes:
    """Returns the sum of the vectors of the alive.

    Args:
        plan: of the round.
        key_list: the keys of all who had any.
        survivors: who is alive and who is dead.
        masked: the vector of each of the alive.
        shares: from as many devices as the threshold, at least.

    Raises:
        InvalidRequest: ROUND_SHARE_INVALID.
    """
    givers = {plan.point(agent): shares[agent] for agent in sorted(shares)[: plan.threshold]}
    point_weights = weights(tuple(givers))
    keys = {item.agent: item for item in key_list.keys}

    def secret(agent: str) -> bytes:
        found = combine(point_weights, {point: given[agent] for point, given in givers.items()})
        return _checked(found, keys[agent], agent in masked)

    total = VectorSum(plan.entries)
    for agent in survivors.alive:
        total.add(masked[agent])
        total.subtract(mask(own_mask_key(keys[agent].round_id, agent, secret(agent)), plan.entries * ENTRY_BYTES))
    for agent in survivors.dead:
        _take_off(total, plan, agent, secret(agent), [keys[other] for other in survivors.alive])
    return total.total()


def _take_off(total: VectorSum, plan: Plan, dead: str, seed: bytes, alive: list[Keys]) -> None:
    for keys in alive:
        pair = mask(pair_mask_key(seed, dead, keys), plan.entries * ENTRY_BYTES)
        (total.subtract if keys.agent < dead else total.add)(pair)


def _checked(secret: bytes | None, keys: Keys, is_alive: bool) -> bytes:
    if secret is not None:
        published = commitment(keys.round_id, keys.agent, secret) if is_alive else public_x25519(secret)
        if published == (keys.commitment if is_alive else keys.masking_key):
            return secret
    raise InvalidRequest(
        Reason.ROUND_SHARE_INVALID,
        f"The shares of {keys.agent}'s secret do not give what it has published: no sum, plan the next round.",
    )
