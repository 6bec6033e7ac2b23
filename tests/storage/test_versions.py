"""The code that a result comes from is named, with git and without."""

import subprocess

from robometa.storage.versions import installed, revision, sources_hash, versions


def package(root):
    (root / "mine" / "inside").mkdir(parents=True)
    (root / "mine" / "__init__.py").write_text("one = 1\n")
    (root / "mine" / "inside" / "two.py").write_text("two = 2\n")
    return root / "mine"


def test_the_hash_of_the_sources_depends_on_names_and_contents_alone(tmp_path):
    first, second = package(tmp_path / "a"), package(tmp_path / "b")
    known = sources_hash(first)
    assert known == sources_hash(second)
    assert len(known) == 16
    (second / "notes.txt").write_text("no source")
    assert known == sources_hash(second)
    (second / "inside" / "two.py").write_text("two = 3\n")
    assert known != sources_hash(second)
    (second / "inside" / "two.py").write_text("two = 2\n")
    (second / "inside" / "two.py").rename(second / "two.py")
    assert known != sources_hash(second)


def test_the_revision_is_that_of_the_packages_own_checkout(tmp_path):
    mine = package(tmp_path)
    assert revision(mine) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run([*git, "init"], check=True, capture_output=True)
    subprocess.run([*git, "commit", "--allow-empty", "-m", "empty"], check=True, capture_output=True)
    assert revision(mine) is None  # a checkout that has not this package
    subprocess.run([*git, "add", "."], check=True, capture_output=True)
    subprocess.run([*git, "commit", "-m", "all"], check=True, capture_output=True)
    clean = revision(mine)
    assert clean is not None
    assert len(clean) == 12
    (tmp_path / "notes.txt").write_text("no source")
    assert revision(mine) == clean
    (mine / "inside" / "two.py").write_text("two = 3\n")
    assert revision(mine) == f"{clean}-dirty"


def test_every_run_names_its_code_and_processor():
    known = versions()
    assert known["sources"] == sources_hash()
    assert known["processor"]


def test_a_package_on_the_search_path_alone_is_not_installed():
    assert installed("numpy")[0].isdigit()
    assert installed("robometa-that-nobody-installed") == "not installed"
