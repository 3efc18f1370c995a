"""A page of a search as a Bundle. It has no total: how many entries there are is told to nobody by a number."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from services.consent.fhir.systems import Json

Parameters = Sequence[tuple[str, str]]


def searchset(address: str, found: Iterable[Json], used: Parameters, following: str | None = None) -> Json:
    """Return the Bundle of one page at `address`; links carry what was understood of the query, never the patient."""
    links = [{"relation": "self", "url": _url(address, used)}]
    if following is not None:
        rest = [(name, value) for name, value in used if name != "_after"]
        links.append({"relation": "next", "url": _url(address, [*rest, ("_after", following)])})
    entries = [{"fullUrl": f"{address}/{each['id']}", "resource": each, "search": {"mode": "match"}} for each in found]
    bundle = {"resourceType": "Bundle", "type": "searchset", "link": links}
    return bundle | ({"entry": entries} if entries else {})  # FHIR has no empty arrays


def _url(address: str, parameters: Parameters) -> str:
    return f"{address}?{urlencode(parameters)}" if parameters else address
