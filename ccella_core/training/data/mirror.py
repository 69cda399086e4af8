"""The report of a mirrored examination: every side exchanged, or no report at all.

A volume whose left and right are exchanged is another examination, and its report must say so. What is surely a side is
exchanged (words, abbreviations, fused ones such as ``LPZ``, hours of the clock); what surely is none stays ("no lesion
left after treatment", "status post RT"). A report that holds anything else which may be a side, or is in another
language than English, is not mirrored, rather than taught wrongly.
"""

from __future__ import annotations

import re
from typing import Literal

from ccella_core.models.languages import language_of

SIDES = {"left": "right", "lt": "rt", "l": "r"} | {
    f"left{end}": f"right{end}" for end in ("ward", "wards", "most", "hand", "side", "sided")
}
OTHER_SIDE = {**SIDES, **{right: left for left, right in SIDES.items()}}
ALWAYS_SIDES = OTHER_SIDE.keys() - {"left", "right", "lt", "rt", "l", "r"}
ABBREVIATIONS = ("l", "r", "lt", "rt")

PLACE = re.compile(
    r"(pz|tz|cz|afm?s|sv|nvb|lobe|zone|gland|hemi|half|side|hand|aspect|portion|part|region|sector|sextant|quadrant|"
    r"segment|base|basal|basilar|mid|apex|apical|peripheral|transition|central|anterior|antero|posterior|postero|"
    r"lateral|medial|dorsal|ventral|lower|upper|inner|outer|far|capsul|extracapsular|extraprostatic|seminal|vesic|"
    r"neurovascular|bundle|pelvi|iliac|obturator|inguinal|external|internal|common|para|hip|femor|femur|acetab|ischi|"
    r"pub|sacr|ureter|kidney|hydro|renal|vas|ejaculatory|edge|margin|wall|levator|horn|node|nodal|lymph|breast|lung|"
    r"knee|pz\w*|tz\w*)\w*"
)
"""Beginnings of what a side is said of."""
THING = re.compile(
    r"(lesion|focus|foci|nodul|tumou?r|mass|cancer|carcinoma|index|signal|hypo|hyper|suspicio|target)\w*"
)
"""What has a side, and what may be left over."""
POINTS = frozenset(("the", "on", "to", "from", "at", "in", "of", "both", "and", "or", "than", "versus", "vs", "either",
                    "far", "more", "predominantly", "mainly", ":", "/", ">", "<", "&", "(", "|", "="))  # fmt: skip
"""What stands before a side."""
LEADS_ON = frozenset((":", "/", ">", "<", "&", "|", "=", "(", ")"))
"""What stands behind a side, and behind no other meaning of the word."""
REMAINS = frozenset(("after", "behind", "over", "untreated", "alone", "undisturbed", "unchanged", "following",
                     "since", "unbiopsied", "out", "until", "post"))  # fmt: skip
LEAVES = frozenset(("was", "were", "is", "are", "be", "been", "being", "has", "have", "had", "nothing", "none",
                    "tissue", "disease", "gland", "prostate", "remnant", "little", "patient"))  # fmt: skip
NO_SIDES_OF_RIGHT = frozenset(("angle", "angles", "angled", "away", "now", "before", "after"))
TREATED = frozenset(("post", "p", "prior", "previous", "after", "following", "salvage", "adjuvant", "definitive",
                     "received", "underwent", "before", "completed", "for", "with", "planned"))  # fmt: skip
"""What stands before RT as radiotherapy."""
UNITS = frozenset(("g", "mg", "ug", "µg", "μg", "mcg", "ng", "pg", "mol", "mmol", "umol", "µmol", "μmol", "nmol",
                   "pmol", "u", "iu", "miu"))  # fmt: skip
"""What stands before a litre: "ng/L"."""

TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s-]")
FUSED = re.compile(r"\b([LR])(?=(?:[BMA]|mid|base|apex|MID|BASE|APEX)?(?:PZ|TZ|CZ|AFM?S|SV|NVB)\w*\b)"
                   r"|\b([LR])(?=(?:base|mid|apex|lobe)\b)")  # fmt: skip
CLOCK = re.compile(r"\b(?:(\d{1,2})(\s*(?:-|–|to|and|/|or)\s*))?(\d{1,2})(\s*-?\s*o\s?[’'`]?\s?clock)", re.IGNORECASE)
BILATERAL = re.compile(r"\bb/l\b", re.IGNORECASE)
UNSURE = re.compile(
    r"\b(clockwise|lft|rgt|rght|rigth|lefft|links?\w*|linke[rnsm]?|rechts?\w*|gauches?|droite?s?|izquierd\w+|derech\w+|"
    r"izq|der|sinistr\w+|destr[oaie]|sin|dex|dextr\w+|esquerd\w+|direit\w+|vänst\w+|höger\w*|venstre|højre|høyre|"
    r"lew\w{1,3}|praw\w{1,3}|vlevo|vpravo|lev[ýáéo]\w*|vasem\w+|vasen|oikea\w*|sol|sağ|stâng\w+|dreapt\w+|drept\w*)\b|"
    r"\b\d+[lr]\b|\b(l[6-9]|r[3-9]|[lr]\d\d)\b|[^\x00-\u024f\u0370-\u03ff\u2000-\u22ff]",
    re.IGNORECASE,
)
"""Words for sides in other languages, words misspelt, codes of sectors, and letters of other scripts (µ is Greek)."""

Meaning = Literal["side", "other", "unsure"]


def mirrored_report(report: str) -> str | None:
    """The report of the mirror image, capitals kept; ``None`` where its sides cannot be exchanged with certainty."""
    if UNSURE.search(report) or language_of(report) not in ("English", None):
        return None
    hours = [(found, _mirrored_hours(found)) for found in CLOCK.finditer(report)]
    if len(hours) < len(re.findall("clock", report, re.IGNORECASE)) or any(other is None for _, other in hours):
        return None
    pieces = {found.span(): other or "" for found, other in hours}
    for found in FUSED.finditer(report):
        pieces[found.span()] = "R" if found[0] == "L" else "L"
    whole = [found.span() for found in BILATERAL.finditer(report)]
    tokens = list(TOKEN.finditer(report))
    for place, token in enumerate(tokens):
        if not _may_be_a_side(token, report) or any(start <= token.start() < end for start, end in whole):
            continue
        meaning = _meaning([each[0].lower() for each in tokens], place)
        if meaning == "unsure":
            return None
        if meaning == "side":
            pieces[token.span()] = _like(token[0], OTHER_SIDE[token[0].lower()])
    mirrored, done = "", 0
    for (start, end), other in sorted(pieces.items()):
        mirrored += report[done:start] + other
        done = end
    return mirrored + report[done:]


def _may_be_a_side(token: re.Match[str], report: str) -> bool:
    word = token[0]
    if word.lower() not in OTHER_SIDE:
        return False
    beside = report[token.start() - 1 : token.start()] + report[token.end() : token.end() + 1]
    # L5 is a vertebra, R0 a margin.
    return not any(each.isdigit() for each in beside)


def _meaning(words: list[str], place: int) -> Meaning:
    word = words[place]
    before = words[place - 1] if place else ""
    after = words[place + 1 :]
    if word == "l" and _is_litre(words, place):
        return "other"
    if word in ABBREVIATIONS and after[:1] == ["."]:
        after = after[1:]
    behind = after[0] if after else ""
    if word in ALWAYS_SIDES:
        return "side"
    if word == "rt" and before in TREATED:
        return "unsure" if PLACE.fullmatch(behind) else "other"
    if PLACE.fullmatch(behind) or (THING.fullmatch(behind) and word != "r"):
        return "side"
    if word == "right" and behind in NO_SIDES_OF_RIGHT:
        return "unsure" if before in POINTS else "other"
    if len(after) > 1 and behind in ("and", "or", ",") and OTHER_SIDE[word] == after[1]:
        return "side"
    if behind in LEADS_ON or behind.isdigit() or (before in POINTS and behind not in REMAINS):
        return "side" if before not in LEAVES else "unsure"
    if before in ("the", "on", "to"):
        return "side"
    if word == "left" and (before in LEAVES or THING.fullmatch(before)):
        return "other" if behind in REMAINS else "unsure"
    return "side" if PLACE.fullmatch(before) and behind not in REMAINS else "unsure"


def _is_litre(words: list[str], place: int) -> bool:
    """Whether an L stands for litres: "µg/L", "0.04 l."."""
    before = words[place - 1] if place else ""
    if before == "/":
        return place > 1 and words[place - 2] in UNITS
    behind = words[place + 1] if place + 1 < len(words) else ""
    return before.isdigit() and not (PLACE.fullmatch(behind) or THING.fullmatch(behind))


def _mirrored_hours(found: re.Match[str]) -> str | None:
    """Hours of the clock around the urethra; the left of the patient is at three."""
    first, between, last, clock = found.groups()
    hours = [int(hour) for hour in (first, last) if hour is not None]
    if found.string[found.start() - 1 : found.start()] in (":", ".") or not all(1 <= hour <= 12 for hour in hours):
        return None
    others = [str(12 - hour % 12) for hour in hours]
    return (f"{others[1]}{between}{others[0]}" if first is not None else others[0]) + clock


def _like(word: str, other: str) -> str:
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
