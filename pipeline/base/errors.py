"""The one kind of error that a person, not a programmer, has to mend."""


class InputError(Exception):
    """Bad input, told in one line: what is wrong, where, and what would be right."""
