"""Prune: what is left, and how do I take it with me?"""

from pages.shared.frame import frame

e = frame("Prune", "What is left, and how do I take it with me?")
