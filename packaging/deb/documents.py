"""What Debian wants to be told: licences and changes."""

import gzip
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

_COPYRIGHT = """\
Seawall, by its authors. Licence: Apache-2.0, whose text is in /usr/share/common-licenses/Apache-2.0.

The libraries in /{site} are their authors', unchanged but for tests and headers.
Each one's licence texts lie in its .dist-info folder, or in the folder of the library itself.

"""
_CHANGE = """\
{package} ({version}) stable; urgency=medium

  * What is new is in changelog.gz.

 -- Seawall maintainers <maintainers@seawall.example>  {date}
"""


def write_documents(folder: Path, package: str, site: Path, version: str, seconds: int, changelog: Path) -> None:
    """Writes copyright and changelogs.

    Args:
        folder: that becomes /usr/share/doc/PACKAGE.
        package: its name.
        site: the site-packages folder, filled.
        version: Debian's.
        seconds: when the change was made.
        changelog: the project's.
    """
    folder.mkdir()
    distributions = sorted(map(PathDistribution, site.glob("*.dist-info")), key=lambda found: found.name)
    place = Path("usr/lib") / package / site.relative_to(site.parents[2])
    (folder / "copyright").write_text(
        _COPYRIGHT.format(site=place) + "".join(f"{found.name} {found.version}: {_licence(found)}\n" for found in distributions)
    )
    change = _CHANGE.format(package=package, version=version, date=format_datetime(datetime.fromtimestamp(seconds, UTC)))
    (folder / "changelog.Debian.gz").write_bytes(gzip.compress(change.encode(), mtime=0))
    (folder / "changelog.gz").write_bytes(gzip.compress(changelog.read_bytes(), mtime=0))


def _licence(found: Distribution) -> str:
    """Returns what the metadata says, in whichever of three ways."""
    told = found.metadata
    classifiers = [line.split(" :: ")[-1] for line in told.get_all("Classifier", []) if line.startswith("License :: ")]
    text = told.get("License-Expression") or told.get("License") or ", ".join(classifiers)
    return text.strip().splitlines()[0] if text else "see its folder"
