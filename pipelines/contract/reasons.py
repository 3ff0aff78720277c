"""Closed lists of reasons: every document, record or character that does not get through is counted under one of them."""

from enum import StrEnum


class DropReason(StrEnum):
    """Why a document was dropped. Every drop is a row of a drops table."""

    # read: the record is a document, but yields no text
    UNREADABLE = "unreadable"  # the record is broken: bad framing, bad XML, truncated payload
    CUT_OFF = "cut_off"  # the file breaks off here; the rest is lost
    UNDECODABLE = "undecodable"  # no known encoding turns the bytes into text
    REPEATED_KEY = "repeated_key"  # a record with the key of an earlier one of its source
    EMPTY = "empty"  # nothing is left after extraction, normalisation or cuts
    NOT_TEXT = "not_text"  # a file of another type that calls itself text: a PDF, an image, an archive
    NO_MAIN_TEXT = "no_main_text"  # a web page in which the extractor finds no text worth keeping
    EXTRACTION_FAILED = "extraction_failed"  # the extractor refused this record
    OPTED_OUT_NOINDEX = "opted_out_noindex"  # the page says noindex, and sources.respect has it; so below
    OPTED_OUT_NOAI = "opted_out_noai"
    OPTED_OUT_TDM = "opted_out_tdm"
    BOILERPLATE_ONLY = "boilerplate_only"  # a disambiguation page, a list of links: no prose
    # exclude
    EXCLUDED = "excluded"  # named in the config's [exclude]: a takedown
    BLOCKED = "blocked"  # on one of the block lists in the config's [exclude]; the detail has the category
    # normalize
    GARBLED = "garbled"  # replacement characters beyond the configured share
    # deduplicate
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SAME_URL = "same_url"  # a better document has the same address
    ALREADY_PUBLISHED = "already_published"  # an earlier corpus, named in the detail, has it
    # decontaminate
    CONTAMINATED = "contaminated"  # holds an item of a benchmark
    # rejudge
    UNFIT_AFTER_CUT = "unfit_after_cut"  # what repeats and decontaminate left breaks a rule, or is in another language
    # language
    LANGUAGE_UNWANTED = "language_unwanted"
    LANGUAGE_UNCERTAIN = "language_uncertain"
    LANGUAGE_MIXED = "language_mixed"  # in several languages, and the config drops these
    # quality: the rules of C4 (TFDS c4_utils) and Gopher (arXiv 2112.11446, A1)
    C4_LOREM_IPSUM = "c4_lorem_ipsum"
    C4_CURLY_BRACKET = "c4_curly_bracket"
    C4_BAD_WORDS = "c4_bad_words"
    C4_FEW_SENTENCES = "c4_few_sentences"
    GOPHER_WORD_COUNT = "gopher_word_count"
    GOPHER_WORD_LENGTH = "gopher_word_length"
    GOPHER_SYMBOLS = "gopher_symbols"
    GOPHER_BULLETS = "gopher_bullets"
    GOPHER_ELLIPSES = "gopher_ellipses"
    GOPHER_ALPHABETIC = "gopher_alphabetic"
    GOPHER_STOP_WORDS = "gopher_stop_words"
    GOPHER_DUPLICATE_LINES = "gopher_duplicate_lines"
    GOPHER_DUPLICATE_PARAGRAPHS = "gopher_duplicate_paragraphs"
    GOPHER_TOP_NGRAM = "gopher_top_ngram"
    GOPHER_DUPLICATE_NGRAMS = "gopher_duplicate_ngrams"
    FINEWEB_PUNCTUATION = "fineweb_punctuation"
    FINEWEB_SHORT_LINES = "fineweb_short_lines"
    FINEWEB_DUPLICATE_LINES = "fineweb_duplicate_lines"
    FINEWEB_LIST = "fineweb_list"
    REFINEDWEB_LINES = "refinedweb_lines"  # lines of capitals, numbers, counters, single words
    POOR_SIGNS = "poor_signs"  # several signs at once of a page that is no running text
    OWN_RULE = "own_rule"  # a rule of the config's quality.own; `rule` and the detail have its name
    LOW_QUALITY = "low_quality"  # the classifier's score is below its threshold
    # private
    PRIVATE_DATA = "private_data"  # more private data than [private] allows
    # tokens
    NO_TOKENS = "no_tokens"


class SkipReason(StrEnum):
    """Why a record of the input is not a document. The reader counts skipped records; they have no drop row."""

    NAMESPACE = "namespace"  # a wiki page outside the wanted namespaces
    REDIRECT = "redirect"
    RECORD_TYPE = "record_type"  # a WARC record that is not a response: request, metadata, warcinfo
    REVISIT = "revisit"  # a WARC revisit: its payload is another record's
    HTTP_STATUS = "http_status"  # not 200
    CONTENT_TYPE = "content_type"  # not text
    XML = "xml"  # XML that is no page: a feed, a sitemap, data
    FILE_TYPE = "file_type"  # a file that the source does not read; its bytes are not read
    EMPTY_FILE = "empty_file"  # a file of no byte


class PageCount(StrEnum):
    """What is counted of web pages when their text is extracted. Characters are those that are not white space."""

    PAGES = "pages"
    VISIBLE_CHARACTERS = "visible_characters"  # of the text that a browser would show
    KEPT_CHARACTERS = "kept_characters"  # of them, those in the extracted text
    FALLBACKS = "fallbacks"  # pages for which the extractor's second way was taken
    WITHOUT_MAIN_TEXT = "without_main_text"


class Change(StrEnum):
    """Why characters were added to or removed from a document that stays."""

    ENCODING = "encoding"  # mojibake repaired
    COMPOSITION = "composition"  # Unicode NFC
    CONTROL = "control"  # control and other invisible characters
    WHITESPACE = "whitespace"
    OTHER_LANGUAGES = "other_languages"  # lines in other languages than most of the document
    LINES = "lines"  # lines removed by a line rule
    LINE_RULES = "line_rules"  # lines that C4's or RefinedWeb's rules name
    REPEATED_LINES = "repeated_lines"  # lines that many documents have
    REPEATED_PARAGRAPHS = "repeated_paragraphs"
    REPEATED_SUBSTRINGS = "repeated_substrings"  # runs of words that a better document has too
    CONTAMINATION = "contamination"  # runs of words of a benchmark's text
    # Private data under a mask; the mask's own characters are added under the same name.
    PRIVATE_SECRET = "private_secret"
    PRIVATE_IBAN = "private_iban"
    PRIVATE_CARD = "private_card"
    PRIVATE_NATIONAL_ID = "private_national_id"
    PRIVATE_EMAIL = "private_email"
    PRIVATE_IP = "private_ip"
    PRIVATE_PHONE = "private_phone"
    PRIVATE_COORDINATES = "private_coordinates"
    PRIVATE_URL = "private_url"
    PRIVATE_PERSON = "private_person"


# Changes of a text that was judged before: what they leave must be judged once more.
CUTS = frozenset({Change.REPEATED_LINES, Change.REPEATED_PARAGRAPHS, Change.REPEATED_SUBSTRINGS, Change.CONTAMINATION})
