"""Tests that need Triton's interpreter run in a process of their own: Triton decides at import."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted/*"]
