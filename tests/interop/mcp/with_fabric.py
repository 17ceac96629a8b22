"""with_fabric.py BUILD COMMAND…: runs COMMAND with a fabric of its own in the environment, and IFAB_IFCTL; its exit status."""
import os
import subprocess
import sys

from rig import Fabric

fabric = Fabric(sys.argv[1])
try:
    status = subprocess.run(sys.argv[2:], env={**os.environ, **fabric.env, "IFAB_IFCTL": fabric.ifctl}, check=False, timeout=300).returncode
finally:
    fabric.close()
sys.exit(status)
