"""Tables of results, as they are shown and saved."""
