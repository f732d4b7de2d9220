"""`python -m genesys_media_async` is the command `genesys-media`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
