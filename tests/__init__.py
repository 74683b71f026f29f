"""Tests by question: unit, data, behaviour, parity, flows, packaging."""
