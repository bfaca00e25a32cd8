"""A signed policy from its publisher to a device, as people run it; and a running agent that takes it by itself."""

import json
from pathlib import Path

from tests.integration.update.test_update_command import Site, distribution, key, models, site

__all__ = ["distribution", "site"]

OPEN = '@id("open") permit (principal, action == Action::"cache", resource);'
CLOSED = '@id("closed") forbid (principal, action, resource);'
FOLLOW = {"SEAWALL_AGENT_PRIVACY__SIGNED_POLICY": "fleet"}


def publish(site: Site, version: str, text: str) -> None:
    folder = site.folder / f"policy-{version}"
    folder.mkdir()
    (folder / "policy.cedar").write_text(text)
    to = ("--hub", site.hub.mtls, "--identity", site.publisher, "--root", site.root)
    role = ("--role", "policies", "--name", site.model, "--key", key(site.ceremony, "policies"))
    models("publish", folder, "--version", version, *to, *role)


def test_a_technician_takes_a_signed_policy_once_and_the_doctor_names_it(site: Site, tmp_path: Path) -> None:
    follow = {"SEAWALL_AGENT_PRIVACY__SIGNED_POLICY": site.model}
    assert "signed_policy" in site.agent("policy", "update").stderr
    refused = site.agent("policy", "update", **follow)
    assert refused.returncode == 1
    assert "Nobody has signed a policy" in refused.stderr
    assert "seawall-agent policy update" in site.agent("doctor", **follow).stdout
    publish(site, "1.0.0", OPEN)
    first = site.agent("policy", "update", "--json", **follow)
    assert json.loads(first.stdout) == {"name": f"policies/{site.model}/versions/1.0.0", "previous": "", "changed": True}
    assert "Nothing newer" in site.agent("policy", "update", **follow).stdout
    assert json.loads(site.agent("policy", "show", "--json", **follow).stdout)["text"] == OPEN
    assert f"policies/{site.model}/versions/1.0.0" in site.agent("doctor", **follow).stdout
    wrong = site.agent("policy", "update", "--from", tmp_path / "nowhere", **follow)
    assert (wrong.returncode, "There is no folder" in wrong.stderr) == (1, True)
