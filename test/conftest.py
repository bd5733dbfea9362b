"""Every test session has its own ROS domain, on this machine only."""

from __future__ import annotations

import os
import random

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(random.SystemRandom().randrange(1, 60))
os.environ.setdefault('OMP_NUM_THREADS', '1')
