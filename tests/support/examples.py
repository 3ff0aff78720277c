"""How many examples hypothesis draws, relative to the profile: `@many` for rare events, `@few` where one takes long,
`@fewest` where it takes seconds.

A number of its own on a test would hold in `make test-thorough`, too, where it is far too small.
"""

from hypothesis import settings

_DEFAULT = settings.default.max_examples if settings.default else 100

many = settings(max_examples=3 * _DEFAULT)
few = settings(max_examples=max(_DEFAULT // 3, 10))
fewest = settings(max_examples=max(_DEFAULT // 30, 3))
