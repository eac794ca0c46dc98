import sys

from models.discrete_vae.cli import main

sys.exit(main())
