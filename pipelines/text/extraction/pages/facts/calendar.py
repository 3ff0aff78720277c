"""Dates in what pages write: ISO 8601, "3 May 2024", "May 3rd, 2024", "3. Mai 2024", "2024年5月3日", "03/05/2024"."""

import re
from collections.abc import Iterator
from datetime import date

# The months of the languages with most pages, from January on; abbreviations follow a "/".
_MONTHS = """
january/jan february/feb march/mar april/apr may june/jun july/jul august/aug september/sep/sept october/oct november/nov \
december/dec
januar/jänner februar/feber märz/maerz/mär/mrz april mai juni juli august september oktober/okt november dezember/dez
janvier/janv février/fevrier/févr/fév mars avril/avr mai juin juillet/juil août/aout septembre octobre novembre \
décembre/decembre/déc
enero/ene febrero marzo abril/abr mayo junio julio agosto/ago septiembre/setiembre/set octubre noviembre diciembre/dic
gennaio/gen febbraio marzo aprile maggio/mag giugno/giu luglio/lug agosto settembre/sett ottobre/ott novembre dicembre
janeiro fevereiro/fev março/marco maio/mai junho julho agosto setembro outubro/out novembro dezembro
januari februari maart/mrt april mei juni juli augustus september oktober november december
stycznia/styczeń/sty lutego/luty/lut marca/marzec kwietnia/kwiecień/kwi maja/maj czerwca/czerwiec/cze lipca/lipiec/lip \
sierpnia/sierpień/sie września/wrzesień/wrz października/październik/paź listopada/listopad/lis grudnia/grudzień/gru
января/январь/янв февраля/февраль/фев марта/март/мар апреля/апрель/апр мая/май июня/июнь/июн июля/июль/июл \
августа/август/авг сентября/сентябрь/сен/сент октября/октябрь/окт ноября/ноябрь/ноя декабря/декабрь/дек
ιανουαρίου/ιανουάριος/ιαν φεβρουαρίου/φεβρουάριος/φεβ μαρτίου/μάρτιος/μαρ απριλίου/απρίλιος/απρ μαΐου/μάιος/μαΐ/μάι \
ιουνίου/ιούνιος/ιουν ιουλίου/ιούλιος/ιουλ αυγούστου/αύγουστος/αυγ σεπτεμβρίου/σεπτέμβριος/σεπ οκτωβρίου/οκτώβριος/οκτ \
νοεμβρίου/νοέμβριος/νοε δεκεμβρίου/δεκέμβριος/δεκ
januari februari mars april maj juni juli augusti september oktober november december
januar februar marts april maj juni juli august september oktober november desember/des
ocak/oca şubat/şub mart nisan/nis mayıs haziran/haz temmuz/tem ağustos/ağu eylül/eyl ekim/eki kasım/kas aralık/ara
січня/січень лютого/лютий березня/березень квітня/квітень травня/травень червня/червень липня/липень серпня/серпень \
вересня/вересень жовтня/жовтень листопада/листопад грудня/грудень
ledna/leden února/únor března/březen dubna/duben května/květen června/červen července/červenec srpna/srpen září \
října/říjen listopadu prosince/prosinec
ianuarie februarie martie aprilie mai/mai iunie iulie august septembrie octombrie noiembrie decembrie
tammikuuta/tammikuu helmikuuta/helmikuu maaliskuuta/maaliskuu huhtikuuta/huhtikuu toukokuuta/toukokuu kesäkuuta/kesäkuu \
heinäkuuta/heinäkuu elokuuta/elokuu syyskuuta/syyskuu lokakuuta/lokakuu marraskuuta/marraskuu joulukuuta/joulukuu
január február március április május június július augusztus szeptember október november december
"""
MONTHS = {
    name: number
    for line in _MONTHS.replace("\\\n", "").strip().splitlines()
    for number, names in enumerate(line.split(), 1)
    for name in names.split("/")
}

_LETTERS = r"[^\W\d_]"
_YEAR = r"(?:1[89]|20)\d\d"
_YEAR_FIRST = re.compile(rf"(?<!\d)({_YEAR})\s?[-/.年년]\s?(\d{{1,2}})\s?[-/.月월]\s?(\d{{1,2}})(?!\d)")
_COMPACT = re.compile(rf"(?<!\d)({_YEAR})(\d\d)(\d\d)(?:T?\d{{4,6}})?(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|º|ª|\.)?[\s.,-]\s*(?:de\s+|of\s+|d')?({_LETTERS}{{3,12}})[.,]?[\s,-]+(?:de\s+|del\s+)?({_YEAR})(?!\d)"
)
_MONTH_DAY = re.compile(rf"(?<!{_LETTERS})({_LETTERS}{{3,12}})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,\s*|\s+)({_YEAR})(?!\d)")
_YEAR_MONTH_DAY = re.compile(rf"(?<!\d)({_YEAR})\.?\s+({_LETTERS}{{3,12}})\.?\s+(\d{{1,2}})(?!\d)")
_NUMBERS = re.compile(rf"(?<![\d/.-])(\d{{1,2}})([/.-])(\d{{1,2}})\2({_YEAR}|\d\d)(?!\d|\2|\.\d)")
_DIGIT = re.compile(r"\d")


def dates(text: str, *, month_first: bool = False) -> Iterator[date]:
    """Yield the dates in a text, those of the least doubtful form first; `month_first` reads 03/05/2024 as in the US.

    >>> [day.isoformat() for day in dates("Published 3 May 2024, updated 2024-06-01")]
    ['2024-06-01', '2024-05-03']
    """
    if not _DIGIT.search(text):
        return
    for match in _YEAR_FIRST.finditer(text):
        yield from _day(int(match[1]), int(match[2]), int(match[3]))
    for match in _DAY_MONTH.finditer(text):
        yield from _day(int(match[3]), MONTHS.get(match[2].lower(), 0), int(match[1]))
    for match in _MONTH_DAY.finditer(text):
        yield from _day(int(match[3]), MONTHS.get(match[1].lower(), 0), int(match[2]))
    for match in _YEAR_MONTH_DAY.finditer(text):
        yield from _day(int(match[1]), MONTHS.get(match[2].lower(), 0), int(match[3]))
    for match in _NUMBERS.finditer(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        year += 0 if year > 99 else 2000 if year < 70 else 1900
        is_month_first = second > 12 or (month_first and match[2] == "/" and first <= 12)
        yield from _day(year, first, second) if is_month_first else _day(year, second, first)
        if first != second and first <= 12 and second <= 12 and match[2] == "/":  # the other reading: for dates to come
            yield from _day(year, second, first) if is_month_first else _day(year, first, second)


def written(text: str, *, month_first: bool = False) -> Iterator[date]:
    """Yield the dates in a value that is written for machines: also 20240503."""
    yield from dates(text[:100], month_first=month_first)
    for match in _COMPACT.finditer(text[:100]):
        yield from _day(int(match[1]), int(match[2]), int(match[3]))


def _day(year: int, month: int, day: int) -> Iterator[date]:
    try:
        yield date(year, month, day)
    except ValueError:
        return
