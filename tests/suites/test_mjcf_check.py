"""Models that MuJoCo's parser reads more laxly than an XML parser does, or that ask for too much."""

import pytest

from robometa.suites import mjcf_check
from robometa.suites.mjcf_check import look_through

BODY = "<worldbody><geom size='1'/></worldbody>"
MUCH = "1000000000"


def written(folder, text, name="robot.xml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder, inner):
    return look_through(written(folder, f"<mujoco>{inner}</mujoco>"))[0]


def test_a_plain_model_passes(tmp_path):
    assert faults(tmp_path, BODY) == []


@pytest.mark.parametrize(
    "text",
    [
        f'<mujoco model="&x;">{BODY}<include file="../outside.xml"/></mujoco>',
        f"<mujoco>{BODY}",
        f"<mujoco><worldbody><geom size=1/></worldbody>{BODY}</mujoco>",
        f'<?xml version="1.0" encoding="latin-1"?><mujoco model="\udcfc">{BODY}</mujoco>',
    ],
)
def test_a_file_that_is_no_xml_is_refused_unread(tmp_path, text):
    path = tmp_path / "robot.xml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found, files = look_through(path)
    assert [fault.partition(":")[0] for fault in found] == ["robot.xml is not well-formed XML"]
    assert [file.name for file in files] == ["robot.xml"]


def test_another_encoding_is_refused(tmp_path):
    path = tmp_path / "robot.xml"
    path.write_bytes(f"<mujoco>{BODY}</mujoco>".encode("utf-16"))
    assert look_through(path)[0] == ["robot.xml is no model: it has a null byte, or a document type"]


@pytest.mark.parametrize("number", ["1000000000", "+1000000000", " +1000000000", "1e9", "1000000000.0", "+1.0E+9"])
def test_a_count_is_read_in_every_form_that_mujoco_reads(tmp_path, number):
    copies = faults(tmp_path, f'<worldbody><replicate count="{number}"/></worldbody>')
    assert f"<replicate count={number!r}> of robot.xml is too much: at most 1000 allowed" in copies
    assert faults(tmp_path, f'<size nkey="{number}"/>') == [
        f"<size nkey={number!r}> of robot.xml is too much: at most 10000 allowed"
    ]


@pytest.mark.parametrize("number", ["0x10", "1,000", "٣", "many", "&#49;e9", "1e99999999999"])
def test_a_count_in_no_known_form_is_refused(tmp_path, number):
    assert len(faults(tmp_path, f'<size nuserdata="{number}"/>')) == 1


@pytest.mark.parametrize("number", ["1K", "1000M", "+1G", "-1", "1000000k"])
def test_memory_within_the_limit_passes(tmp_path, number):
    assert faults(tmp_path, f'<size memory="{number}"/>') == []


@pytest.mark.parametrize(
    "inner",
    [
        f'<sensor><user dim="{MUCH}"/></sensor>',
        f'<sensor><contact num="{MUCH}"/></sensor>',
        f'<actuator><general actdim="{MUCH}"/></actuator>',
        f'<default><general actdim="{MUCH}"/></default>',
        f'<actuator><motor nsample="{MUCH}"/></actuator>',
        '<worldbody><flexcomp count="21 21 21"/></worldbody>',
        '<worldbody><flexcomp cellcount="21 21 21"/></worldbody>',
        f'<worldbody><flexcomp><pin range="0 {MUCH}"/></flexcomp></worldbody>',
        f'<worldbody><composite count="{MUCH} 1"/></worldbody>',
        '<worldbody><composite><skin subgrid="100"/></composite></worldbody>',
        f'<worldbody><camera resolution="{MUCH} 1"/></worldbody>',
        f'<custom><numeric size="{MUCH}"/></custom>',
        f'<asset><hfield nrow="{MUCH}" ncol="1"/></asset>',
        f'<asset><texture width="{MUCH}"/></asset>',
        f'<asset><texture gridsize="{MUCH} 1"/></asset>',
        f'<asset><mesh builtin="sphere" params="{MUCH}"/></asset>',
        f'<size nkey="{MUCH}"/>',
        f'<size nuserdata="{MUCH}"/>',
        f'<size njmax="{MUCH}"/>',
        f'<size nconmax="{MUCH}"/>',
        f'<size nstack="{MUCH}"/>',
        f'<size nuser_geom="{MUCH}"/>',
        '<size memory="2G"/>',
        '<size memory="2000000k"/>',
        '<size memory="18446744073709551615E"/>',
        f'<option iterations="{MUCH}"/>',
        f'<option ls_iterations="{MUCH}"/>',
        '<option iterations="1000" ls_iterations="1000"/>',
        f'<option noslip_iterations="{MUCH}"/>',
        f'<option ccd_iterations="{MUCH}"/>',
        f'<option sdf_initpoints="{MUCH}"/>',
        f'<compiler><lengthrange inttotal="{MUCH}"/></compiler>',
        f'<visual><quality shadowsize="{MUCH}"/></visual>',
        f'<visual><quality numslices="{MUCH}"/></visual>',
        f'<visual><global offwidth="{MUCH}"/></visual>',
        f'<Size nkey="{MUCH}"/>',
        '<extension><plugin plugin="mujoco.pid"/></extension>',
        '<option timestep="nan"/>',
        '<option timestep="-INF"/>',
        '<option gravity="0 0 Infinity"/>',
        '<option gravity="0 0 1e999"/>',
        f'<option gravity="0 0 {"9" * 400}"/>',
        '<custom><numeric data="0 nan(1)"/></custom>',
        '<visual><rgba joint="nan 0 0 0"/></visual>',
    ],
)
def test_what_asks_for_too_much_is_named_with_its_value(tmp_path, inner):
    found = faults(tmp_path, inner)
    assert len(found) == 1
    assert found[0].startswith("<")
    assert " of robot.xml" in found[0]


@pytest.mark.parametrize(
    "inner",
    [
        '<worldbody><body name="nan"><joint name="inf" range="-1e30 1e30"/></body></worldbody>',
        '<custom><text name="t" data="nan and inf"/></custom>',
        '<option iterations="200" ls_iterations="50" timestep="1e-3"/>',
        '<size nuser_geom="1" nkey="5" njmax="5000" nconmax="2000" nstack="600000"/>',
    ],
)
def test_what_robots_ask_for_passes(tmp_path, inner):
    assert faults(tmp_path, inner) == []


def test_copies_are_counted_across_files(tmp_path):
    geoms = "<mujoco><replicate count='300'><geom size='1'/></replicate></mujoco>"
    written(tmp_path, geoms, "part.xml")
    inner = '<worldbody><replicate count="900"><include file="part.xml"/></replicate></worldbody>'
    assert faults(tmp_path, inner) == ["robot.xml makes more than 100000 elements or 5000 bodies, copies included"]


def test_attached_models_are_counted_with_what_they_attach(tmp_path):
    for level in range(8):
        below = f'<asset><model name="m" file="m{level + 1}.xml"/></asset>'
        below += "<worldbody>" + '<attach model="m" body="b"/>' * 10 + "</worldbody>"
        written(tmp_path, f"<mujoco>{below if level < 7 else BODY}</mujoco>", f"m{level}.xml")
    fault = "m0.xml makes more than 100000 elements or 5000 bodies, copies included"
    assert look_through(tmp_path / "m0.xml")[0] == [fault]


@pytest.mark.parametrize(
    "inner",
    [
        "<worldbody>" + "<body/>" * 5001 + "</worldbody><actuator><motor/></actuator>",
        f"<worldbody><replicate count='800'><body>{'<body/>' * 6}</body></replicate></worldbody>",
        '<worldbody><flexcomp count="16 16 16"/><composite count="1000"/></worldbody>',
    ],
)
def test_bodies_are_limited_more_than_other_elements_because_compiling_takes_their_square(tmp_path, inner):
    [fault] = faults(tmp_path, inner)
    assert "5000 bodies" in fault


@pytest.mark.parametrize(
    "inner",
    [
        f"<worldbody>{'<body/>' * 3500}{'<geom/>' * 30_001}</worldbody>",
        f"<worldbody>{('<body>' + '<geom/>' * 6 + '</body>') * 4000}</worldbody>",
        f"<size nuser_body='300'/><worldbody>{'<body/>' * 4000}</worldbody>",
    ],
)
def test_bodies_and_other_elements_have_limits_of_their_own(tmp_path, inner):
    assert not faults(tmp_path, inner)


def test_user_numbers_are_counted_times_elements(tmp_path):
    inner = '<size nuser_geom="1000"/><worldbody>' + "<geom size='1'/>" * 11_000 + "</worldbody>"
    assert faults(tmp_path, inner) == ["<size> of robot.xml asks for more than 10000000 of the user's numbers (nuser_)"]


@pytest.mark.parametrize("tag", ["include", "INCLUDE", "model"])
def test_a_circle_of_files_is_refused(tmp_path, tag):
    written(tmp_path, f'<mujoco><{tag} file="robot.xml"/></mujoco>', "other.xml")
    assert faults(tmp_path, f'<{tag} file="other.xml"/>') == ["robot.xml includes or attaches itself"]


def test_a_long_chain_of_files_is_refused(tmp_path):
    for index in range(40):
        written(tmp_path, f'<mujoco><include file="part{index + 1}.xml"/></mujoco>', f"part{index}.xml")
    assert look_through(tmp_path / "part0.xml")[0] == [
        "part16.xml is the 17th of files that include or attach one another"
    ]


@pytest.mark.parametrize(
    "inner",
    [
        '<include file="../outside.xml"/>',
        '<Include file="../outside.xml"/>',
        '<include file="link.xml"/>',
        '<include file="circle.xml"/>',
        '<asset><model file="../outside.xml"/></asset>',
        '<asset><mesh file="../outside.stl"/></asset>',
        '<asset><mesh file="..\\outside.stl"/></asset>',
        '<asset><mesh file="/etc/passwd"/></asset>',
        '<asset><mesh file="link.xml"/></asset>',
        '<asset><texture fileup="../outside.png"/></asset>',
        '<asset><hfield file="../outside.png"/></asset>',
        '<asset><skin file="../outside.skn"/></asset>',
        '<worldbody><flexcomp file="../outside.msh"/></worldbody>',
        '<compiler meshdir=".."/><asset><mesh file="outside.stl"/></asset>',
        '<link><visual><geometry><mesh filename="../outside.stl"/></geometry></visual></link>',
        '<link><visual><geometry><mesh filename="package://robot/outside.stl"/></geometry></visual></link>',
    ],
)
def test_files_outside_of_the_folder_are_refused(tmp_path, inner):
    folder = tmp_path / "inside"
    folder.mkdir()
    written(tmp_path, "<mujoco/>", "outside.xml")
    (folder / "link.xml").symlink_to("../outside.xml")
    (folder / "circle.xml").symlink_to("circle.xml")
    found = faults(folder, inner)
    assert len(found) == 1
    assert found[0].startswith("<")
    assert found[0].endswith("of robot.xml names a file that is not in the model's folder")


def test_namespaces_hide_nothing(tmp_path):
    text = '<mujoco xmlns="urn:x"><include file="../outside.xml"/></mujoco>'
    assert len(look_through(written(tmp_path, text))[0]) == 1


def test_files_beside_an_included_one_are_found_and_read_once(tmp_path):
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", '<mujoco><asset><mesh file="m.stl"/></asset></mujoco>', "part.xml")
    (tmp_path / "sub" / "m.stl").write_bytes(b"solid")
    model = mjcf_check.read_model(written(tmp_path, '<mujoco><include file="sub/part.xml"/></mujoco>'))
    assert model.faults == []
    assert sorted(model.places) == ["robot.xml", "sub/m.stl", "sub/part.xml"]
    (tmp_path / "sub" / "m.stl").write_bytes(b"another")
    assert model.content[model.places["sub/m.stl"]] == b"solid"


def test_too_many_bytes_in_all_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mjcf_check, "MAX_TOTAL", 1000)
    (tmp_path / "m.stl").write_bytes(b"x" * 1000)
    found = faults(tmp_path, '<asset><mesh file="m.stl"/></asset>')
    assert len(found) == 1
    assert found[0].startswith("m.stl is too long")
