"""Secure aggregation: a hub learns the sum of what a cohort of devices says, and nothing else of what one of them said.

After Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning" (CCS 2017), in the variant against a
malicious server, on the full graph of at most 64 devices: sums of vectors of 64-bit numbers, exact, modulo 2^64.

    hub                      device
    Plan        ------>      0  its own rules; new keys            (rules.py, keys.py)
                <------      Keys, signed by the member key, which the roster names
    KeyList     ------>      1  every key is of who is in the roster
                <------      Shares: of both its secrets, sealed for each other device   (shamir.py)
    Delivery    ------>      2  the window is spent, then the vector is masked    (masks.py)
                <------      Masked
    Survivors   ------>      3  one partition into alive and dead, which it signs
                <------      Consent
    Consents    ------>      4  as many as the threshold have signed the same
                <------      Unmasking: of the alive, a share of the seed; of the dead, one of the key; never both

`client.py` is the device's side, `server.py` and `unmask.py` the hub's; `docs/secure-aggregation.md` says what is proven, and by which
test.
"""
