"""Proves that what `python -m build` left in `dist/` is a release: whole, small, and at work elsewhere.

`build` makes the wheel from the unpacked sdist, so a whole wheel proves the sdist as well.

Example:
    python .ci/release.py --budget 5s   # the wheel runs the demo with the dependencies of this environment
    python .ci/release.py --clean       # with dependencies of its own: takes minutes, and 6 GB for torch
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_MEGABYTES = 100
LEAST_ACCURACY = 0.5  # of ten digits; a guess has 0.1


def check(found: set[str], expected: set[str], what: str) -> None:
    """Leave with the names that are missing or should not be there."""
    for names, fault in ((expected - found, "lacks"), (found - expected, "should not hold")):
        if names:
            sys.exit(f"{what} {fault} {', '.join(sorted(names)[:10])} ({len(names)} in all)")


def check_contents(wheel: Path, sdist: Path) -> None:
    """The sdist is what git knows, and the wheel the package alone."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = set(listing.stdout.splitlines())
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    check(names - {"PKG-INFO"}, tracked, sdist.name)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    check(names, {name for name in tracked if name.startswith("snt_zoo/")}, wheel.name)
    for path in (wheel, sdist):
        megabytes = path.stat().st_size / 1e6
        print(f"{path.name}: {megabytes:.1f} MB")
        if megabytes >= MOST_MEGABYTES:
            sys.exit(f"{path.name} has {megabytes:.1f} MB: at most {MOST_MEGABYTES} are allowed")


def check_demo(wheel: Path, *, clean: bool, budget: str) -> None:
    """Install the wheel into a new environment, and run the demo there, in a folder outside the checkout."""
    with tempfile.TemporaryDirectory(prefix="snt-zoo-release-") as folder:
        place = Path(folder).resolve()
        python = place / "venv" / "bin" / "python"
        # Nothing of the checkout is on the path: not its folder, and not what the caller exported.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["SNT_ZOO_HOME"] = str(place / "home")

        def run(*command: str | Path) -> str:
            begin = time.monotonic()
            done = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}")
            print(f"{' '.join(map(str, command[1:]))}: {time.monotonic() - begin:.0f} s", flush=True)
            return done.stdout.strip()

        run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
        own = () if clean else ("--no-deps",)
        pip = "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"
        run(sys.executable, *pip, *own, wheel)
        if not clean:
            purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
            lent = Path(run(python, "-c", purelib)) / "lent.pth"
            lent.write_text(sysconfig.get_path("purelib"))
        home = Path(run(python, "-c", "import snt_zoo; print(snt_zoo.__file__)"))
        if place not in home.parents:
            sys.exit(f"snt_zoo was imported from {home}, and not from the wheel")
        version = run(python.with_name("snt-zoo"), "--version").split()[-1]
        if version != wheel.name.split("-")[1]:
            sys.exit(f"{wheel.name} says that it is version {version}")
        found = json.loads(run(python.with_name("snt-zoo"), "demo", "--budget", budget, "--json"))
        accuracy = found["transferred"]["accuracy"]["test"]
        print(f"snt-zoo {version}, demo of {budget}: test accuracy {accuracy:.3f}")
        if accuracy < LEAST_ACCURACY or not (place / found["report"]).exists():
            sys.exit(f"the demo has a test accuracy of {accuracy:.3f}, or no report")


def main() -> None:
    """Check the one wheel and the one sdist in `dist/`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clean", action="store_true", help="install the dependencies anew")
    parser.add_argument("--budget", default="60s", help="of each of the demo's two runs [default: 60s]")
    options = parser.parse_args()
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    check_contents(wheel, sdist)
    check_demo(wheel, clean=options.clean, budget=options.budget)


if __name__ == "__main__":
    main()
