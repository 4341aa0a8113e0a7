"""Hostile bytes for every room that reads them: `make fuzz`, or `python -m tests.fuzz`.

A target is a function of bytes that must come to an end without an exception: what a room may raise by its
contract the target takes, anything else is a find. Seeds and finds are files under `fixtures/fuzz/TARGET`;
every one of them runs again with every test run (`test_corpus.py`).
"""
