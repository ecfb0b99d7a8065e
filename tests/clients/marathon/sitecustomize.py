"""Names that Python 3.10 took away from `collections` and that marathon 0.13.0 uses."""

import collections
import collections.abc

for name in ("Mapping", "MutableMapping", "Sequence", "Callable", "Iterable", "Set", "Hashable", "Container"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
