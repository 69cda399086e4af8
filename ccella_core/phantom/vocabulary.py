"""Words that radiologists use of the prostate and the phantom's reports do not, for those who choose a vocabulary.

Terms of PI-RADS v2.1 (Turkbey et al., European Urology 2019), of anatomy, technique, pathology, treatment, and the
words by which reports deny, doubt and compare.
"""

from __future__ import annotations

_WORDS = """
abnormal abnormality abscess absent abutment adenocarcinoma adenoma adenomatous adenopathy adjacent aggressive ampulla
anterior anterolateral anteromedial apical apparent architectural area artefact artifact artifacts assessment
asymmetric asymmetrical asymmetry atrophic atrophy atypical average axial axilla background basal benign bilateral
bilaterally biochemical biopsied biopsies biopsy biparametric bladder blood bone bones bowel brachytherapy bright
bulge bulging bundle bundles calcification calcifications calculi capsular capsule carcinoma category catheter caudal
central centrally chronic circumscribed clinical clinically coil comparison computed conclusion confined confluent
consistent conspicuous contact contour contoured contrast core cores coronal cortical cranial craniocaudal cribriform
cyst cystic cysts deep deferred definite degenerative delayed demonstrated demonstrates denonvilliers density detected
diagnostic diameter diameters diffuse diffusely diffusion digital dilated dimension dimensions discrete disease
dissection distal distended diverticulum dominant dorsal ductal ducts dynamic early echo edema ejaculatory elevated
ellipsoid encapsulated encroaching endorectal enhancement enhances enhancing enlarged enlargement equivocal erosion
evidence exam examination exophytic extending extends extension external extracapsular extraprostatic fascia fast fat
fatty features femoral fibromuscular fibrosis field findings flow focal foci focus foley follow followup fossa free
gadolinium gland glands glandular gleason grade gradient granulomatous gross haemorrhage hematoma hemorrhage
hemorrhagic hernia herniation heterogeneity heterogeneous heterogeneously high hip homogeneous homogeneously
hyperintense hyperintensities hyperintensity hyperplasia hyperplastic hypertrophy hypointense hypointensities
hypointensity iliac image images imaging impression inadequate incidental incidentally inconspicuous increased
indeterminate indication indistinct infection infectious infiltration inflammation inflammatory inguinal inhomogeneous
inner insignificant intact intermediate internal interval intraductal intraglandular intraprostatic intravenous
intravesical invading invasion invasive involvement irregular ischiorectal isointense kidney kinetic lateral laterally
lenticular lesion lesions likelihood likely limited linear lobe lobes lobulated localised localized locoregional low
lymph lymphadenopathy lymphatic macroscopic malignancy malignant margin margins marked markedly marrow mass maximal
maximum measurable measurement measurements measuring medial median metallic metastases metastasis metastatic mid
midgland midline mild mildly minimal minimally moderate moderately motion mucinous multifocal multilocular
multiparametric multiple muscle muscles necrosis negative neoplasm neoplastic neurovascular nodal node nodes nodular
nodularity nodule nodules noncircumscribed nonfocal nonspecific nonsuspicious normal oblique obliteration obscured
obturator oedema osseous outer overall pathologic pathological pathology patient pelvic pelvis perfusion perineural
peripheral peripherally periprostatic perirectal perivesical phased plane planes plexus positive postbiopsy posterior
posterolateral posteromedial postoperative precluded presacral presence previous primary prior probable probably
prominent prostate prostatectomy prostatic prostatitis prosthesis protein protrusion proximal pseudocapsule pubic
quadrant quality radiation radical radiotherapy rectal rectoprostatic rectum recurrence recurrent reduced region
regional remainder remains residual restricted restricting restriction retention round rounded sagittal sarcoma scar
scarring sclerotic score scored sector seen segment seminal septation sequelae sequence sequences series severe
shadowing shape shaped signal significance significant significantly simulated size slight slightly small smooth
sphincter spiculated stable stage staging stroma stromal study subcapsular subcentimeter suboptimal subtle surface
surgical surveillance suspect suspected suspicion suspicious symmetric symmetrical symmetry symptoms synthetic
technically technique tesla testosterone therapy thickened thickening tissue transition transitional transperineal
transrectal transurethral transverse trauma treated treatment triangular tumor tumors tumour tumours turbo turp
ultrasound undetectable undistended unenhanced unenlarged unequivocal unilateral unknown unlikely unremarkable
unsuspicious upper ureter ureteral urethra urethral urinary urine utricle vas vascular vein venous ventral
verumontanum vesical vesicle vesicles vessels visible visualised visualized volume volumetric wall wedge weighted
widespread within without workup zonal zone zones
"""
REPORT_WORDS = tuple(_WORDS.split())
