import sys

from models.mixture.cli import main

sys.exit(main())
