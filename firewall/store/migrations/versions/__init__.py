"""Schema versions, each named by its number; a published one is never changed, only followed."""
