"""The Scores page's parts."""
