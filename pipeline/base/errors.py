"""The one kind of error that a person, not a programmer, has to mend."""


class InputError(Exception):
    """Bad input, told in one line: what is wrong, where, and what would be right."""


LONGEST = 200  # characters of what a library says about bytes, which may be all of them


def said(error: Exception) -> str:
    """What a library's error says, as part of a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
