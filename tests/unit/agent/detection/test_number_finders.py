"""Cards, accounts, national numbers, dates and addresses are found in their places."""

import pytest

from agent.detection.addresses import find_addresses
from agent.detection.contact import Finder, find_coordinates, find_emails, find_hosts, phone_finder
from agent.detection.dates import find_ages, find_dates
from agent.detection.identities import find_identities, find_labelled
from agent.detection.names import find_firms, find_titles
from agent.detection.numbers import find_accounts, find_cards

WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"

find_phones = phone_finder(("US", "GB", "DE"))


def found(find: Finder, text: str) -> set[tuple[str, str]]:
    return {(text[finding.start : finding.end], finding.kind) for finding in find(text)}


@pytest.mark.parametrize(
    ("find", "text", "value", "kind"),
    [
        (find_cards, "pay with 4111 1111 1111 1111 please", "4111 1111 1111 1111", "CREDIT_CARD"),
        (find_cards, "credit card number: 1234 5678 9012 3456", "1234 5678 9012 3456", "CREDIT_CARD"),
        (find_accounts, "to DE89 3704 0044 0532 0130 00 today", "DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
        (find_accounts, "account number 0042 7781", "0042 7781", "ACCOUNT_NUMBER"),
        (find_accounts, "policy no. HX-339201", "HX-339201", "ACCOUNT_NUMBER"),
        (
            find_accounts,
            "send it to 0x52908400098527886E0F7030069857D2E4169EE7",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "ACCOUNT_NUMBER",
        ),
        (find_identities, "ssn 536-22-8719", "536-22-8719", "US_SSN"),
        (find_identities, "DNI 12345678Z", "12345678Z", "NATIONAL_ID"),
        (find_identities, "c.f. RSSMRA85T10A562S", "RSSMRA85T10A562S", "NATIONAL_ID"),
        (find_identities, "PESEL 44051401359", "44051401359", "NATIONAL_ID"),
        (find_identities, "CPF 390.533.447-05", "390.533.447-05", "NATIONAL_ID"),
        (find_identities, "NHS 943 476 5919", "943 476 5919", "NATIONAL_ID"),
        (find_identities, "my NI number is AB 12 34 56 C", "AB 12 34 56 C", "NATIONAL_ID"),
        (find_identities, "numéro 2 55 08 14 168 025 38", "2 55 08 14 168 025 38", "NATIONAL_ID"),
        (find_identities, "hetu 131052-308T", "131052-308T", "NATIONAL_ID"),
        (find_labelled, "Passport number: K8823417", "K8823417", "PASSPORT"),
        (find_labelled, "driver's license D123-4567-8901", "D123-4567-8901", "DRIVER_LICENSE"),
        (find_labelled, "MRN 00482913", "00482913", "MEDICAL_RECORD"),
        (find_labelled, "license plate KA-RL 1234", "KA-RL 1234", "LICENSE_PLATE"),
        (find_labelled, "it was AB12 CDE again", "AB12 CDE", "LICENSE_PLATE"),
        (find_emails, "to jo.b+x@sub.example.org.", "jo.b+x@sub.example.org", "EMAIL_ADDRESS"),
        (find_emails, "jo at example dot org", "jo at example dot org", "EMAIL_ADDRESS"),
        (find_hosts, "see https://example.org/a?b=c.", "https://example.org/a?b=c", "URL"),
        (find_hosts, "on db1.prod.internal now", "db1.prod.internal", "INTERNAL_HOST"),
        (find_hosts, "at http://wiki.corp/x", "http://wiki.corp/x", "INTERNAL_HOST"),
        (find_hosts, "from 10.1.2.3", "10.1.2.3", "INTERNAL_HOST"),
        (find_hosts, "from 84.17.52.110", "84.17.52.110", "IP_ADDRESS"),
        (find_hosts, "from 2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e", "IP_ADDRESS"),
        (find_hosts, "card 00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E", "IP_ADDRESS"),
        (find_coordinates, "at 52.5163, 13.3777 now", "52.5163, 13.3777", "COORDINATES"),
        (find_phones, "call 467 3395 now", "467 3395", "PHONE_NUMBER"),
        (find_phones, "+46 (0)8 928 571 38", "+46 (0)8 928 571 38", "PHONE_NUMBER"),
        (find_phones, "01.84.17.61.18?", "01.84.17.61.18", "PHONE_NUMBER"),
        (find_phones, "tel:0121-234-5678", "0121-234-5678", "PHONE_NUMBER"),
        (find_phones, "unter 0171/2345678", "0171/2345678", "PHONE_NUMBER"),
        (find_phones, "345-899-3560x4587", "345-899-3560x4587", "PHONE_NUMBER"),
        (find_dates, "born on 12/04/1983", "12/04/1983", "DATE_OF_BIRTH"),
        (find_dates, "due on 3 March 2026", "3 March 2026", "DATE_TIME"),
        (find_dates, "am 5. Mai 1961", "5. Mai 1961", "DATE_TIME"),
        (find_dates, "at 2003-08-28 12:13:52", "2003-08-28 12:13:52", "DATE_TIME"),
        (find_dates, "in 1984 it rained", "1984", "DATE_TIME"),
        (find_ages, "a 67 year old man", "67", "AGE"),
        (find_ages, "she is 41.", "41", "AGE"),
        (find_addresses, "at 221 Harbour View Road, Bristol", "221 Harbour View Road", "STREET_ADDRESS"),
        (find_addresses, "in Lindenstraße 8, Köln", "Lindenstraße 8", "STREET_ADDRESS"),
        (find_addresses, "au 14 rue des Acacias, Lyon", "14 rue des Acacias", "STREET_ADDRESS"),
        (find_addresses, "ul. Długa 12", "ul. Długa 12", "STREET_ADDRESS"),
        (find_titles, "Is Dr. Okonkwo in?", "Dr.", "TITLE"),
        (find_titles, "Mr. and Mrs. Takahashi", "Mr.", "TITLE"),
        (find_firms, "at Transportes Robledo S.L. since", "Transportes Robledo S.L.", "ORGANIZATION"),
        (find_firms, "for Stone & Sons Ltd.", "Stone & Sons Ltd.", "ORGANIZATION"),
        (find_titles, "liebe Frau Abendroth", "Frau", "TITLE"),
        (find_addresses, "P.O. Box 1234", "P.O. Box 1234", "STREET_ADDRESS"),
        (find_addresses, "postcode LS2 7DF", "LS2 7DF", "STREET_ADDRESS"),
    ],
)
def test_it_is_found_in_its_place(find: Finder, text: str, value: str, kind: str) -> None:
    assert (value, kind) in found(find, text)


@pytest.mark.parametrize(
    ("find", "text"),
    [
        (find_cards, "Pi is 3.14159265358979."),
        (find_accounts, "Take this into account 3 times."),
        (find_identities, "Parts 12345678A and 131052-308U."),
        (find_labelled, "The passport office opens at 10."),
        (find_labelled, "My car is 12 years old."),
        (find_emails, "Meet me @ the bar at noon."),
        (find_hosts, "Version 1.2.3 at 12:30:45."),
        (find_coordinates, "Between 1.5 and 2.75 litres."),
        (find_phones, "Sort 5 3 8 1 9 2 7 4 6 0."),
        (find_phones, "On 12/05/2024 and 2024-05-12 10:30:15."),
        (find_phones, "Sales were 12,345 and 67,890."),
        (find_dates, "It costs 1984 euros and takes 5/8 of it."),
        (find_dates, "He may 3 times march."),
        (find_ages, "Wait 20 minutes and 30 seconds."),
        (find_firms, "the company as such. SEND IT AS SOON AS POSSIBLE"),
        (find_titles, "The doctor and the miss are in. Dr. or not?"),
        (find_addresses, "Send it via Email to the Main Office."),
        (find_addresses, "3 Doctors and 4 nurses. During 1971 Unit 7 and Aggregate 100 ran."),
    ],
)
def test_what_only_looks_like_it_is_left_alone(find: Finder, text: str) -> None:
    assert found(find, text) == set()
