"""Scores: how are the scores distributed?"""

from pages.shared.frame import frame

e = frame("Scores", "How are the scores distributed?")
