"""The MLP lab's controls and panels."""
