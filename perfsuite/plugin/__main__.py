"""`python -P -m perfsuite.plugin`: one trial."""

import os
import sys

from perfsuite.plugin.trial import main

status = main()
sys.stdout.flush()
sys.stderr.flush()
# Nothing is left to do: tearing down an interpreter with torch in it takes a second, and somebody waits.
os._exit(status)
