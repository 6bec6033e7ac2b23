"""Models that MuJoCo's parser reads more laxly than an XML parser does, or whose numbers it reads in more forms."""

import pytest

from robometa.suites.mjcf_check import look_through

BODY = "<worldbody><geom size='1'/></worldbody>"


def written(folder, text):
    path = folder / "robot.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plain_model_passes(tmp_path):
    assert look_through(written(tmp_path, f"<mujoco>{BODY}</mujoco>"))[0] == []


@pytest.mark.parametrize(
    "text",
    [
        f'<mujoco model="&x;">{BODY}<include file="../outside.xml"/></mujoco>',
        f"<mujoco>{BODY}",
        f"<mujoco><worldbody><geom size=1/></worldbody>{BODY}</mujoco>",
    ],
)
def test_a_file_that_is_no_xml_is_refused_unread(tmp_path, text):
    faults, files = look_through(written(tmp_path, text))
    assert [fault.partition(":")[0] for fault in faults] == ["robot.xml is not well-formed XML"]
    assert [file.name for file in files] == ["robot.xml"]


@pytest.mark.parametrize("number", ["1000000000", "+1000000000", " +1000000000", "1e9", "1000000000.0", "+1.0E+9"])
def test_a_count_is_read_in_every_form_that_mujoco_reads(tmp_path, number):
    copies = f'<mujoco><worldbody><replicate count="{number}"/></worldbody></mujoco>'
    assert (
        "<replicate> of robot.xml makes 1e+09 of what may be 1000 at the most"
        in look_through(written(tmp_path, copies))[0]
    )
    keys = f'<mujoco><size nkey="{number}"/></mujoco>'
    assert look_through(written(tmp_path, keys))[0] == [f"<size nkey={number!r}> of robot.xml is too much"]
