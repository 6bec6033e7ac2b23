"""Hardware that a command may use."""

import pytest

from robometa.compute.hardware import Hardware
from robometa.errors import UserError


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"torch_threads": 1025}, "torch_threads must be from 1 to 1024, not 1025"),
        ({"contact_capacity": 0.0}, "contact_capacity must be above 0"),
        ({"contact_capacity": 1001.0}, "at most 1000, not 1001"),
    ],
)
def test_a_number_out_of_its_range_is_refused(asked, message):
    with pytest.raises(UserError, match=message):
        Hardware(**asked)
