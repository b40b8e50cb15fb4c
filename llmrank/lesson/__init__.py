"""A lesson on a network small enough to hold in one's head: every step as numbers."""
