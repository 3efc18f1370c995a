"""What the metadata of a deposited CDA take from its header when the caller left it out (PDSm, XDS-MS mappings).

What the caller stated stands; where the header says otherwise, the difference is remarked. The identifier alone must
agree: retries and replacements are told apart by it.
"""

from typing import Any

from services.documents.cda_header import Author, CdaHeader, Coded
from services.documents.fhir import systems
from services.documents.fhir.dates import fhir_span
from services.documents.fhir.outcomes import Issue
from services.documents.fhir.structure import invalid


def complete(resource: dict[str, Any], header: CdaHeader) -> list[Issue]:
    """Fill the DocumentReference from the CDA header, in place, and return what differs between both as warnings.

    Raise FhirRejected when `masterIdentifier` is not the identifier of the CDA.
    """
    attachment = resource["content"][0]["attachment"]
    unique_id = systems.unique_id(header.id.root, header.id.extension)
    stated = resource.setdefault("masterIdentifier", {"system": systems.URI, "value": unique_id})
    if systems.master_identifier(stated.get("system", ""), stated.get("value", "")) != unique_id:
        raise invalid(
            "master-identifier-mismatch",
            "invalid",
            "masterIdentifier is not the id of the CDA header (XDS uniqueId): leave it out, or state the same.",
            "masterIdentifier",
        )
    issues = [Issue(one.slug, "informational", one.sentence, "", "warning") for one in header.warnings]
    if header.code is not None:
        coding = _coding(header.code)
        stated_type = resource.setdefault("type", {"coding": [coding]})
        if not any(_same(one, coding) for one in stated_type.get("coding", ())):
            issues.append(_differs("type", "The type differs from the code of the CDA header.", "type"))
    if header.confidentiality is not None:
        label = _coding(header.confidentiality)
        stated_labels = resource.setdefault("securityLabel", [{"coding": [label]}])
        if not any(one.get("code") == label["code"] for entry in stated_labels for one in entry.get("coding", ())):
            issues.append(
                _differs(
                    "confidentiality", "securityLabel differs from the CDA's confidentialityCode.", "securityLabel"
                )
            )
    for name, value in (
        ("title", header.title),
        ("creation", header.effective_time),
        ("language", header.language),
    ):
        if value:
            attachment.setdefault(name, value)
    _period(resource, header)
    if header.encounter is not None and header.encounter.extension:
        identifier = {"system": f"urn:oid:{header.encounter.root}", "value": header.encounter.extension}
        resource.setdefault("context", {}).setdefault("encounter", [{"identifier": identifier}])
    if "author" not in resource:
        _authors(resource, header)
    return issues


def _differs(what: str, sentence: str, expression: str) -> Issue:
    return Issue(f"{what}-differs", "business-rule", sentence, f"DocumentReference.{expression}", "warning")


def _coding(code: Coded) -> dict[str, str]:
    coding = {"system": systems.oid_system(code.system), "code": code.code}
    return coding | {"display": code.display} if code.display else coding


def _same(one: dict[str, Any], other: dict[str, str]) -> bool:
    return one.get("code") == other["code"] and systems.canonical_system(one.get("system", "")) == other["system"]


def _period(resource: dict[str, Any], header: CdaHeader) -> None:
    """Take the XDS service times from the first documented act that starts, and does not end before it."""
    for act in header.acts:
        if act.start and "period" not in resource.get("context", {}):
            ends = act.end and fhir_span(act.end).high > fhir_span(act.start).low
            resource.setdefault("context", {})["period"] = {"start": act.start} | ({"end": act.end} if ends else {})


def _authors(resource: dict[str, Any], header: CdaHeader) -> None:
    contained = resource.get("contained", [])
    taken = {inner.get("id") for inner in contained}
    references: list[dict[str, Any]] = []
    for number, author in enumerate(header.authors, start=1):
        if author.name is None:
            if device := _device(author):
                references.append(device)
        elif (name := f"cda-author-{number}") not in taken:
            contained.append(_practitioner(name, author))
            references.append({"reference": f"#{name}"})
    if references:
        resource["author"] = references
    if contained:
        resource["contained"] = contained


def _identifiers(author: Author) -> list[dict[str, str]]:
    return [{"system": f"urn:oid:{one.root}", "value": one.extension} for one in author.ids if one.extension]


def _device(author: Author) -> dict[str, Any]:
    name = author.software or (author.organisation.name if author.organisation else "")
    identifier = next(iter(_identifiers(author)), None)
    return ({"identifier": identifier} if identifier else {}) | ({"display": name} if name else {})


def _practitioner(name: str, author: Author) -> dict[str, Any]:
    practitioner: dict[str, Any] = {"resourceType": "Practitioner", "id": name}
    if identifiers := _identifiers(author):
        practitioner["identifier"] = identifiers
    if author.name is not None:
        parts = {
            "family": author.name.family,
            "given": [given for given in author.name.given if given],
            "prefix": [author.name.prefix] if author.name.prefix else [],
            "suffix": [author.name.suffix] if author.name.suffix else [],
        }
        human = {part: value for part, value in parts.items() if value}
        if human:
            practitioner["name"] = [human]
    return practitioner
