"""Bringing a catalog of an earlier snt-zoo up to date: a copy first, then alembic's steps, all or none.

alembic is imported here alone, and only when a step is due.
"""

from __future__ import annotations

from datetime import datetime, timezone
from importlib import resources
from pathlib import Path

from sqlalchemy import inspect

from snt_zoo.errors import RegistryError
from snt_zoo.formats.durable import sync_folder
from snt_zoo.registry.catalog.database import Database
from snt_zoo.registry.catalog.tables import ALEMBIC, SCHEMA_VERSION


def migrate(database: Database, *, version: int, bundles: Path, backups: Path) -> Path:
    """Bring a catalog to `SCHEMA_VERSION`; only under the store's lock.

    Args:
        database: of the catalog.
        version: that it has.
        bundles: folder of the bundles, from which new columns are filled.
        backups: folder for the copy of the catalog as it was.

    Returns:
        The copy.

    Raises:
        RegistryError: a step failed; the catalog is as it was.
    """
    copy = back_up(database, backups, f"schema-{version}")
    try:
        with database.rebuild() as connection:
            from alembic import command
            from alembic.config import Config

            config = Config()
            steps = resources.files("snt_zoo.registry.catalog") / "migrations"
            config.set_main_option("script_location", str(steps).replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes.update(connection=connection, bundles=bundles)
            if not inspect(connection).has_table(ALEMBIC.name):  # snt-zoo 0.1 knew no alembic
                command.stamp(config, str(version))
            command.upgrade(config, str(SCHEMA_VERSION))
    except RegistryError:
        raise
    except Exception as error:
        raise RegistryError(
            f"the catalog {database.path} of schema version {version} could not be brought to "
            f"{SCHEMA_VERSION} and is as it was ({error}); a copy lies at {copy}: use the snt-zoo that "
            "wrote it, or report this"
        ) from error
    return copy


def back_up(database: Database, backups: Path, why: str) -> Path:
    """Copy a catalog into the folder of backups; returns the copy, which is on the disk then.

    Raises:
        RegistryError: there is no room, or the catalog is damaged.
    """
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    target = backups / f"catalog-{why}-{now}.sqlite"
    try:
        backups.mkdir(parents=True, exist_ok=True)
        database.copy_to(target)
        sync_folder(backups)
    except OSError as error:
        raise RegistryError(
            f"the catalog {database.path} cannot be copied before it is changed: {error}; free some space"
        ) from error
    return target
