"""The demo: a small shop database, a scripted agent, and you as its approver."""
