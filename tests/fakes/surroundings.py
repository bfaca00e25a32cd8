"""A hub with three providers, and a site in its region."""

from contract.surroundings import Hub, Provider, Surroundings

HOUSE = Provider("house", "private", "de-fra", "acme", 0)
ABROAD = Provider("abroad", "private", "us-east", "acme", 0)
CLOUD = Provider("cloud", "public", "de-fra", "them", 30)
HUB = Hub("seawall.test", "de-fra", "acme", (HOUSE, ABROAD, CLOUD))
HERE = Surroundings("frankfurt", "de-fra", "mqtt", HUB)
