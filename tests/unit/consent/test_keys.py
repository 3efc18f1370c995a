"""Keys: each wrapping opens for what it was made for, and for nothing else."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chassis.sealing import Unsealable, b64, derive, new_key
from services.consent.domain.document import Document
from services.consent.keys import FileRoot, entry_key, unwrap_document_key, wrap_document_key
from services.consent.settings import ConsentSettings
from tests.unit.consent.people import NOW, OTHER_RECORD, RECORD

KEY = bytes(range(32))
REPORT = Document(
    id="carnetexampledocumentaa567", version=1, type_code="11502-2", class_code="10", visibility=(),
    depositor="899700000001", organisation="750000001", deposited_at=NOW, entry=2, content_digest="c" * 43,
)  # fmt: skip


def test_a_document_key_opens_for_its_document() -> None:
    """What is wrapped is unwrapped; two wrappings of one key look different (a fresh nonce each)."""
    document_key = new_key()
    wrapped = [wrap_document_key(KEY, RECORD, REPORT, document_key) for _ in range(2)]
    assert [unwrap_document_key(KEY, RECORD, REPORT, each) for each in wrapped] == [document_key] * 2
    assert wrapped[0] != wrapped[1]
    assert document_key not in wrapped[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "carnetexampledocumentbb567"}, {"version": 2}, {"type_code": "11488-4"}, {"class_code": "11"},
        {"depositor": "899700000002"}, {"organisation": "750000002"}, {"content_digest": "d" * 43},
    ],
)  # fmt: skip
def test_a_swapped_row_or_attribute_opens_nothing(changed: dict[str, Any]) -> None:
    """A row put under another document, version, type, author or content fails: whoever writes rows gains nothing."""
    wrapped = wrap_document_key(KEY, RECORD, REPORT, new_key())
    with pytest.raises(Unsealable):
        unwrap_document_key(KEY, RECORD, replace(REPORT, **changed), wrapped)


def test_another_record_opens_nothing() -> None:
    """Neither another record's name nor another record's key opens a row."""
    wrapped = wrap_document_key(KEY, RECORD, REPORT, new_key())
    with pytest.raises(Unsealable):
        unwrap_document_key(KEY, OTHER_RECORD, REPORT, wrapped)
    with pytest.raises(Unsealable):
        unwrap_document_key(new_key(), RECORD, REPORT, wrapped)


def test_what_changes_in_a_document_s_life_is_not_bound() -> None:
    """Labels and time may change without a new wrapping."""
    wrapped = wrap_document_key(KEY, RECORD, REPORT, KEY)
    later = replace(REPORT, visibility=("MASQUE_PS",), deposited_at=NOW + 1, entry=9)
    assert unwrap_document_key(KEY, RECORD, later, wrapped) == KEY


def test_sub_keys_differ() -> None:
    """The key of entries, of document keys, of metadata and of content are four keys."""
    assert len({entry_key(KEY), *(derive(KEY, label) for label in ("document-keys", "metadata", "content")), KEY}) == 5


def _root(folder: Path, key: bytes | None = None) -> FileRoot:
    path = folder / f"{os.urandom(4).hex()}.key"
    path.write_text(b64(key or os.urandom(32)) + "\n", encoding="utf-8")
    return FileRoot(path)


async def test_the_file_root_wraps_for_one_record(tmp_path: Path) -> None:
    """A record key opens for its record under its root, and otherwise not; the root's name does not tell the root."""
    key, root = new_key(), _root(tmp_path, KEY)
    wrapped = await root.wrap(RECORD, key)
    assert await root.unwrap(RECORD, wrapped) == key
    assert await _root(tmp_path, KEY).unwrap(RECORD, wrapped) == key
    with pytest.raises(Unsealable):
        await root.unwrap(OTHER_RECORD, wrapped)
    with pytest.raises(Unsealable):
        await _root(tmp_path).unwrap(RECORD, wrapped)
    assert b64(KEY) not in root.name


def test_production_refuses_the_file_root() -> None:
    """A root in a file is for the local stack."""
    assert any("root key in a file" in each for each in ConsentSettings(environment="local").unsafe())
