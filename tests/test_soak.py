"""A run that is killed at the worst moments ends as one that is not; soak.py kills more often."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.soak import Soak

# moments of soak_child.py, and how often each comes before the kill
KILLS = [[("config", 1), ("gif", 1), ("log", 2), ("metrics", 1), ("events", 1)],
         [("data", 1), ("prune", 3)]]


@pytest.mark.slow
def test_kills_leave_what_no_kill_leaves(tmp_path):
    soak = Soak(tmp_path, steps=12)

    def killed(name, kills):
        for moment, count in kills:
            soak.kill_at(name, moment, count)
        soak.finish(name)

    with ThreadPoolExecutor(2) as pool:  # as many as there are cores, on most machines
        first = pool.submit(killed, "first", KILLS[0])
        undisturbed = pool.submit(soak.finish, "undisturbed")
        second = pool.submit(killed, "second", KILLS[1])
        for future in (first, undisturbed, second):
            future.result()
    for name in ("first", "second"):
        soak.check(name)
