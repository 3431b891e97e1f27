"""The command as it is, but for the starter zoo, which would be copied into the registry first."""

import snt_zoo.registry.starter
from snt_zoo.cli.main import main

if __name__ == "__main__":
    snt_zoo.registry.starter.starter_bundles = list  # type: ignore[assignment]
    main(prog_name="snt-zoo")
