"""`python -P -m perfsuite.plugin`: one trial."""

import sys

from perfsuite.plugin.trial import main

sys.exit(main())
