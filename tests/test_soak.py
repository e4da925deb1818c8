"""A run that is killed at the worst moments ends as one that is not; soak.py kills more often."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.soak import VAE, Soak

# moments in moments.py, and how often each comes before the kill
KILLS = {"config": 1, "data": 1, "metrics": 1, "prune": 2}


@pytest.mark.slow
def test_kills_leave_what_no_kill_leaves(tmp_path):
    soak = Soak(tmp_path, 12, VAE)
    with ThreadPoolExecutor(1) as pool:
        undisturbed = pool.submit(soak.finish, "undisturbed")
        for moment, count in KILLS.items():
            soak.kill_at("killed", moment, count)
        soak.finish("killed")
        undisturbed.result()
    soak.check("killed")
