"""Conformance: the same clients, directly and through the firewall in observe mode, and what differs.

A difference is a failure unless a small file in fixtures/conformance says why it is accepted. What this
machine cannot run is said aloud. `make conformance` runs all of it; test_short.py a minute's worth.
"""
