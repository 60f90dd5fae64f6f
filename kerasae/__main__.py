"""`python -m kerasae`: the command line."""

from kerasae.cli import main

main()
