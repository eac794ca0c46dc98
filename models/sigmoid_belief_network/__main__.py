import sys

from models.sigmoid_belief_network.cli import main

sys.exit(main())
