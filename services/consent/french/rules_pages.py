"""The public rules as a page: French, for any browser and any screen reader, without a script or an outside."""

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from html import escape
from itertools import pairwise
from typing import Any

from services.consent.french.phrases import when
from services.consent.french.rules_views import delegation_line, effect, other_changes

_STYLE = """
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 48rem; margin: 0 auto; padding: 1rem; }
a { color: #003f8a; }
article, .note { border-left: .3rem solid #595959; padding: 0 0 0 1rem; margin: 0 0 2rem; }
article.permit { border-color: #00653b; }
article.forbid { border-color: #a00000; }
dt { font-weight: bold; }
dd { margin: 0 0 .5rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; color: #111; padding: .5rem; }
code { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; }
th, td { border: 1px solid #767676; padding: .3rem; text-align: left; vertical-align: top; }
.skip:not(:focus) { position: absolute; left: -99rem; }
"""
_STYLE_DIGEST = b64encode(sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    # Nothing is loaded, run or sent from these pages; their own style is named by its digest.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Language": "fr",
}
_SUBJECTS = {
    "red_lines": "Les lignes rouges : ce qu'aucun accord ne permet",
    "visibility": "Ce que dit le document lui-même",
    "minors": "Les mineurs",
    "representation": "Les représentants et les aidants",
    "directives": "Les choix de la personne",
    "emergency": "L'urgence",
    "legal_basis": "Qui peut, d'après la loi",
    "programmes": "Ce que Carnet fait de lui-même",
    None: "Quand aucune règle ne convient",
}


def rules_page(view: dict[str, Any]) -> str:
    """Return the page of the rules in force, from their view."""
    sections = [_subject(subject, view["rules"]) for subject in _SUBJECTS]
    body = f"""
<p>Carnet ne laisse circuler aucune donnée de santé sans l'accord de ces règles. Chacune est publique. Elle est
appliquée telle qu'elle est écrite ici, et chaque décision du journal nomme celle qui a décidé.</p>
<dl>
<dt>En vigueur depuis</dt><dd>{_when(view["activated_at"])}</dd>
<dt>Empreinte de cette version (SHA-256)</dt><dd><code>{escape(view["digest"])}</code></dd>
<dt>Cosignatures</dt><dd>{_signers(view["cosigned_by"])}</dd>
</dl>
<p class="note">Une interdiction l'emporte toujours sur une permission. Ce qu'aucune règle ne permet est refusé.</p>
{"".join(sections)}
{_delegations(view["delegations"])}
{_matrix(view["habilitation"])}
{_history(view["activations"])}"""
    return _page("Les règles de Carnet", body)


def difference_page(view: dict[str, Any]) -> str:
    """Return the page of what changed between two versions, from its view."""
    changed = [
        f'<article><h3 id="{escape(each["after"]["id"])}">{escape(each["after"]["id"])}</h3>'
        f"<h4>Avant</h4>{_facts(each['before'])}<h4>Après</h4>{_facts(each['after'])}</article>"
        for each in view["changed"]
    ]
    parts = [
        ("Règles ajoutées", [_article(each) for each in view["added"]]),
        ("Règles retirées", [_article(each) for each in view["removed"]]),
        ("Règles modifiées", changed),
    ]
    said = "".join(f"<section><h2>{title}</h2>{''.join(found) or '<p>Aucune.</p>'}</section>" for title, found in parts)
    others = "".join(f"<li>{escape(line)}</li>" for line in other_changes(view))
    others = f"<ul>{others}</ul>" if others else "<p>Aucun changement.</p>"
    body = f"""
<p><a href="/consent/rules">Les règles en vigueur</a></p>
<dl>
<dt>De la version</dt><dd><code>{escape(view["from"])}</code></dd>
<dt>À la version</dt><dd><code>{escape(view["to"])}</code></dd>
</dl>
{said}
<section><h2>Tables et vocabulaire</h2>{others}</section>"""
    return _page("Ce qui a changé dans les règles de Carnet", body)


def _page(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#contenu">Aller au contenu</a>
<main id="contenu">
<h1>{title}</h1>{body}
</main>
</body>
</html>
"""


def _subject(subject: str | None, rules: list[dict[str, Any]]) -> str:
    found = "".join(_article(each) for each in rules if each["subject"] == subject)
    return f"<section><h2>{_SUBJECTS[subject]}</h2>{found}</section>" if found else ""


def _article(rule: dict[str, Any]) -> str:
    name = escape(rule["id"])
    return f'<article class="{rule["effect"]}"><h3 id="{name}">{name}</h3>{_facts(rule)}</article>'


def _facts(rule: dict[str, Any]) -> str:
    since = ""
    if "since" in rule:
        told = _when(rule["since"]) if rule["since"] else "inscrite dans le programme lui-même"
        since = f"<dt>Depuis</dt><dd>{told}</dd>"
    condition = ""
    if rule["condition"]:
        condition = f"<dt>Condition évaluée (langage Cedar)</dt><dd><pre>{escape(rule['condition'])}</pre></dd>"
    return (
        f"<p>{escape(rule['sentence'])}</p><dl><dt>Effet</dt><dd>{effect(rule)}</dd>"
        f"<dt>Source</dt><dd>{escape(rule['law'])}</dd>{since}{condition}</dl>"
    )


def _delegations(lines: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(delegation_line(each))}</th><td>{escape(each['source'])}</td></tr>"
        for each in lines
    )
    return f"""<section><h2>Ce que les représentants et les aidants peuvent faire</h2>
<table><caption>Ce que la table n'accorde pas est refusé ; la représentation elle-même peut accorder moins.</caption>
<thead>{_head("Qui peut quoi", "Source")}</thead><tbody>{rows}</tbody></table></section>
"""


def _matrix(matrix: dict[str, Any]) -> str:
    notice = f'<p class="note"><strong>Attention : {matrix["notice"]}.</strong></p>' if matrix["notice"] else ""
    types = "".join(
        f"<tr><th scope=row>{escape(code)}</th><td>{escape(said)}</td></tr>" for code, said in matrix["types"].items()
    )
    lines = "".join(
        f"<tr><th scope=row>{escape(line['profession'])}</th><td>{_code(line['type'])}</td>"
        f"<td>{'oui' if line['read'] else 'non'}</td><td>{escape(line['source'])}</td></tr>"
        for line in matrix["lines"]
    )
    return f"""<section><h2>Quelle profession lit quel type de document</h2>
{notice}<dl><dt>Source de la table</dt><dd>{escape(matrix["source"])}</dd></dl>
<table><caption>Une ligne placée plus bas l'emporte ; ce que la table n'accorde pas n'est pas lu.</caption>
<thead>{_head("Profession (code)", "Type (code)", "Lecture", "Source")}</thead>
<tbody>{lines}</tbody></table>
<details><summary>Les types de documents</summary>
<table><caption>Code et nom de chaque type.</caption>
<thead>{_head("Code", "Nom")}</thead><tbody>{types}</tbody></table></details></section>
"""


def _head(*titles: str) -> str:
    return "<tr>" + "".join(f"<th scope=col>{each}</th>" for each in titles) + "</tr>"


def _history(activations: list[dict[str, str]]) -> str:
    changes = {
        newer["digest"] + newer["activated_at"]: f' : <a href="/consent/rules/diff?from={escape(older["digest"])}'
        f'&amp;to={escape(newer["digest"])}">ce qui a changé <span class="skip">dans cette version</span></a>'
        for newer, older in pairwise(activations)
    }
    items = "".join(
        f"<li>{_when(each['activated_at'])}, <code>{escape(each['digest'])}</code>"
        f"{changes.get(each['digest'] + each['activated_at'], ' : première version')}</li>"
        for each in activations
    )
    return f"<section><h2>Toutes les versions</h2><ol reversed>{items}</ol></section>"


def _signers(keys: list[str]) -> str:
    if not keys:
        return "aucune"
    return "<ul>" + "".join(f"<li><code>{escape(each)}</code></li>" for each in keys) + "</ul>"


def _code(code: str) -> str:
    return "tous" if code == "*" else escape(code)


def _when(iso: str) -> str:
    said = when(int(datetime.fromisoformat(iso).timestamp() * 1000))
    return f'<time datetime="{escape(iso)}">{said}</time>'
