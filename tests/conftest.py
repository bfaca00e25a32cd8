"""What all tests share: a PostgreSQL, tokens for keys, and the examples of property tests.

These are the same on every run, however busy the machine is. Others: `pytest --hypothesis-profile thorough`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.fakes.postgres import Postgres
    from tests.fakes.softhsm import SoftHsm

settings.register_profile("seawall", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=3000)
settings.load_profile("seawall")


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """A PostgreSQL for all tests of a run; each makes databases of its own."""
    from tests.fakes.postgres import HOW_TO_GET_IT, find_programs, running_postgres  # the models' virtual environment has no driver

    programs = find_programs()
    if programs is None:
        pytest.skip(HOW_TO_GET_IT)
    with running_postgres(programs) as running:
        yield running


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SoftHsm]":
    """A PKCS#11 module for all tests of a run; each plugs in tokens of its own. The module reads where they are from the environment."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed: pip install seawall[hsm]")
    from tests.fakes.softhsm import HOW_TO_GET_IT, SoftHsm, find_module  # the models' virtual environment has no python-pkcs11

    module = find_module()
    if module is None:
        pytest.skip(HOW_TO_GET_IT)
    made = SoftHsm(module, tmp_path_factory.mktemp("softhsm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(made.configuration))
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: the same must hold on both engines."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    url: str = request.getfixturevalue("postgres").create_database()
    return url
