"""The variants, one file each, and their registry."""
