"""The keys of a local stack: one root, an identity file a process, and the keys of a service; made when absent."""

import os
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from chassis.trust import Authority

_ACTIONS = {"documents": ["deposit", "list", "read", "amend"], "notifications": ["notify"]}
# carnet.flows.decisions has 16 partitions: the lower half for documents, the upper for notifications.
_FIRST_REPLY_PARTITION = {"documents": 0, "notifications": 8}
_REPLY_PARTITIONS_EACH = 8


@dataclass(frozen=True)
class ServiceProcess:
    """One process of a service: `documents-2` is number 2 of documents, with these roles."""

    service: str
    number: int = 1
    roles: tuple[str, ...] = ("all",)

    @property
    def name(self) -> str:
        """The process's name, which is its instance's too."""
        return f"{self.service}-{self.number}"

    @property
    def serves(self) -> bool:
        """Whether the front door may send requests to it."""
        return not {"serve", "all"}.isdisjoint(self.roles)


class TrustMaterial:
    """Makes keys under a folder (0700) and tells processes where theirs are, by environment variables."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._authority = Authority(folder / "authority")

    def of(self, process: ServiceProcess) -> dict[str, str]:
        """Return the variables of a process, its files made if need be."""
        identity = self._folder / f"{process.name}.json"
        self._authority.instance(
            role=process.service,
            instance=process.name,
            actions=_ACTIONS.get(process.service, []),
            reply_partitions=_reply_partitions(process),
            out=identity,
        )
        found = {"CARNET_TRUST_ROOT": self._authority.root_public, "CARNET_TRUST_INSTANCE": str(identity)}
        if process.service == "identity":
            keys = self._folder / "token-keys.json"
            self._authority.token_keys(out=keys)
            found |= {"CARNET_IDENTITY_TOKEN_KEYS": str(keys), "CARNET_IDENTITY_DEMO": "true"}
        if process.service == "consent":
            keys, root = self._folder / "consent-keys.json", self._folder / "consent-root.key"
            self._authority.consent_keys(out=keys)
            if not root.exists():
                _write_root_key(root)
            found |= {"CARNET_CONSENT_SEALING": str(keys), "CARNET_CONSENT_ROOT_KEY": str(root)}
        return found


def _reply_partitions(process: ServiceProcess) -> list[int]:
    first = _FIRST_REPLY_PARTITION.get(process.service)
    return [] if first is None else [first + (process.number - 1) % _REPLY_PARTITIONS_EACH]


def _write_root_key(path: Path) -> None:
    # Whole or not at all: half a root key would lock every record.
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"="))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
