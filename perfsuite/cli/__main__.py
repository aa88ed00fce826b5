"""`python -m perfsuite.cli`: the same as the console script."""

from perfsuite.cli import main

main()
