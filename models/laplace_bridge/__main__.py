import sys

from models.laplace_bridge.cli import main

sys.exit(main())
