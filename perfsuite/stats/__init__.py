"""Verdicts from stored samples: pure functions of the model, the same samples give the same verdict."""
