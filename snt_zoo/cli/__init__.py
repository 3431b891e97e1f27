"""`snt-zoo`, the command line: parse, call the Python API, print. No logic lives here.

`main` finds a command by name and turns errors into exit codes; each group of commands is one module. None
imports torch, rich or the API before it runs, so that help answers at once.
"""
