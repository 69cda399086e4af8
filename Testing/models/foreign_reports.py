"""Reports as other people write them: in other words than the phantom's, in other languages, of other organs.

All of them were made up for these tests.
"""

from __future__ import annotations

ENGLISH = (
    "Size: 4.1 x 4.8 x 3.9 cm, volume 40 cc. Hemorrhage: None. Lesions: None. Neurovascular bundles: Normal. "
    "Lymph nodes: Not enlarged. 1. No PI-RADS 3 or higher lesion. 2. Overall PI-RADS category 2.",
    "BPH nodule in the left transition zone, 18 mm, encapsulated. PI-RADS 1.",
    "PI-RADS 4.",
    "PI-RADS 5 lesion in the left peripheral zone, 20 mm.",
    "L PZ mid 12 mm, DWI 4, T2 4, DCE +. PIRADS 4.",
    "Normal prostate MRI.",
    "No suspicious lesion.",
    "Index lesion: right apex PZpl, 1.4 cm, PI-RADS 5, abuts capsule over 1.2 cm. SV clear. No LAD.",
    "EXAM: MRI PROSTATE W/WO CONTRAST. INDICATION: elevated PSA of 7.2, prior negative biopsy. COMPARISON: none. "
    "FINDINGS: The prostate measures 5.1 x 4.0 x 4.6 cm for a calculated volume of 49 cc, PSA density 0.15. "
    "Peripheral zone: There is an ill-defined focus of reduced signal in the posterolateral midgland on the left. "
    "IMPRESSION: 1. PI-RADS 4 lesion, left midgland. 2. No adenopathy.",
    "Study: multiparametric MR of the prostate at 1.5T with endorectal coil. There is diffuse heterogeneous T2 signal "
    "in the central gland consistent with benign hyperplasia. No focal area of restricted diffusion is identified. "
    "Seminal vesicles are symmetric. No osseous metastases. Overall suspicion: low (2/5).",
    "The patient was examined in supine position. A 9 mm hypointense nodule is noted within the anterior fibromuscular "
    "stroma crossing the midline. Early enhancement present. Likert score 4/5.",
    "Post-prostatectomy status. No evidence of local recurrence at the vesicourethral anastomosis. Lymphocele along "
    "the right external iliac vessels, unchanged.",
    "Clinical info: active surveillance, Gleason 3+3 in 2 cores in 2019. Target 1 (PI-RADS 3): 7 mm, stable since "
    "prior. No new target. Recommend continued surveillance.",
    "Lesion #1 - Location: Right mid lateral PZ. Size: 1.1 x 0.8 cm. T2: 4. DWI/ADC: 4. DCE: positive. "
    "Extracapsular extension: broad contact. Overall: 4.",
    "Impression: Large infiltrating tumor occupying most of the gland, invading both seminal vesicles and the bladder "
    "neck (T4). Multiple enlarged pelvic nodes up to 2.2 cm. Diffuse sclerotic marrow lesions.",
    "Wedge shaped low signal bilaterally, DWI negative, likely sequelae of prostatitis; PIRADS 2. Gland 33 grams.",
    "Prostate volume 38 mL. PSAD 0.21. In segment 5 on the diagram there is a subcapsular spot, 6 mm, ADC 720. "
    "PI-QUAL 4. Please correlate.",
    "Dear colleague, many thanks for referring this gentleman. The scan demonstrates a small area of abnormality on "
    "the right side near the apex which I would regard as equivocal. I suggest a targeted biopsy.",
    "MRI: 3+4 on biopsy. Bulky lesion left base, EPE likely, NVB involved. Organ confined on right. N0.",
    "Technique: axial, coronal and sagittal TSE T2, DWI b50, 400, 800, calculated b1500, DCE with 7 mL gadobutrol. "
    "Quality: rectal gas degrades DWI. Result: nothing focal. Category 2 assigned.",
    "Exam limited by bilateral hip arthroplasties. Gland 71 cc with median lobe. TZ: organized chaos. PZ: "
    "compressed. No target for fusion biopsy.",
    "There is a focal, lenticular, ill-defined T2 dark area at 2 o'clock anterior, erased charcoal sign, 22 mm, "
    "bulging AFMS. Highly suspicious, score of five.",
    "negative mri",
    "Suspicious lesion on the left.",
    "Prostate cancer, cT2a, left lobe. Planned for radical prostatectomy. Assess neurovascular bundle.",
    "ADC of 0.65 in the right mid PZ, 13 mm long axis; DWI score 4; PI-RADS v2.1 category 4 (high).",
    "Haemorrhage in both seminal vesicles after recent TRUS biopsy. T1 hyperintensity throughout the PZ limits "
    "assessment. Suggest repeat in 8 weeks.",
    "63M with PSA 5.8. Prior MRI 2021 PI-RADS 2. Gland is 55 mL. Interval development of 8mm nodule R base TZ.",
    "No clinically significant disease. Likelihood 1/5. Discharge to GP with PSA monitoring.",
    "Findings are compatible with granulomatous prostatitis following intravesical BCG; biopsy advised to exclude "
    "malignancy.",
    "Atypical nodule transition zone 15 mm, DWI 4, upgraded from 2 to 3.",
    "The prostate is enlarged, volume 112 mL, with marked intravesical protrusion. Foley catheter in situ.",
    "Bilateral T2w hypointensities w/o corresponding diffusion abnormality. PI-RADS cat. 2. cT0.",
    "Tumour within 5 mm of the membranous urethra. Urethral length 14 mm.",
)
OTHER_ORGANS = (
    "MRI of the right knee. Complex tear of the posterior horn of the medial meniscus. Grade II sprain of the medial "
    "collateral ligament. Moderate joint effusion. Intact cruciate ligaments.",
    "CT thorax: No pulmonary embolism. Small bilateral pleural effusions. 4 mm nodule in the right upper lobe.",
    "Mammography: dense breasts, no suspicious microcalcifications, BI-RADS 2.",
    "MRI brain: multiple periventricular white matter lesions, some enhancing. No mass effect.",
    "Ultrasound abdomen: gallstones, no biliary dilatation. Liver of normal size and echogenicity.",
    "The quick brown fox jumps over the lazy dog.",
    "asdf qwer zxcv",
    "Bitte ein Bild malen.",
)
BY_LANGUAGE = {
    "German": (
        "Prostatavolumen 38 ml. Kein Nachweis einer suspekten Läsion in der peripheren Zone oder Transitionszone. "
        "PI-RADS 2.",
        "In der peripheren Zone links mittig zeigt sich eine 14 mm große T2-hypointense Läsion mit deutlicher "
        "Diffusionsrestriktion, PI-RADS 4. Keine Kapselüberschreitung. Samenblasen unauffällig.",
        "Unauffälliger Befund der Prostata. Kein Hinweis auf einen malignen Herd.",
    ),
    "Spanish": (
        "Próstata de 40 cc. No se identifican lesiones sospechosas. PI-RADS 1.",
        "Lesión focal en la zona periférica derecha, tercio medio, de 15 mm, con restricción de la difusión. PI-RADS "
        "4. Vesículas seminales normales.",
    ),
    "French": (
        "Prostate de 45 ml. Absence de lésion suspecte dans la zone périphérique. PI-RADS 2.",
        "Lésion de 12 mm de la zone périphérique gauche au tiers moyen, avec restriction de la diffusion, classée "
        "PI-RADS 4. Pas d'extension extra-prostatique.",
    ),
    "Italian": (
        "Prostata di 50 cc. Non si osservano lesioni sospette nella zona periferica. PI-RADS 2.",
        "Lesione di 16 mm nella zona periferica destra al terzo medio con marcata restrizione della diffusione. "
        "PI-RADS 4. Vescicole seminali nella norma.",
    ),
    "Portuguese": (
        "Próstata com volume de 42 cc. Não há lesões suspeitas na zona periférica. PI-RADS 2.",
        "Lesão de 13 mm na zona periférica esquerda, terço médio, com restrição à difusão. PI-RADS 4.",
    ),
    "Dutch": (
        "Prostaatvolume 45 ml. Geen verdachte laesie in de perifere zone. PI-RADS 2.",
        "Laesie van 14 mm in de perifere zone links, met duidelijke diffusierestrictie. PI-RADS 4. Geen aanwijzingen "
        "voor extraprostatische uitbreiding.",
    ),
    "Swedish": (
        "Prostatavolym 40 ml. Ingen misstänkt lesion i perifera zonen. PI-RADS 2.",
        "I vänster perifera zon ses en 12 mm stor lesion med tydlig diffusionsinskränkning. PI-RADS 4.",
    ),
    "Polish": (
        "Objętość gruczołu krokowego 40 ml. Nie stwierdza się zmian podejrzanych w strefie obwodowej. PI-RADS 2.",
        "W strefie obwodowej po stronie lewej widoczna zmiana ogniskowa 14 mm z ograniczeniem dyfuzji. PI-RADS 4.",
    ),
    "Turkish": (
        "Prostat hacmi 40 ml. Periferik zonda şüpheli lezyon izlenmedi. PI-RADS 2.",
        "Sol periferik zonda 14 mm boyutunda difüzyon kısıtlılığı gösteren lezyon izlenmektedir. PI-RADS 4.",
    ),
    "Russian": ("Объем простаты 40 мл. Очаговых изменений в периферической зоне не выявлено. PI-RADS 2.",),
    "Japanese": ("前立腺体積は40mL。辺縁域に疑わしい病変は認めません。PI-RADS 2。",),
    "Chinese": ("前列腺体积40毫升。外周带未见可疑病灶。PI-RADS 2分。",),
    "Korean": ("전립선 용적 40 mL. 말초대에 의심 병변 없음. PI-RADS 2.",),
    "Greek": ("Όγκος προστάτη 40 ml. Δεν παρατηρούνται ύποπτες βλάβες στην περιφερική ζώνη. PI-RADS 2.",),
    "Arabic": ("حجم البروستاتا 40 مل. لا توجد آفات مشبوهة في المنطقة المحيطية. PI-RADS 2.",),
}
LATER = (
    ("German", "Ventral im linken Lappen 9 mm messendes Areal mit erniedrigten ADC-Werten, fraglich "
        "suspekt. Kapsel glatt abgrenzbar."),
    ("German", "Z.n. TUR-P. Narbige Veränderungen beidseits, sonst regelrechte Darstellung."),
    ("German", "PI-RADS 3 Läsion rechts apikal."),
    ("Dutch", "Vergrote prostaat met BPH. Er is een hypo-intens gebied rechts dorsaal, suspect voor carcinoom."),
    ("Dutch", "Geen afwijkingen."),
    ("French", "Hypertrophie bénigne. Nodule hyposignal T2 du lobe droit, suspect, score 4. Pas d'adénopathie."),
    ("French", "Examen normal."),
    ("Spanish", "Se observa un nódulo hipointenso en la base izquierda con realce precoz. Resto sin alteraciones."),
    ("Italian", "A livello dell'apice di destra si rileva area ipointensa di 8 mm. Non linfoadenopatie."),
    ("Portuguese", "Observa-se nódulo hipointenso na base à direita, com realce precoce. Não há "
        "linfonodos aumentados."),
    ("Swedish", "Ökad volym av prostata. Ingen suspekt förändring. Inga förstorade lymfkörtlar."),
    ("Danish", "Prostata er forstørret. Der ses ikke suspekte forandringer. Ingen forstørrede lymfeknuder."),
    ("Norwegian", "Prostata er lett forstørret. Det er ingen suspekte lesjoner i perifer sone."),
    ("Polish", "Gruczoł krokowy powiększony. W prawym płacie ognisko obniżonego sygnału. Węzły chłonne "
        "niepowiększone."),
    ("Czech", "Prostata zvětšená. V levém laloku je ložisko o velikosti 9 mm. Uzliny nezvětšeny."),
    ("Finnish", "Eturauhanen on suurentunut. Oikealla kärjessä 8 mm muutos."),
    ("Turkish", "Prostat büyümüş olup sağ lobda 9 mm çapında hipointens odak izlendi. Lenf nodu saptanmadı."),
    ("Hungarian", "A prosztata megnagyobbodott. A bal lebenyben 9 mm-es gyanús góc. Nincs nyirokcsomó."),
    ("Romanian", "Prostata este mărită. În lobul drept se observă o leziune de 9 mm. Nu sunt adenopatii."),
    ("English", "There is an ill-defined area of low signal within the left lobe. No adenopathy."),
    ("English", "Gland 45 cc. PZ clear. TZ nodules. PIRADS 2."),
)  # fmt: skip
"""By language, written when the words that tell languages apart stood already."""
ALL = (*ENGLISH, *OTHER_ORGANS, *(text for texts in BY_LANGUAGE.values() for text in texts))
