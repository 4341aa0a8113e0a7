"""Checkpoints put where the log's operator cannot take them back, and read from there."""

from firewall.publishing.places import Bucket, File, Hook, Place, PublishError, configured, read
from firewall.publishing.publisher import Publisher, Standing

__all__ = ["Bucket", "File", "Hook", "Place", "PublishError", "Publisher", "Standing", "configured", "read"]
