"""Words that stand nowhere else: whoever finds one where it may not be has found a leak, and knows what leaked."""

# A search looks for the stem alone, so that a leak of the beginning of a canary is found too.
STEMS = {
    "person": "Qwxzkvjbqhfg",  # names of people, organisations and software: identity alone holds them readable
    "document": "Xkvqzjwbmhfp",  # contents and metadata of documents
    "input": "Jqzxvkwbfhpm",  # what bad requests hold
    "poison": "Zvkxqwjbmfgh",  # what stands in a message that nobody can decode: in its own topic, nowhere else
    "control": "Vbzkqjxwmpfy",  # what is planted for the search to find
}


def person(name: str) -> str:
    """Return a part of a name."""
    return STEMS["person"] + name


def document(name: str) -> str:
    """Return a text of a document or of its metadata."""
    return STEMS["document"] + name


def bad(name: str) -> str:
    """Return a text of a request that is refused."""
    return STEMS["input"] + name
