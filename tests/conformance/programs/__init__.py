"""Programs of our own, one a driver whose tests are not in its package: each prints a transcript."""
