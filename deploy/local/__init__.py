"""The whole of Carnet on one Linux machine, without Docker and without root: `make up`."""


class Trouble(RuntimeError):
    """What the person at the terminal must know, with the way out: shown without a traceback."""
