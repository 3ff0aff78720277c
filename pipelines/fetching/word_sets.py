"""Public sets of word pairs and analogies, from a package that has them as test data; for `corpusmill ancestors`.

WordSim-353 (Finkelstein et al. 2002; CC BY 4.0), SimLex-999 (Hill et al. 2015) and Google's analogies (Mikolov et al. 2013).
The package is the one that the demo's sample needs, too.
"""

from pathlib import Path

from pipelines.contract.storage.cache import cache_for
from pipelines.fetching.package_index import Archive, extract

_FOLDER = "gensim-4.4.0/gensim/test/test_data"
_SETS = Archive(
    package="gensim",
    version="4.4.0",
    file="gensim-4.4.0.tar.gz",
    size=23_260_095,
    sha256="a3f5b626da5518e79a479140361c663089fe7998df8ba52d56e1ded71ac5bdf5",
    members={
        f"{_FOLDER}/wordsim353.tsv": "f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d",
        f"{_FOLDER}/simlex999.txt": "d5e0501971478a511430ee880bd0121e94ac701ba86d90544d83e6d2ba3db05d",
        f"{_FOLDER}/questions-words.txt": "8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36",
    },
)


def word_sets() -> Path:
    """Return the folder of the sets in the cache, fetched if they are not there. Raises FetchError."""
    return next(iter(extract(_SETS, cache_for("packages")).values())).parent
