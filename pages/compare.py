"""Compare: what did it cost, what did it gain?"""

from pages.shared.frame import frame

e = frame("Compare", "What did it cost, what did it gain?")
