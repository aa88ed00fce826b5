"""What a case makes the device do, read from the compiler: with a GPU or for one that is not there.

torch and Triton are imported inside functions only, so importing this package is instant.
"""

from __future__ import annotations
