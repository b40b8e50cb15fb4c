"""The Arena page's parts."""
