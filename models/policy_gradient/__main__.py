import sys

from models.policy_gradient.cli import main

sys.exit(main())
