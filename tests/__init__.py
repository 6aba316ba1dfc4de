"""Tests of AgentCom, run by trial.  A warning of our own modules is an error.

Trial collects the warnings of a test and raises those that it did not expect
again at its end, under these filters; the module is then told by its path.
"""

import warnings

warnings.filterwarnings("error", module=r"(.*/)?agentcom[./]")
