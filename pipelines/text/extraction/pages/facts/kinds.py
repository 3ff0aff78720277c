"""What a page says that it is: its og:type and schema.org types, as one of `schema.SITE_TYPES`."""

from collections.abc import Iterable, Sequence

from pipelines.text.extraction.pages.facts import linked_data
from pipelines.text.extraction.pages.facts.found import Found
from pipelines.text.extraction.pages.facts.linked_data import Object

# schema.org's types by their endings, the most telling first.
_TYPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("forum", ("DiscussionForumPosting",)),
    ("question", ("QAPage", "Question", "FAQPage")),
    ("recipe", ("Recipe",)),
    ("news", ("NewsArticle", "ReportageNewsArticle", "OpinionNewsArticle", "AnalysisNewsArticle", "LiveBlogPosting")),
    ("blog", ("BlogPosting", "Blog")),
    ("documentation", ("TechArticle", "APIReference")),
    ("review", ("Review", "ReviewNewsArticle", "ClaimReview")),
    ("article", ("Article", "SocialMediaPosting", "Report", "HowTo")),
    ("product", ("Product", "ProductGroup", "IndividualProduct", "Vehicle", "Car")),
    ("video", ("VideoObject", "Movie", "TVSeries", "TVEpisode", "Clip")),
    ("audio", ("AudioObject", "MusicRecording", "MusicAlbum", "PodcastEpisode", "PodcastSeries")),
    ("book", ("Book", "Audiobook", "Chapter")),
    ("course", ("Course",)),
    ("dataset", ("Dataset",)),
    ("software", ("SoftwareApplication", "WebApplication", "MobileApplication", "VideoGame", "SoftwareSourceCode")),
    ("event", ("Event", "BusinessEvent", "MusicEvent", "SportsEvent", "EducationEvent")),
    ("job", ("JobPosting",)),
    ("image", ("ImageObject", "ImageGallery", "Photograph")),
    ("listing", ("CollectionPage", "SearchResultsPage", "ItemList", "OfferCatalog")),
    ("place", ("LocalBusiness", "Restaurant", "Hotel", "Place", "Store", "TouristAttraction")),
    ("person", ("ProfilePage", "Person")),
    ("organization", ("AboutPage", "ContactPage")),
    ("page", ("WebPage", "WebSite", "ItemPage")),
)
_OF_TYPE = {name: kind for kind, names in _TYPES for name in names}
_OPEN_GRAPH = (
    "article:article product:product video:video book:book event:event place:place recipe:recipe blog:blog image:image news:news"
    " website:page profile:person music:audio game:software product.group:listing product.item:product business.business:place"
    " restaurant.restaurant:place restaurant:place hotel:place company:organization newsarticle:news post:blog forum:forum"
    " discussion:forum question:question job:job course:course object:page"
)
_OF_OPEN_GRAPH = {said: kind for said, kind in (pair.split(":") for pair in _OPEN_GRAPH.split())}
_RANKS = {kind: rank for rank, (kind, _) in enumerate(_TYPES)}
_VAGUE = ("page", "organization", "person", "place", "listing", "image", "video", "audio")  # an og:type says more


def site_type(found: Found, described: Sequence[Object]) -> str | None:
    """Return the type of a page, or None if it says none."""
    kinds = {_OF_TYPE[name] for value in described for name in linked_data.types(value) if name in _OF_TYPE}
    kinds |= set(_of_items(found.types))
    best = min(kinds, key=_RANKS.__getitem__, default=None)
    if best is not None and best not in _VAGUE:
        return best
    said = next(found.meta("og:type"), "").strip().lower()
    social = _OF_OPEN_GRAPH.get(said) or _OF_OPEN_GRAPH.get(said.split(".")[0].split(":")[0])
    if social is not None and (social != "page" or best is None):
        return social
    return best


def _of_items(types: Iterable[str]) -> Iterable[str]:
    """Yield the kinds of microdata at the page's root: "https://schema.org/NewsArticle"."""
    for text in types:
        for name in text.split():
            kind = _OF_TYPE.get(name.rstrip("/").rsplit("/", 1)[-1])
            if kind is not None:
                yield kind
