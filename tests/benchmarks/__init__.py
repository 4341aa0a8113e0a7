"""What the firewall costs, beside direct, PgBouncer, HAProxy and pgpool-II: `python -m tests.benchmarks`."""
