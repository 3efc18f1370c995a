"""One-time codes on paper: a French page that she prints or sends by letter, the one time that the codes are told."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape

from services.consent.french.phrases import when

_STYLE = """
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 48rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: bold; padding: 0 0 .5rem; }
th, td { border: 1px solid #767676; padding: .5rem; text-align: left; }
td { min-width: 6rem; }
.code { font: bold 1.3rem/1.6 ui-monospace, monospace; white-space: nowrap; }
tr { break-inside: avoid; }
@page { margin: 15mm; }
"""
_DIGEST = b64encode(sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    # Nothing is loaded, run or sent from this page; its own style is named by its digest.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Language": "fr",
}
_TITLE = "Vos codes à usage unique"


def codes_page(codes: Sequence[str], until: int) -> str:
    """Return the sheet of some codes that are good until a time (ms); it names nobody, for a sheet is lost."""
    rows = "".join(
        f'<tr><th scope="row">{number}</th><td class="code">{escape(each)}</td><td></td><td></td></tr>'
        for number, each in enumerate(codes, 1)
    )
    end = when(until).removeprefix("le ")
    many = "1 code" if len(codes) == 1 else f"{len(codes)} codes"
    return f"""<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE} - Carnet</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_TITLE}</h1>
<p>Donnez un de ces codes au professionnel de santé à qui vous permettez de lire votre dossier. Un code sert
une seule fois, à une seule personne, jusqu'au {end}.</p>
<table>
<caption>{many} : barrez chaque code que vous avez donné</caption>
<thead><tr>
<th scope="col">Numéro</th><th scope="col">Code</th><th scope="col">Donné à</th><th scope="col">Le</th>
</tr></thead>
<tbody>{rows}</tbody>
</table>
<h2>À savoir</h2>
<ul>
<li>Un code ouvre votre dossier à ce professionnel pour 24 heures. Son logiciel peut demander plus, 180 jours au plus :
votre journal dit jusqu'à quand, et vous pouvez y mettre fin.</li>
<li>Carnet ne garde pas ces codes en clair : cette feuille ne peut pas être affichée une seconde fois.</li>
<li>Cette feuille ne porte pas votre nom. Si elle est perdue, mettez fin à ces codes dans vos choix : ceux qui n'ont pas
servi n'ouvrent alors plus rien.</li>
</ul>
</main>
</body>
</html>
"""
