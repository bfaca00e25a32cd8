"""How long the certificate of a child that carries rounds lasts."""

from datetime import timedelta

from cryptography import x509

from contract.carrying import LONGEST_ROUND_SECONDS
from hub.clock import utc_now
from hub.learning.carrier import MOST_COHORTS
from hub.learning.certificate import round_certificate

COHORTS = 5_000
"""A hundred thousand devices, twenty in each."""


def test_the_certificate_lasts_until_the_last_cohort_of_a_large_fleet_and_for_clocks_that_are_behind() -> None:
    now = utc_now()
    _, pem = round_certificate(x509.SubjectAlternativeName([x509.DNSName("hub.example.org")]), now)
    certificate = x509.load_pem_x509_certificate(pem)
    longest = timedelta(seconds=COHORTS / MOST_COHORTS * LONGEST_ROUND_SECONDS)
    assert certificate.not_valid_before_utc < now - timedelta(days=1)
    assert certificate.not_valid_after_utc > now + longest
