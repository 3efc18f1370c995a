"""One-time codes: what a patient gives to a professional on a screen, in a letter or from a printed list."""

from secrets import choice

from chassis.sealing import digest

MOST_CODES = 20
# Without what is misread aloud or on paper (0/O, 1/I/L, 2/Z, 5/S, 8/B). Nine of these: 41 bits.
_LETTERS = "3467ACDEFGHJKMNPQRTUVWXY"
_LENGTH, _GROUP = 9, 3


def new_code() -> str:
    """Return a code in three groups of three."""
    letters = "".join(choice(_LETTERS) for _ in range(_LENGTH))
    return "-".join(letters[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def code_digest(record: str, code: str) -> str:
    """Return what the journal holds of a code; spaces, hyphens and case do not matter."""
    return digest(f"carnet-code|{record}|{''.join(each for each in code.upper() if each.isalnum())}".encode())
