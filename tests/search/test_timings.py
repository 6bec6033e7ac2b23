"""The file of a search's processor times, and the clock of its own process."""

import time
from functools import partial

import pytest

from robometa.errors import UserError
from robometa.search.timings import TIMINGS, Times, Timings, read_times
from robometa.storage.open_folder import opened


def test_the_clock_of_a_search_begins_with_it_and_not_with_its_process(tmp_path):
    while time.process_time() < 0.2:
        pass
    search = tmp_path / "s"
    search.mkdir()
    timings = Timings(search / TIMINGS, partial(opened, search))
    timings.append(Times(1.0, 0.5))
    timings.append(Times(1.0, 0.5))
    times = read_times(search)
    assert (times.training, times.beside) == (2.0, 1.0)
    assert 0 < times.driver < 0.2


def test_a_line_of_processor_times_that_a_kill_cut_short_is_removed(tmp_path):
    search = tmp_path / "s"
    search.mkdir()
    (search / TIMINGS).write_bytes(b'{"training": 1.0, "beside": 0.5, "driver": 0.0}\n{"training": 1.0, "bes')
    assert read_times(search) == Times(1.0, 0.5)
    Timings(search / TIMINGS, partial(opened, search)).append(Times(2.0, 0.25))
    times = read_times(search)
    assert (times.training, times.beside) == (3.0, 0.75)
    with (search / TIMINGS).open("ab") as file:
        file.write(b'{"training": "x"}\n')
    with pytest.raises(UserError, match=r"damaged: training must be a finite number.*remove it"):
        Timings(search / TIMINGS, partial(opened, search))
