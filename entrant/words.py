"""Numbers of things, in words. Standard library only."""


def counted(number: float, noun: str) -> str:
    """A number of things: a noun whose plural ends in s.

    >>> counted(1, "app"), counted(2, "app"), counted(0.5, "day")
    ('1 app', '2 apps', '0.5 days')
    """
    return f"{number if isinstance(number, int) else format(number, 'g')} {noun}{'' if number == 1 else 's'}"
