import sys

from models.sparse_regression.cli import main

sys.exit(main())
