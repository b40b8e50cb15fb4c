"""The lesson's drawings and its handout."""
