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
from services.identity.domain.emergency import EmergencyRules, Quota
from services.identity.domain.links import BREAK_GLASS, REGULATION
from services.identity.settings import EmergencySettings, IdentitySettings
from services.identity.store import MongoPeople
from services.identity.use_cases.age import Age
from services.identity.use_cases.authenticate_client import AuthenticateClient
from services.identity.use_cases.grant_application import GrantApplication
from services.identity.use_cases.grant_professional import GrantProfessional
from services.identity.use_cases.register_people import RegisterPeople
from services.identity.use_cases.sign_patient_in import SignPatientIn
from services.identity.used import MongoEmergencyCounts, MongoUsedAssertions


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
    age: Age

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
        beats, endpoint, clock = Beats(mongo, people, time.time), settings.token_endpoint, time.time
        counts = MongoEmergencyCounts(mongo)
        for each in (used, counts, relay, beats):
            await each.prepare()
        yield Room(
            settings=settings,
            mongo=mongo,
            keys=keys,
            signing_key=signing_jwk(*keys.private[0]),
            authenticate=AuthenticateClient(people, used, endpoint, clock),
            grant_professional=GrantProfessional(
                people, used, counts, rules=_rules(settings.emergency), audience=endpoint, clock=clock
            ),
            grant_application=GrantApplication(people, clock),
            sign_in=SignPatientIn(people, settings.tokens.demo_frontend, clock) if settings.tokens.demo else None,
            relay=relay,
            beats=beats,
            age=Age(people, clock),
        )


@asynccontextmanager
async def registering(settings: IdentitySettings) -> AsyncIterator[RegisterPeople]:
    """Give what registers people: the database, and no keys."""
    async with _people(settings) as (_, people):
        yield RegisterPeople(people, time.time, test_identities=settings.local)


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


def _rules(told: EmergencySettings) -> EmergencyRules:
    quotas = {
        BREAK_GLASS: Quota(told.btg_a_day, told.btg_an_hour),
        REGULATION: Quota(told.etreat_a_day, told.etreat_an_hour),
    }
    return EmergencyRules(told.sign_in_seconds, quotas)
