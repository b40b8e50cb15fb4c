"""Graph: what does the network of one layer look like?"""

from pages.shared.frame import frame

e = frame("Graph", "What does the network of one layer look like?")
