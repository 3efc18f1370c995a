"""Identity, put together: the only file that knows the domain and its adapters."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from joserfc.jwk import OKPKey

from chassis.mongo import Mongo
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.tokens import signing_jwk
from chassis.trust import AnnouncedKeys
from services.identity.beats import Beats
from services.identity.settings import IdentitySettings
from services.identity.store import MongoPeople, MongoUsedAssertions
from services.identity.use_cases.authenticate_client import AuthenticateClient
from services.identity.use_cases.grant_application import GrantApplication
from services.identity.use_cases.grant_professional import GrantProfessional
from services.identity.use_cases.register_people import RegisterPeople
from services.identity.use_cases.sign_patient_in import SignPatientIn


@dataclass(frozen=True, slots=True)
class Room:
    """What identity's roles run on; `sign_in` is absent unless the demo is on."""

    settings: IdentitySettings
    mongo: Mongo
    keys: AnnouncedKeys
    signing_key: OKPKey
    authenticate: AuthenticateClient
    grant_professional: GrantProfessional
    grant_application: GrantApplication
    sign_in: SignPatientIn | None
    relay: Relay
    beats: Beats

    async def reachable(self) -> bool:
        """Say whether the database answers: a readiness check."""
        await self.mongo.ping()
        return True


@asynccontextmanager
async def bootstrap(settings: IdentitySettings) -> AsyncIterator[Room]:
    """Connect, prepare the collections, and give the room; close on leaving."""
    keys = AnnouncedKeys.load(settings.tokens.token_keys)
    async with _people(settings) as (mongo, people):
        used, relay = MongoUsedAssertions(mongo), Relay(mongo, settings.kafka, settings.instance)
        beats, endpoint, clock = Beats(mongo), settings.token_endpoint, time.time
        for each in (used, relay, beats):
            await each.prepare()
        yield Room(
            settings=settings,
            mongo=mongo,
            keys=keys,
            signing_key=signing_jwk(*keys.private[0]),
            authenticate=AuthenticateClient(people, used, endpoint, clock),
            grant_professional=GrantProfessional(people, used, endpoint, clock),
            grant_application=GrantApplication(people, clock),
            sign_in=SignPatientIn(people, settings.tokens.demo_frontend, clock) if settings.tokens.demo else None,
            relay=relay,
            beats=beats,
        )


@asynccontextmanager
async def registering(settings: IdentitySettings) -> AsyncIterator[RegisterPeople]:
    """Give what registers people: the database, and no keys."""
    async with _people(settings) as (_, people):
        yield RegisterPeople(people, test_identities=settings.local)


@asynccontextmanager
async def _people(settings: IdentitySettings) -> AsyncIterator[tuple[Mongo, MongoPeople]]:
    mongo = Mongo(settings.mongo)
    try:
        outbox = Outbox(mongo, "identity")
        people = MongoPeople(mongo, outbox)
        await outbox.prepare()
        await people.prepare()
        yield mongo, people
    finally:
        await mongo.close()
