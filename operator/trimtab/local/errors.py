"""What can go wrong on the machine, said to the person at the keyboard."""


class LocalError(Exception):
    """The embedded cluster could not do what was asked; the message says what would be right."""
