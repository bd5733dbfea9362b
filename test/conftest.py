"""Every test session has its own ROS domain, on this machine only."""

from __future__ import annotations

import os
import random
from pathlib import Path

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
# What the nodes have, for the nodes that tests make in their own process.
PROFILE = Path(__file__).parents[1] / 'config' / 'fastdds.xml'
for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
    os.environ[name] = str(PROFILE)
os.environ['ROS_DOMAIN_ID'] = str(random.SystemRandom().randrange(1, 60))
os.environ.setdefault('OMP_NUM_THREADS', '1')
