"""Bundles in MongoDB: public texts by digest, each with the entry that is to activate it, sealed as in the journal."""

from chassis.mongo import Mongo
from chassis.sealing import Unsealable
from services.consent.domain.bundle import Bundle, RulesBroken
from services.consent.in_force import PUBLIC
from services.consent.ports import Kept, RecordKeys, RulesUnsettled, UnknownRules
from services.consent.store import opened_row, sealed_row


class MongoBundles:
    """A row per bundle. Its texts are public, and believed only as far as they have their digest."""

    COLLECTION = "bundles"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(self.COLLECTION)

    async def keep(self, kept: Kept) -> None:
        """Keep a bundle, durably; what was kept of the same digest is replaced."""
        row = {
            # A file's name holds a dot, and so may be no field's.
            "texts": [{"name": name, "text": text} for name, text in kept.bundle.texts.items()],
            "signers": list(kept.signers),
            "activation": sealed_row(await self._keys.key(PUBLIC), kept.activation),
        }
        await self._rows.replace_one({"_id": kept.bundle.digest}, row, upsert=True)

    async def kept(self, digest: str) -> Kept:
        """Return a bundle; raise UnknownRules, or RulesUnsettled when row and digest do not agree."""
        row = await self._rows.find_one({"_id": digest})
        if row is None:
            raise UnknownRules(digest)
        try:
            bundle = Bundle({each["name"]: each["text"] for each in row["texts"]})
            activation = opened_row(await self._keys.key(PUBLIC), row["activation"])
        except (RulesBroken, Unsealable) as error:
            raise RulesUnsettled("what is kept of these rules was altered") from error
        if bundle.digest != digest or activation.about != digest:
            raise RulesUnsettled("what is kept under this digest has another one")
        return Kept(bundle, tuple(row["signers"]), activation)
