"""The Prune page's parts."""
