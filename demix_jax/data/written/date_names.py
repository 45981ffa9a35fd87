"""Names of months and days of the week in the languages whose dates are read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

_MONTHS = """
january february march april may june july august september october november december
jan feb mar apr may jun jul aug sep oct nov dec
jan feb mar apr may jun jul aug sept oct nov dec
januar februar märz april mai juni juli august september oktober november dezember
jänner februar märz april mai juni juli august september oktober november dezember
jan feb mär apr mai jun jul aug sep okt nov dez
jan feb mrz apr mai jun jul aug sept okt nov dez
janvier février mars avril mai juin juillet août septembre octobre novembre décembre
janv févr mars avr mai juin juil août sept oct nov déc
jan fév mar avr mai juin juil août sep oct nov déc
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
ene feb mar abr may jun jul ago sep oct nov dic
ene feb mar abr may jun jul ago sept oct nov dic
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
gen feb mar apr mag giu lug ago set ott nov dic
janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
jan fev mar abr mai jun jul ago set out nov dez
januari februari maart april mei juni juli augustus september oktober november december
jan feb mrt apr mei jun jul aug sep okt nov dec
"""
_WEEKDAYS = """
monday tuesday wednesday thursday friday saturday sunday
mon tue wed thu fri sat sun
mon tues wed thurs fri sat sun
montag dienstag mittwoch donnerstag freitag samstag sonntag
mo di mi do fr sa so
lundi mardi mercredi jeudi vendredi samedi dimanche
lun mar mer jeu ven sam dim
lunes martes miércoles jueves viernes sábado domingo
lun mar mié jue vie sáb dom
lunedì martedì mercoledì giovedì venerdì sabato domenica
lun mar mer gio ven sab dom
"""


def _lists(text: str) -> list[tuple[str, ...]]:
    return [tuple(line.split()) for line in text.split("\n") if line]


def folded(name: str) -> str:
    """A name in lower case, without accents."""
    parts = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


_MONTH_LISTS, _WEEKDAY_LISTS = _lists(_MONTHS), _lists(_WEEKDAYS)
MONTHS = {folded(name): place for names in _MONTH_LISTS for place, name in enumerate(names, 1)}
WEEKDAYS = {folded(name): place for names in _WEEKDAY_LISTS for place, name in enumerate(names, 1)}


def months_like(written: Mapping[str, float]) -> tuple[str, ...]:
    """The twelve names in the language, length and case of most written ones.

    Args:
      written: name as written -> number of cells.

    Example:
      >>> months_like({"MÄR": 3, "DEZ": 1})[:3]
      ('JAN', 'FEB', 'MÄR')
    """
    return _like(_MONTH_LISTS, written)


def weekdays_like(written: Mapping[str, float]) -> tuple[str, ...]:
    """The seven names, from Monday, in the language, length and case of most written ones; see `months_like`."""
    return _like(_WEEKDAY_LISTS, written)


def _like(lists: Sequence[tuple[str, ...]], written: Mapping[str, float]) -> tuple[str, ...]:
    """The list that has most of the written names, in their case; accents count where lists are equal otherwise."""

    def known(names: tuple[str, ...]) -> tuple[float, float]:
        plain = {folded(name) for name in names}
        exact = sum(weight for name, weight in written.items() if name.lower() in names)
        return sum(weight for name, weight in written.items() if folded(name) in plain), exact

    best = max(lists, key=known)
    usual = min(written, key=lambda name: (-written[name], name))
    if usual.isupper():
        return tuple(name.upper() for name in best)
    return best if usual.islower() else tuple(name.capitalize() for name in best)
