"""The public rules: anybody reads what each says, where it comes from, since when, and what changed in a version."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from fastapi import FastAPI
from lxml import html

from chassis.web import create_app
from services.consent.api.rules import rules_router
from services.consent.domain.bundle import Bundle
from services.consent.domain.difference import Cell, difference
from services.consent.french.phrases import when
from services.consent.french.rules_views import difference_lines, difference_view
from services.consent.use_cases.compare_rules import CompareRules
from services.consent.use_cases.read_rules import ReadRules
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.people import DAY, NOW, RULES
from tests.unit.consent.test_in_force import House
from tests.unit.consent.variants import PACKAGE, changed, planted, with_table

JSON, BROWSER = "application/json", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
REWORDED = changed("La personne a bloqué", "La personne bloque")
SCRIPT = '<script>alert("1")</script> & co'


class Public:
    """The routes of the public rules on ports in memory."""

    def __init__(self) -> None:
        self.house = House()
        room: Any = SimpleNamespace(
            read_rules=ReadRules(self.house.activations, self.house.bundles),
            compare_rules=CompareRules(self.house.activations, self.house.bundles),
        )
        self.app: FastAPI = create_app("consent", [rules_router(room)], {})

    async def activate(self, *bundles: Bundle) -> None:
        """Activate one after the other, a day apart."""
        for each in bundles:
            await self.house.activate(each)
            self.house.now += DAY

    async def get(self, path: str = "", accept: str = BROWSER) -> Answer:
        """Ask, as anybody."""
        return await ask(self.app, "GET", f"/consent/rules{path}", headers={"accept": accept})

    async def told(self, path: str = "") -> dict[str, Any]:
        """Return what programs are told."""
        answer = await self.get(path, JSON)
        assert answer.status == 200, answer.body
        return dict(orjson.loads(answer.body))

    async def page(self, path: str = "") -> Any:
        """Return the page's tree."""
        answer = await self.get(path)
        assert answer.status == 200, answer.body
        return html.document_fromstring(answer.body.decode())


@pytest.fixture
def public() -> Public:
    """Return consent's public side; nothing was activated."""
    return Public()


def diff(before: Bundle, after: Bundle) -> str:
    """Return the address of a difference."""
    return f"/diff?from={before.digest}&to={after.digest}"


def words(tree: Any) -> str:
    """Return what a person reads of a page."""
    return " ".join(" ".join(tree.itertext()).split())


async def test_programs_read_every_rule(public: Public) -> None:
    """Id, sentence, law, effect, subject, condition and since when; those that are built in too, without a time."""
    await public.activate(PACKAGE)
    told = await public.told()
    assert (told["digest"], told["cosigned_by"]) == (PACKAGE.digest, [])
    assert [each["id"] for each in told["rules"]] == list(RULES.rules)
    for each in told["rules"]:
        rule = RULES[each["id"]]
        assert (each["sentence"], each["law"]) == (rule.sentence, rule.law)
        assert each["effect"] == ("permit" if rule.permits else "forbid")
        assert (each["subject"] or "", each["condition"] or "") == (rule.file, rule.condition)
        assert (each["since"] is None) == (not rule.file)
    assert {each["since"] for each in told["rules"] if each["subject"]} == {told["activated_at"]}


async def test_since_when_is_since_the_rule_is_as_it_is(public: Public) -> None:
    """A rule that was changed begins anew, one that went and came back too; the others keep their beginning."""
    await public.activate(PACKAGE, planted(bundle=REWORDED), REWORDED, planted(bundle=REWORDED))
    since = {each["id"]: each["since"] for each in (await public.told())["rules"]}
    times = [each["activated_at"] for each in (await public.told())["activations"]]
    assert times == sorted(times, reverse=True)
    assert since["planted"] == times[0]
    assert since["blocked"] == times[2]
    assert since["opposed"] == times[3]
    assert since["rule-error"] is None


async def test_layout_does_not_make_a_rule_younger(public: Public) -> None:
    """A remark is another digest, and no other rule."""
    await public.activate(PACKAGE, changed("// What the patient said.", "// What she said."))
    told = await public.told()
    assert {each["since"] for each in told["rules"] if each["subject"]} == {told["activations"][1]["activated_at"]}


async def test_a_past_that_was_lost_proves_nothing(public: Public) -> None:
    """Where the texts of an older version are gone, what they said is not counted."""
    await public.activate(PACKAGE, REWORDED)
    del public.house.bundles.rows[PACKAGE.digest]
    told = await public.told()
    assert {each["since"] for each in told["rules"] if each["subject"]} == {told["activated_at"]}


async def test_people_read_every_rule(public: Public) -> None:
    """The page has each rule's sentence, source, effect and beginning, the version's digest and its beginning."""
    await public.activate(PACKAGE)
    tree = await public.page()
    read = words(tree)
    assert PACKAGE.digest in read
    assert when(NOW) in read
    articles = {each.xpath("./h3/@id")[0]: each for each in tree.xpath("//article")}
    assert articles.keys() == RULES.rules.keys()
    for name, article in articles.items():
        rule, said = RULES[name], words(article)
        assert rule.sentence in said
        assert f"Source {rule.law}" in said
        assert f"Effet {'permet' if rule.permits else 'interdit'}" in said
        assert (when(NOW) if rule.file else "inscrite dans le programme lui-même") in said
        assert " ".join(rule.condition.split()) in said


async def test_the_habilitation_table_says_that_it_does_not_count(public: Public) -> None:
    """An interim table is labelled wherever it shows; an official one is not."""
    await public.activate(PACKAGE)
    told, read = (await public.told())["habilitation"], words(await public.page())
    assert (told["authoritative"], told["notice"]) == (False, "table provisoire, sans valeur officielle")
    assert told["source"] == RULES.matrix.source
    assert told["notice"] in read
    assert told["source"] in read
    assert len(told["types"]) == 114
    assert all(label in read for label in ("CR d'examens biologiques", "28653-4"))
    official = with_table(PACKAGE.table.replace("# non-authoritative: table provisoire", "# authoritative: table"))
    await public.activate(official)
    told, read = (await public.told())["habilitation"], words(await public.page())
    assert (told["authoritative"], told["notice"]) == (True, None)
    assert "sans valeur officielle" not in read


@pytest.mark.parametrize("path", ["", diff(PACKAGE, planted(bundle=REWORDED))], ids=["rules", "difference"])
async def test_a_page_is_for_every_reader(public: Public, path: str) -> None:
    """French, one main part, headings without a gap, tables with heads, no script, nothing from outside."""
    await public.activate(PACKAGE, planted(bundle=REWORDED))
    answer = await public.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-language"] == "fr"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    tree = html.document_fromstring(answer.body.decode())
    assert tree.get("lang") == "fr"
    assert tree.xpath("string(//title)") == tree.xpath("string(//h1)") != ""
    assert len(tree.xpath("//main")) == len(tree.xpath("//h1")) == 1
    levels = [int(each.tag[1]) for each in tree.xpath("//*[self::h1 or self::h2 or self::h3 or self::h4]")]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert not tree.xpath("//script | //link | //img | //iframe | //form | //@onclick | //@style")
    assert all(each.startswith(("/consent/rules", "#")) for each in tree.xpath("//@href"))
    skip = tree.xpath("//a[@class='skip']/@href")
    assert [each.get("id") for each in tree.xpath("//main")] == [skip[0].removeprefix("#")]
    for table in tree.xpath("//table"):
        assert table.xpath("string(caption)")
        assert table.xpath("thead//th[@scope='col']")
        assert all(row.xpath("th[@scope='row']") for row in table.xpath("tbody/tr"))
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert all(each.get("datetime") for each in tree.xpath("//time"))


async def test_the_style_is_the_one_that_is_allowed(public: Public) -> None:
    """The policy's digest is that of the page's own style: a browser shows it, and no other."""
    await public.activate(PACKAGE)
    answer = await public.get()
    (style,) = html.document_fromstring(answer.body.decode()).xpath("//style/text()")

    assert (
        f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in answer.headers["content-security-policy"]
    )


async def test_words_of_a_rule_are_no_markup(public: Public) -> None:
    """Whatever a bundle says is text on the page: nothing of it runs."""
    said, bare = SCRIPT.replace('"', '\\"'), SCRIPT.replace('"', "")
    evil = planted(
        f'@id("p{said}") @law("{said}") @fr("{said}") forbid (principal, action, resource) '
        f'when {{ context.purpose == "{said}" }};',
        bundle=with_table(f"{PACKAGE.table}10,{bare},no,{bare}\n"),
    )
    await public.activate(PACKAGE, evil)
    for path in ("", diff(PACKAGE, evil), diff(evil, PACKAGE)):
        tree = await public.page(path)
        assert not tree.xpath("//script")
        assert SCRIPT in words(tree)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (JSON, JSON), ("application/json, */*;q=0.1", JSON), ("APPLICATION/JSON", JSON),
        (BROWSER, "text/html"), ("*/*", "text/html"), ("", "text/html"), ("text/html, application/json", "text/html"),
    ],
)  # fmt: skip
async def test_who_asks_for_json_gets_it(public: Public, accept: str, kind: str) -> None:
    """A program names JSON and no page; everybody else reads the page. A cache tells them apart."""
    await public.activate(PACKAGE)
    answer = await public.get("", accept)
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["vary"] == "Accept"


async def test_a_difference_is_told_in_both_forms(public: Public) -> None:
    """Added, removed and changed rules with sentence, law and condition, both ways round."""
    after = planted(bundle=REWORDED)
    await public.activate(PACKAGE, after)
    told = await public.told(diff(PACKAGE, after))
    assert [each["id"] for each in told["added"]] == ["planted"]
    assert told["removed"] == []
    (change,) = told["changed"]
    assert change["before"]["sentence"] == RULES["blocked"].sentence
    assert change["after"]["sentence"].startswith("La personne bloque ce")
    back = await public.told(diff(after, PACKAGE))
    assert [each["id"] for each in back["removed"]] == ["planted"]
    read = words(await public.page(diff(PACKAGE, after)))
    for said in (
        "Règles ajoutées planted Une règle plantée.",
        "Règles retirées Aucune.",
        RULES["blocked"].sentence,
        "La personne bloque ce professionnel",
        'context.application_kind == "care-software"',
        "Aucun changement.",
    ):
        assert said in read


async def test_each_version_names_what_it_changed(public: Public) -> None:
    """The page lists every activation, the newest first, and links each to what it changed."""
    await public.activate(PACKAGE, REWORDED, PACKAGE)
    tree = await public.page()
    assert [each.xpath("string(code)") for each in tree.xpath("//ol/li")] == [
        PACKAGE.digest, REWORDED.digest, PACKAGE.digest,
    ]  # fmt: skip
    links = [each.removeprefix("/consent/rules") for each in tree.xpath("//ol//@href")]
    assert links == [diff(REWORDED, PACKAGE), diff(PACKAGE, REWORDED)]
    for link in links:
        assert (await public.get(link)).status == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (diff(PACKAGE, REWORDED), 404, "no-such-version"),
        (f"/diff?from={PACKAGE.digest}&to={'x' * 43}", 404, "no-such-version"),
        (f"/diff?from={PACKAGE.digest}", 422, "invalid-request"),
        (f"/diff?from={PACKAGE.digest}&to={quote('<script>')}", 422, "invalid-request"),
    ],
)
async def test_what_was_never_in_force_is_not_compared(public: Public, path: str, status: int, code: str) -> None:
    """A bundle that is kept and was never activated, an unknown digest, none, or what is no digest."""
    await public.activate(PACKAGE)
    kept = public.house.bundles.rows[PACKAGE.digest]
    public.house.bundles.rows[REWORDED.digest] = type(kept)(REWORDED, (), kept.activation)
    answer = await public.get(path)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (status, code)
    assert b"script" not in answer.body


async def test_rules_that_cannot_be_shown_are_not_made_up(public: Public) -> None:
    """Before the first activation, or with its texts gone: a problem, and no page."""
    answer = await public.get()
    assert (answer.status, orjson.loads(answer.body)["code"]) == (503, "rules-unsettled")
    await public.activate(PACKAGE)
    public.house.bundles.rows.clear()
    assert (await public.get()).status == 503


async def test_cosigners_are_named(public: Public) -> None:
    """The keys that signed a version stand on its page."""
    await public.activate(PACKAGE)
    kept = public.house.bundles.rows[PACKAGE.digest]
    public.house.bundles.rows[PACKAGE.digest] = type(kept)(PACKAGE, ("k" * 43,), kept.activation)
    assert (await public.told())["cosigned_by"] == ["k" * 43]
    assert "k" * 43 in words(await public.page())


def _read(profession: str, type_code: str, read: str) -> Callable[[str], str]:
    return lambda table: table + f"{profession},{type_code},{read},essai\n"


def test_a_cell_that_changed_is_told() -> None:
    """Whether allowed or taken away, new to the table or gone from it; a line that changes no cell is none."""
    table = PACKAGE.table
    same = with_table(_read("10", "SYNTH", "yes")(table))
    assert difference(PACKAGE, same).cells == ()
    less = with_table(_read("10", "SYNTH", "no")(table))
    assert difference(PACKAGE, less).cells == (Cell("10", "SYNTH", True, False),)
    more = difference(PACKAGE, with_table(_read("50", "SYNTH", "yes")(table))).cells
    assert len(more) == 114
    assert Cell("50", "SYNTH", None, True) in more
    assert Cell("50", "REMB", None, False) in more


def test_a_difference_is_told_in_french_line_by_line() -> None:
    """What a terminal prints: rules, cells, source and vocabulary; and that nothing changed, when nothing did."""
    table = _read("10", "SYNTH", "no")(PACKAGE.table).replace("table provisoire de Carnet", "autre table")
    other = changed("opposed: Bool,", "opposed: Bool,  // remark", "carnet.cedarschema", with_table(table, REWORDED))
    after, source = planted(bundle=other), RULES.matrix.source
    lines = difference_lines(difference_view(difference(PACKAGE, after)))
    assert lines[:4] == ["Règle ajoutée : planted", "  Une règle plantée.", "  Source : aucune", "  Effet : interdit"]
    assert "Règle modifiée : blocked" in lines
    assert "    La personne bloque ce professionnel ou sa structure." in lines
    assert lines[-3:] == [
        "Habilitation : la profession 10 ne peut pas lire le type SYNTH (avant : peut lire)",
        f"Source de la table d'habilitation : {source} → {source.replace('table provisoire de Carnet', 'autre table')}",
        "Le vocabulaire des règles (ce dont elles peuvent parler) a changé.",
    ]
    remark = changed("// What the patient said.", "// What she said.")
    assert difference_lines(difference_view(difference(PACKAGE, remark))) == [
        "Rien de ce que disent les règles n'a changé."
    ]
    assert all(re.fullmatch(r" *\S.*", line) for line in lines)
