"""The errors a visitor may meet; each text says what was wrong and what is allowed."""


class LLMRankError(Exception):
    """Something outside the code is wrong: an input, a file, the machine's limits."""


class OptionError(LLMRankError, ValueError):
    """A value outside its declared limits, or a name that is not registered."""


class CancelledError(Exception):
    """Raised by a progress callback to stop the stage that reported to it."""


def explained(error: BaseException) -> str:
    """Say for a visitor what stopped the work, where no sentence of ours does."""
    if _is_out_of_memory(error):
        return (
            "the machine's memory was not enough; take a smaller model, fewer or "
            "shorter texts, or a smaller batch"
        )
    name = type(error).__name__
    return f"a fault in the program stopped it ({name}); the server's log has the rest"


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch's CPU allocator raises a plain RuntimeError; torch is not imported here."""
    if type(error) is RuntimeError:
        return "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
