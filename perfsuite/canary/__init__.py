"""Pinned kernels: the same code on both sides of every comparison and in every run.

If they move, the machine moved. One is bound by arithmetic, one by memory, one by launching. They are a
benchmark suite like any other (`perfsuite.canary.suite`), measured beside the repository's own.
"""
