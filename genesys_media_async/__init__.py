"""
Thousands of Genesys Cloud media ids in, validated pre-signed download URLs out.

    async with MediaRetriever.from_env() as retriever:
        async for result in retriever.retrieve_many(ids):
            print(result.file_id, result.url if result.ok else result.error)

The names are those in `public`. They are imported with the first use of one, since the command has to prepare for
signals before that, and Python imports this file before any other of the package.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .public import *  # noqa: F403
    from .public import __all__ as __all__
    from .public import __version__ as __version__
else:

    def __getattr__(name):  # noqa: ANN001, ANN202
        from importlib import import_module

        public = import_module(".public", __name__)
        if name not in {*public.__all__, "__all__"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(public, name)

    def __dir__():  # noqa: ANN202
        return sorted({*globals(), *__getattr__("__all__")})
