"""The errors a visitor may meet; each text says what was wrong and what is allowed."""


class LLMRankError(Exception):
    """Something outside the code is wrong: an input, a file, the machine's limits."""


class OptionError(LLMRankError, ValueError):
    """A value outside its declared limits, or a name that is not registered."""


class CancelledError(Exception):
    """Raised by a progress callback to stop the stage that reported to it."""
