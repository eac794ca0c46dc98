import sys

from models.decoupled_straight_through.cli import main

sys.exit(main())
