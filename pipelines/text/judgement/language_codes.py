"""Find the label of a language model for what a user wrote: "deu", "nb", "zh-CN" or "english" are de, no, zh and en in lid.176.

>>> nearest("zh_CN", ["de", "en", "zh"]), nearest("de", ["deu_Latn", "eng_Latn"])
(['zh'], ['deu_Latn'])
"""

import difflib
from collections.abc import Collection

# A language: its code in ISO 639-1 (else that of lid.176), then what means the same: its codes in ISO 639-2 and 639-3, those
# of the member of a macrolanguage that the models mean, withdrawn codes, and its names in English and in itself.
_LANGUAGES = """
aa aar afar; ab abk abkhazian; ae ave avestan; af afr afrikaans; ak aka akan; als gsw alemannic swiss-german; am amh amharic;
an arg aragonese; ar ara arabic arb العربية; arz egyptian-arabic; as asm assamese; ast asturian; av ava avaric; ay aym aymara;
az aze azerbaijani azj; azb south-azerbaijani; ba bak bashkir; bar bavarian; bcl central-bikol; be bel belarusian; bg bul
bulgarian; bh bih bho bihari; bi bis bislama; bm bam bambara; bn ben bengali bangla; bo bod tib tibetan; bpy bishnupriya; br
bre breton; bs bos bosnian; bxr russia-buriat; ca cat catalan valencian; cbk chavacano; ce che chechen; ceb cebuano; ch cha
chamorro; ckb central-kurdish sorani; co cos corsican; cr cre cree; cs ces cze czech čeština cestina; cu chu church-slavic; cv
chv chuvash; cy cym wel welsh cymraeg; da dan danish dansk; de deu ger german deutsch; diq dimli; dsb lower-sorbian; dty
dotyali; dv div dhivehi; dz dzo dzongkha; ee ewe; el ell gre modern-greek greek ελληνικά; eml emiliano-romagnolo egl; en eng
english; eo epo esperanto; es spa spanish español espanol castilian castellano; et est estonian ekk; eu eus baq basque
euskara; fa fas per persian pes prs farsi dari; ff ful fulah; fi fin finnish suomi; fj fij fijian; fo fao faroese; fr fra fre
french français francais; frr northern-frisian; fy fry western-frisian frisian; ga gle irish gaeilge; gd gla scottish-gaelic
gaelic; gl glg galician; gn grn guarani gug; gom goan-konkani; gu guj gujarati; gv glv manx; ha hau hausa; he heb hebrew iw
עברית; hi hin hindi हिन्दी; hif fiji-hindi; ho hmo hiri-motu; hr hrv croatian scr; hsb upper-sorbian; ht hat haitian
haitian-creole; hu hun hungarian magyar; hy hye arm armenian; hz her herero; ia ina interlingua; id ind indonesian in
bahasa-indonesia; ie ile interlingue; ig ibo igbo; ii iii sichuan-yi; ik ipk inupiaq; ilo iloko; io ido; is isl ice icelandic
íslenska; it ita italian italiano; iu iku inuktitut; ja jpn japanese 日本語; jbo lojban; jv jav javanese jw; ka kat geo georgian;
kg kon kongo; ki kik kikuyu; kj kua kuanyama; kk kaz kazakh; kl kal kalaallisut; km khm khmer; kn kan kannada; ko kor korean
한국어; kr kau kanuri; krc karachay-balkar; ks kas kashmiri; ku kur kurdish kmr kurmanji; kv kom komi kpv; kw cor cornish; ky kir
kirghiz kyrgyz; la lat latin; lb ltz luxembourgish letzeburgesch; lez lezghian; lg lug ganda; li lim limburgan; lmo lombard;
ln lin lingala; lo lao; lrc northern-luri; lt lit lithuanian; lu lub luba-katanga; lv lav latvian lvs; mai maithili; mg mlg
malagasy plt; mh mah marshallese; mhr eastern-mari; mi mri mao maori; min minangkabau; mk mkd mac macedonian; ml mal
malayalam; mn mon mongolian khk; mr mar marathi; mrj western-mari; ms msa may malay zsm zlm; mt mlt maltese; mwl mirandese; my
mya bur burmese myanmar; myv erzya; mzn mazanderani; na nau nauru; nah nahuatl nhn nch; nap neapolitan; nd nde north-ndebele;
nds low-german; ne nep nepali npi; new newari; ng ndo ndonga; nl nld dut dutch nederlands flemish; nn nno norwegian-nynorsk
nynorsk; no nor norwegian nb nob bokmål bokmal norwegian-bokmål norsk; nr nbl south-ndebele; nv nav navajo; ny nya nyanja; oc
oci occitan; oj oji ojibwa; om orm oromo; or ori oriya ory odia; os oss ossetian; pa pan panjabi punjabi; pam pampanga; pfl
pfaelzisch; pi pli pali; pl pol polish polski; pms piemontese; pnb western-panjabi; ps pus pushto pashto; pt por portuguese
português portugues brazilian-portuguese; qu que quechua quy quz; rm roh romansh; rn run rundi; ro ron rum romanian mo mol
moldavian moldovan; ru rus russian русский; rue rusyn; rw kin kinyarwanda; sa san sanskrit; sah yakut; sc srd sardinian; scn
sicilian; sco scots; sd snd sindhi; se sme northern-sami; sg sag sango; sh hbs serbo-croatian; si sin sinhala sinhalese; sk
slk slo slovak; sl slv slovenian; sm smo samoan; sn sna shona; so som somali; sq sqi alb albanian; sr srp serbian scc; ss ssw
swati; st sot southern-sotho; su sun sundanese; sv swe swedish svenska; sw swa swahili swh kiswahili; ta tam tamil; te tel
telugu; tg tgk tajik; th tha thai ไทย; ti tir tigrinya; tk tuk turkmen; tl tgl tagalog fil filipino; tn tsn tswana; to ton
tonga; tr tur turkish türkçe turkce; ts tso tsonga; tt tat tatar; tw twi; ty tah tahitian; tyv tuvinian; ug uig uighur uyghur;
uk ukr ukrainian українська; ur urd urdu; uz uzb uzbek uzn; ve ven venda; vec venetian; vep veps; vi vie vietnamese
tiếng-việt; vls vlaams; vo vol volapük; wa wln walloon; war waray; wo wol wolof; wuu wu-chinese; xal kalmyk; xh xho xhosa; xmf
mingrelian; yi yid yiddish ydd ji; yo yor yoruba; yue yue-chinese cantonese; za zha zhuang; zh zho chi chinese cmn mandarin
simplified-chinese traditional-chinese 中文; zu zul zulu
"""

# Countries' codes (ISO 3166-1) that are written in place of their languages'.
_COUNTRIES = """
at de; cn zh; cz cs; dk da; ee et; gb en; ge ka; gr el; il he; ir fa; jp ja; kh km; kr ko; kz kk; mx es; np ne; pk ur; rs sr;
se sv; tw zh; us en; vn vi
"""

_ALIKE = 0.6  # difflib's ratio from which a spelling counts as near


def _table(text: str) -> dict[str, str]:
    rows = [row.split() for row in text.split(";")]
    return {alias: code for code, *aliases in rows for alias in aliases}


_ALIASES = _table(_LANGUAGES)
_CODES = frozenset(_ALIASES.values())
_BY_COUNTRY = {country: code for country, code in (row.split() for row in _COUNTRIES.split(";"))}


def nearest(written: str, labels: Collection[str]) -> list[str]:
    """Return the labels that `written` may mean, the best first; none if it is a language without a label or like nothing.

    It may be another code of the language, with a script or a country ("pt-BR", "srp_Cyrl"), a name, a country's code or a
    misspelling of any of these. Labels may be of ISO 639-1 or of 639-3, with a script ("deu_Latn").
    """
    spelled = _spelled(written)
    by_spelling = {_spelled(label): label for label in sorted(labels)}
    if spelled in by_spelling:
        return [by_spelling[spelled]]
    by_language: dict[str, list[str]] = {}
    for label in sorted(labels):
        by_language.setdefault(_language(_spelled(label)), []).append(label)
    language = _language(spelled)
    if language in by_language:
        details = spelled.split("-")[1:]
        return sorted(by_language[language], key=lambda label: not set(details) & set(_spelled(label).split("-")))
    if _BY_COUNTRY.get(spelled) in by_language:
        return by_language[_BY_COUNTRY[spelled]]
    if language in _CODES:
        return []
    words = [*by_spelling, *(alias for alias, code in _ALIASES.items() if code in by_language and len(alias) > len("deu"))]
    near = difflib.get_close_matches(spelled, words, n=1, cutoff=_ALIKE)
    return [by_spelling[near[0]]] if near and near[0] in by_spelling else by_language[_ALIASES[near[0]]] if near else []


def _spelled(code: str) -> str:
    return "-".join(code.casefold().replace("_", " ").replace("-", " ").split())


def _language(spelled: str) -> str:
    """Return the first table's code for a code or a name; what the table lacks, without its script and country."""
    first = spelled.split("-")[0]
    return _ALIASES.get(spelled) or _ALIASES.get(first, first)
