import sys

from models.subset_selection.cli import main

sys.exit(main())
