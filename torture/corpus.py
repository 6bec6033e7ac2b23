"""The corpus of hostile files: each case spoils a copy of an unspoilt run, and says which commands are given it."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robometa.storage import sealed_folder
from torture.corpus_suites import model_cases, suite_cases

Commands = Callable[[Path], list[list[str]]]


@dataclass(frozen=True)
class Case:
    """One hostile thing."""

    name: str
    make: Callable[[Path], object]
    """Spoils the content of a folder: `run`, a finished training, with its policy and checkpoints."""
    commands: Commands
    may_go_on: bool = False
    """True if the command may go on without it, as it does without lines of a table that were cut short."""


def of_policy(files: Path) -> list[list[str]]:
    """Every command that takes a policy."""
    policy = str(files / "run" / "policy")
    evaluate = ["evaluate", policy, "--worlds", "2", "--shots", "1", "--out", "out"]
    return [
        evaluate,
        ["record", policy, "--shots", "1", "--out", "film.mp4"],
        ["merge", policy, policy, "--out", "new"],
    ]


def of_run(files: Path) -> list[list[str]]:
    """Going on with a run."""
    return [["resume", str(files / "run"), "--iterations", "3", "--threads", "1"]]


def of_suite(files: Path) -> list[list[str]]:
    """Every command that takes a suite's file."""
    suite = str(files / "hostile.toml")
    policy = str(files / "run" / "policy")
    return [["suites", suite], ["evaluate", policy, "--suite", suite, "--worlds", "2", "--out", "out"]]


def of_model(files: Path) -> list[list[str]]:
    """Commands that simulate the robot of a suite's file."""
    words = ["--iterations", "1", "--tasks", "1", "--worlds", "1", "--hidden", "8", "--folder", "new", "--threads", "1"]
    return [["train", str(files / "hostile.toml"), "maml-trpo", *words]]


def cases() -> list[Case]:
    """All of them."""
    suites = (Case(name, make, of_suite) for name, make in suite_cases())
    models = (Case(name, make, of_model) for name, make in model_cases())
    return [*_pickles(), *_tables_of_tensors(), *_manifests(), *_runs(), *_odd_files(), *suites, *models]


class _Payload:
    """Payload that a pickle runs when it is loaded: it makes a folder where nothing may be made."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.canary,)


def _payloads(canary: str) -> dict[str, bytes]:
    """Wrappings of that payload that a library may unpack unasked."""
    wrapped: dict[str, bytes] = {
        f"pickle {protocol}": pickle.dumps(_Payload(canary), protocol) for protocol in (0, 2, 5)
    }
    torch.save({"weights": _Payload(canary)}, buffer := io.BytesIO())
    wrapped["torch zip"] = buffer.getvalue()
    np.save(buffer := io.BytesIO(), np.array([_Payload(canary)], dtype=object), allow_pickle=True)
    wrapped["npy"] = buffer.getvalue()
    np.savez(buffer := io.BytesIO(), weights=np.array([_Payload(canary)], dtype=object))
    wrapped["npz"] = buffer.getvalue()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        inner = base64.b64encode(wrapped["pickle 5"]).decode()
        archive.writestr("data", json.dumps({"policy_class": {":type:": "x", ":serialized:": inner}}))
        archive.writestr("pytorch_variables.pth", wrapped["torch zip"])
    wrapped["sb3 zip"] = buffer.getvalue()
    return wrapped


def _pickles() -> Iterator[Case]:
    """A payload in the place of every file, and of the policy's folder; the manifest says that all is well."""
    for kind in _payloads("x"):

        def put(files: Path, place: str, kind: str = kind) -> None:
            target = files / "run" / place
            target.write_bytes(_payloads(str(files.parent / "executed"))[kind])
            if target.parent != files / "run" and target.name != sealed_folder.MANIFEST:
                reseal(target.parent)

        def single(files: Path, name: str, kind: str = kind) -> None:
            (files / name).write_bytes(_payloads(str(files.parent / "executed"))[kind])

        for place in ("policy/tensors.safetensors", "policy/manifest.json"):
            yield Case(f"{kind} as {place}", lambda files, put=put, place=place: put(files, place), of_policy)
        yield Case(f"{kind} as run.json", lambda files, put=put: put(files, "run.json"), of_run)
        yield Case(
            f"{kind} as metrics.jsonl", lambda files, put=put: put(files, "metrics.jsonl"), of_run, may_go_on=True
        )
        yield Case(f"{kind} as all checkpoints", lambda files, put=put: _in_checkpoints(files, put), of_run)
        for ending in ("zip", "pkl", "pt", "pth", "ckpt", "npz", "npy", "joblib", "safetensors", "json", "py"):
            name = f"policy.{ending}"
            yield Case(
                f"{kind} as {name}",
                lambda files, single=single, name=name: single(files, name),
                lambda files, name=name: [["evaluate", str(files / name)], ["merge", *[str(files / name)] * 2]],
            )
        yield Case(f"{kind} as a suite", lambda files, single=single: single(files, "hostile.toml"), of_suite)


def _in_checkpoints(files: Path, put: Callable[[Path, str], None]) -> None:
    for folder in sorted((files / "run" / "checkpoints").iterdir()):
        put(files, f"checkpoints/{folder.name}/tensors.safetensors")


def reseal(folder: Path, **changes: Any) -> None:
    """Makes a folder's manifest fit its files again, as anybody can who knows how, and changes what it says."""
    manifest = sealed_folder.read_manifest(folder)
    manifest["files"] = {name: sealed_folder.sha256(folder / name) for name in manifest["files"]}
    sealed_folder.write_manifest(folder, manifest | changes)


def _tables_of_tensors() -> Iterator[Case]:
    """Tables of tensors whose header is wrong, with the right hashes."""

    def header(length: int, text: bytes, rest: bytes = b"") -> bytes:
        return struct.pack("<Q", length) + text + rest

    def of(table: object, rest: bytes = b"") -> bytes:
        text = json.dumps(table).encode()
        return header(len(text), text, rest)

    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    contents = {
        "nothing": b"",
        "a header of 2**63 bytes": header(2**63, b"{}"),
        "a header of 100 GB": header(10**11, b"{}"),
        "a header of 90 MB": header(90_000_000, b'{"a":' + b" " * 89_999_990 + b"1}"),
        "a deep header": header(200_000, b"[" * 200_000),
        "a deep table": header(len(b'{"a":' * 90_000), b'{"a":' * 90_000),
        "a tensor of 2**62 numbers": of({"w": one | {"shape": [2**31, 2**31]}}, b"1234"),
        "an empty tensor of 2**62 rows": of({"w": {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}}),
        "offsets backwards": of({"w": one | {"data_offsets": [4, 0]}}, b"1234"),
        "offsets beyond": of({"w": one | {"data_offsets": [0, 2**60]}}, b"1234"),
        "tensors that overlap": of({"a": one, "b": one}, b"1234"),
        "an unknown kind": of({"w": one | {"dtype": "PICKLE"}}, b"1234"),
        "a small kind": of({"w": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
        "names like paths": of({"../../../executed": one}, b"1234"),
        "100,000 tensors": of(
            {f"w{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
        ),
    }
    for name, content in contents.items():

        def put(files: Path, content: bytes = content) -> None:
            policy = files / "run" / "policy"
            (policy / sealed_folder.TENSORS).write_bytes(content)
            reseal(policy)

        yield Case(f"tensors: {name}", put, of_policy)


def _manifests() -> Iterator[Case]:
    """Manifests that fit their digest, and ask for something that they should not get."""
    outside, evil = "/etc/passwd", "import os\nos.mkdir({!r})\nclass Evil: pass\n"
    changes: dict[str, dict[str, Any]] = {
        "files outside": {"files": {"../../../../../../etc/passwd": "0" * 64, sealed_folder.TENSORS: "0" * 64}},
        "a file by its whole path": {"files": {outside: "0" * 64, sealed_folder.TENSORS: "0" * 64}},
        "a device as a file": {"files": {"/dev/zero": "0" * 64, sealed_folder.TENSORS: "0" * 64}},
        "a path in the middle": {"files": {"a/../../../manifest.json": "0" * 64, sealed_folder.TENSORS: "0" * 64}},
        "files of no table": {"files": ["x"]},
        "files with no hashes": {"files": {sealed_folder.TENSORS: None}},
        "pieces of a huge tensor": {"pieces": {"w": {"dtype": "float32", "shape": [2**40], "files": ["0" * 64]}}},
        "a piece outside": {"pieces": {"w": {"dtype": "float32", "shape": [1], "files": ["../" * 8 + "etc/passwd"]}}},
        "a piece for ever": {"pieces": {"w": {"dtype": "float32", "shape": [1], "files": ["0" * 64] * 100_000}}},
        "pieces of nothing": {"pieces": {"w": {"dtype": "float32", "shape": [], "files": []}}},
        "pieces of no table": {"pieces": "everything"},
        "a learner beside it": {"learner": "evil.py:Evil"},
        "a learner anywhere": {"learner": "/tmp/evil.py:Evil"},
        "a learner from a module": {"learner": "os:system"},
        "a learner of no name": {"learner": "../../x"},
        "a learner that is a table": {"learner": {"a": 1}},
        "a suite outside": {"suite_file": "../../../../../../etc/passwd"},
        "a suite that is a device": {"suite_file": "/dev/zero"},
        "a suite that is the memory": {"suite_file": "/proc/kcore"},
        "a suite that is a table": {"suite_file": {"a": 1}},
        "a name of a suite that is a table": {"suite": {"a": 1}},
        "a suite that clears the screen": {"suite_file": "\x1b[2J\x1b[1;1Hall is well.toml"},
        "a learner that clears the screen": {"learner": "\x1b[2Jmaml-trpo"},
        "no suite": {"suite": None},
        "spaces of another robot": {"spaces": {"observation": 10**12, "action": 1}},
        "spaces of no numbers": {"spaces": {"observation": [1], "action": {}}},
        "a configuration of text": {"config": "hidden"},
        "a layer of 10**9": {"config": {"hidden": [10**9]}},
        "two layers of 10**5": {"config": {"hidden": [10**5, 10**5]}},
        "a thousand layers": {"config": {"hidden": [2000] * 1000}},
        "a layer of 10**30": {"config": {"hidden": [10**30]}},
        "a layer of a fraction": {"config": {"hidden": [8.5]}},
        "layers that are no list": {"config": {"hidden": {"a": 8}}},
        "an option that is not one": {"config": {"__class__": "x"}},
        "a format to come": {"format": 99},
        "no training": {"training": {}},
        "a training in a list": {"training": ["seed"]},
        "a standard deviation of 1e308": {"config": {"initial_std": 1e308}},
        "a standard deviation of 10**30": {"config": {"initial_std": 10**30}},
        "10**5 layers": {"config": {"hidden": [1] * 10**5}},
        "another kind": {"kind": "pickle"},
    }
    for name, change in changes.items():

        def put(files: Path, change: dict[str, Any] = change) -> None:
            policy = files / "run" / "policy"
            (policy / "evil.py").write_text(evil.format(str(files.parent / "executed")), encoding="utf-8")
            manifest = sealed_folder.read_manifest(policy)
            config = {"config": manifest["config"] | change["config"]} if isinstance(change.get("config"), dict) else {}
            sealed_folder.write_manifest(policy, manifest | change | config)

        yield Case(f"manifest: {name}", put, of_policy)
    texts = {
        "deep": "[" * 200_000,
        "a deep table": '{"a":' * 100_000,
        "a long number": '{"format": ' + "9" * 10_000 + "}",
        "infinity": '{"format": Infinity}',
        "a long text": '{"format": "' + "x" * 10_000_000 + '"}',
        "a lone surrogate": '{"format": "\\ud800"}',
    }
    for name, text in texts.items():
        yield Case(
            f"manifest: {name}",
            lambda files, text=text: (files / "run" / "policy" / "manifest.json").write_text(text, encoding="utf-8"),
            of_policy,
        )


def _runs() -> Iterator[Case]:
    """Descriptions of runs that ask for what is not there, or for too much."""
    changes: dict[str, dict[str, Any]] = {
        "a learner beside it": {"learner": "evil.py:Evil"},
        "a learner anywhere": {"learner": "/tmp/evil.py:Evil", "learner_sha256": "0" * 64},
        "a suite outside": {"suite": "/etc/passwd"},
        "a suite that is the memory": {"suite": "/proc/kcore"},
        "a device that is none": {"device": "os:system"},
        "threads without end": {"torch_threads": 10**9},
        "threads below nothing": {"torch_threads": -1},
        "threads in words": {"torch_threads": "many"},
        "minutes in words": {"checkpoint_minutes": "soon"},
        "a seed in words": {"seed": "x"},
        "two layers of 10**5": {"config": {"hidden": [10**5, 10**5]}},
        "10**9 worlds": {"config": {"worlds": 10**9}},
        "10**9 tasks": {"config": {"tasks": 10**9}},
        "a configuration of text": {"config": "hidden"},
        "an engine that is none": {"engine": "os:system"},
        "an engine that clears the screen": {"engine": "\x1b[2Jcpu"},
        "a contact capacity without end": {"room": 1e308},
        "a contact capacity of 10**400": {"room": 10**400},
        "a contact capacity that is none": {"room": float("nan")},
        "versions in a list": {"versions": ["torch", "2"]},
        "versions in numbers": {"versions": {"torch": 2}},
        "10**5 versions": {"versions": {str(index): "1" for index in range(10**5)}},
        "a preset that is none": {"preset": "\x1b[2J[bold]<b>"},
        "a learner of the process": {"learner": "/proc/self/cwd/evil.py:Evil"},
    }
    for name, change in changes.items():

        def put(files: Path, change: dict[str, Any] = change) -> None:
            path = files / "run" / "run.json"
            written = json.loads(path.read_text(encoding="utf-8"))
            config = {"config": written["config"] | change["config"]} if isinstance(change.get("config"), dict) else {}
            path.write_text(json.dumps(written | change | config), encoding="utf-8")

        yield Case(f"run.json: {name}", put, of_run)
    texts = {"deep": "[" * 200_000, "a long number": '{"seed": ' + "9" * 10_000 + "}", "a list": "[]", "nothing": ""}
    for file in ("run.json", "metrics.jsonl"):
        for name, text in texts.items():
            if (file, name) != ("metrics.jsonl", "nothing"):
                yield Case(
                    f"{file}: {name}",
                    lambda files, file=file, text=text: (files / "run" / file).write_text(
                        text + "\n", encoding="utf-8"
                    ),
                    of_run,
                )


def _odd_files() -> Iterator[Case]:
    """Things in the place of a file that are none, or that never end."""

    def replace(files: Path, place: str, make: Callable[[Path], object]) -> None:
        path = files / "run" / place
        path.unlink()
        make(path)

    def sparse(path: Path) -> None:
        path.touch()
        os.truncate(path, 1 << 31 if path.name == sealed_folder.TENSORS else 1 << 36)  # the one is read and hashed

    makers: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "a folder": Path.mkdir,
        "a link to a device": lambda path: path.symlink_to("/dev/zero"),
        "a link to itself": lambda path: path.symlink_to(path),
        "gigabytes of nothing": sparse,
    }
    for name, make in makers.items():
        for place, commands in (
            ("policy/tensors.safetensors", of_policy),
            ("policy/manifest.json", of_policy),
            ("run.json", of_run),
        ):
            yield Case(
                f"{name} as {place}",
                lambda files, place=place, make=make: replace(files, place, make),
                commands,
            )
        yield Case(f"{name} as a suite", lambda files, make=make: make(files / "hostile.toml"), of_suite)
