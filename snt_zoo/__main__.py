"""`python -m snt_zoo` is `snt-zoo`."""

from snt_zoo.cli.main import main

if __name__ == "__main__":
    main(prog_name="snt-zoo")
