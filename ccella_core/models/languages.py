"""Which language a report is in, told by its script and by the words that reports of the prostate are full of.

No library: those that do it bring models of many megabytes, and telegraphic reports are not what they were made for.
Where the words do not decide, no language is named. Needs no PyTorch.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict

LEAST_EVIDENCE = 2.0
"""Of words: two that belong to one language alone."""
LEAD = 1.5
"""How many times more evidence than for any other language."""
LEAST_LETTERS = 6
"""Of a script: fewer may be a Greek letter among units."""

WORDS: dict[str, str] = {
    "English": "the of and is are no not with without in there at to for was has from this seen noted lesion lesions "
    "focus zone gland left right normal suspicious evidence volume measures within prostate bladder nodes vesicles "
    "enlarged findings impression both likely",
    "German": "der die das und ist sind kein keine keinen nicht mit ohne in im am zur zum bei einer eine eines des dem "
    "den von nachweis befund beurteilung läsion herd links rechts rechten linken periphere peripheren zone drüse "
    "prostata prostatavolumen unauffällig auffällig verdacht samenblasen hinweis auf zeigt sich lymphknoten",
    "Dutch": "de het een en is zijn geen niet met zonder in aan van bij voor op naar laesie perifere zone links rechts "
    "prostaat prostaatvolume verdachte verdacht aanwijzingen conclusie zaadblaasjes klieren normale naast wel",
    "French": "le la les un une des du de et est sont pas sans avec dans sur au aux en pour lésion lésions zone "
    "périphérique gauche droite droit prostate absence suspecte normales vésicules séminales classée tiers moyen par "
    "extension volume glande",
    "Spanish": "el la los las un una de del y es son no sin con en se por para al lesión lesiones zona periférica "
    "izquierda izquierdo derecha derecho próstata sospechosas sospechosa normales vesículas seminales identifican "
    "observa observan tercio medio tamaño",
    "Italian": "il lo la i gli le un una di del della dei e è sono non senza con nel nella al si per da lesione "
    "lesioni zona periferica sinistra sinistro destra destro prostata sospette sospetta vescicole seminali osservano "
    "norma ghiandola terzo medio",
    "Portuguese": "o a os as um uma de do da dos e é são não sem com em no na nos ao há por para lesão lesões zona "
    "periférica esquerda esquerdo direita direito próstata suspeitas suspeita vesículas seminais restrição terço "
    "médio",
    "Swedish": "och är ej inte ingen inga inget med utan i på av för en ett som ses vid den det till lesion "
    "misstänkt misstänkta perifera zonen vänster höger prostata prostatavolym körteln sädesblåsor förstorad stor",
    "Danish or Norwegian": "og er ikke ingen intet med uden uten i på af av for en et som ses ved den det til "
    "læsion lesjon mistænkt mistenkt perifere zone sone venstre højre høyre prostata prostatavolumen sædblærer",
    "Polish": "i w we na z ze nie się jest są bez po od do oraz zmian zmiana zmiany podejrzanych strefie obwodowej "
    "stronie lewej prawej lewym prawym gruczołu krokowego stercza objętość stwierdza widoczna ograniczeniem dyfuzji",
    "Czech": "a v ve na s se je jsou není bez po od do ložisko ložiska zóně zóna periferní vlevo vpravo prostata "
    "prostaty objem podezřelé semenné váčky difuze",
    "Finnish": "ja on ei ole tai sekä ilman ovat muutos muutosta eturauhanen eturauhasen tilavuus vasemmalla oikealla "
    "perifeerisellä vyöhykkeellä normaali löydös",
    "Turkish": "ve ile bir bu da de olan yok var için lezyon prostat hacmi zonda zon periferik sağ sol izlenmedi "
    "izlenmektedir izlendi şüpheli boyutunda gösteren kısıtlılığı difüzyon normal saptanmadı",
    "Hungarian": "a az és nem van egy nincs nélkül bal jobb oldali oldalon prosztata térfogata lézió perifériás "
    "zónában gyanús elváltozás diffúzió",
    "Romanian": "și si este sunt nu cu fără în din la pe un o de al leziune leziuni zona periferică stângă stânga "
    "dreaptă dreapta prostata volum suspecte difuziei",
}  # fmt: skip
"""The words of each language; one that several have speaks for each of them a little."""
SCRIPTS = {
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "CJK": "Chinese",
    "GREEK": "Greek",
    "ARABIC": "Arabic or Persian",
    "HEBREW": "Hebrew",
    "THAI": "Thai",
    "DEVANAGARI": "Hindi",
    "CYRILLIC": "Russian or another language in Cyrillic",
}
"""In this order: Japanese is written with Chinese characters as well."""
LETTERS = re.compile(r"[^\W\d_]+")

_LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in WORDS.items():
    for _word in _words.split():
        if len(_word) > 1:  # a letter is an abbreviation in any language
            _LANGUAGES_OF.setdefault(_word, []).append(_language)


def language_of(text: str) -> str | None:
    """The language of a text, in English; ``None`` where it cannot be told."""
    text = unicodedata.normalize("NFKC", text).casefold()
    letters = Counter(_script(letter) for letter in text if letter.isalpha())
    for script, language in SCRIPTS.items():
        if letters[script] >= LEAST_LETTERS and letters[script] * 4 >= letters.total():
            return language
    evidence: defaultdict[str, float] = defaultdict(float)
    for word in LETTERS.findall(text):
        for language in _LANGUAGES_OF.get(word, ()):
            evidence[language] += 1 / len(_LANGUAGES_OF[word])
    most, next_most = [*sorted(evidence.values(), reverse=True), 0.0, 0.0][:2]
    if most < LEAST_EVIDENCE or most < LEAD * next_most:
        return None
    return max(evidence, key=lambda language: evidence[language])


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]
