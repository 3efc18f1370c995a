"""Finding a text wherever it lies: in files and in bytes, as UTF-8 or UTF-16 in any case, or as base64."""

import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """A text that was found: its name, the form that it has there, where, and the bytes around it."""

    name: str
    form: str
    place: str
    around: str


class Search:
    """Looks for texts, by name, in every form that a leak could give them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._needles = [(needle, name, form) for name, text in texts.items() for form, needle in forms(text)]
        self._longest = max(len(needle) for needle, _, _ in self._needles)

    def bytes(self, place: str, data: bytes) -> set[Hit]:
        """Return what stands in these bytes: one hit for each text and form."""
        # What is zeroed in advance is most of a journal. One zero stays: UTF-16 may begin or end with it.
        data = b"\0" + data.strip(b"\0") + b"\0"
        small = data.lower()
        hits = set[Hit]()
        for needle, name, form in self._needles:
            # Letters count in base64 as they are; everywhere else a name may have been written in capitals.
            if (at := (data if form.startswith("base64") else small).find(needle)) >= 0:
                hits.add(Hit(name, form, place, repr(data[max(0, at - 60) : at + 60])))
        return hits

    def folder(self, folder: Path, *, but: Iterable[Path] = ()) -> set[Hit]:
        """Return what stands in the files under a folder, as places relative to it."""
        left_out, hits = set(but), set[Hit]()
        for path in sorted(folder.rglob("*")):
            if path.is_file() and left_out.isdisjoint(path.parents):
                for block in _blocks(path, self._longest):
                    hits |= self.bytes(str(path.relative_to(folder)), block)
        return hits


def forms(text: str) -> set[tuple[str, bytes]]:
    """Return (name, bytes) of each form of a text: in small letters, or the base64 that no neighbour can change."""
    small = text.lower()
    found = {("utf-8", small.encode()), ("utf-16", small.encode("utf-16-le")), ("utf-16", small.encode("utf-16-be"))}
    # In base64 case is lost to the search: a word is looked for as it is and in capitals, as birth names are written.
    for clear in {text.encode(), text.upper().encode() if text.isalpha() else text.encode()}:
        for shift in range(3):
            # Characters that hold no bit of the `shift` bytes before us, nor of what follows.
            own = slice((shift * 8 + 5) // 6, (shift + len(clear)) * 8 // 6)
            found |= {
                (f"base64+{shift}", encode(b"\0" * shift + clear)[own]) for encode in (b64encode, urlsafe_b64encode)
            }
    return found


def written(text: str) -> dict[str, bytes]:
    """Return a text in each form as a leak would write it, which is what a positive control plants."""
    clear = text.encode()
    encoded = {f"base64+{shift}": b64encode(b"x" * shift + clear + b"y") for shift in range(3)}
    return {"utf-8": clear, "utf-16": text.encode("utf-16-le")} | encoded


def _blocks(path: Path, overlap: int) -> Iterator[bytes]:
    """Yield what a file holds, without its holes: the engines reserve far more than they write."""
    with path.open("rb") as file:
        start = 0
        while True:
            try:
                start = os.lseek(file.fileno(), start, os.SEEK_DATA)
            except OSError:
                return  # no data after this
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            while start < end:
                # A text that lies across two blocks is whole in the second.
                yield os.pread(file.fileno(), min(_BLOCK, end - start) + overlap, start)
                start += _BLOCK
            start = end
