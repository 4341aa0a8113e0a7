"""What auditors are handed: exports, bundles, reports, and who came past the firewall."""
