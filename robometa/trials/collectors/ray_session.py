"""The connection to Ray: a cluster of this machine alone, or a running one."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from robometa.compute.parallel import processors
from robometa.compute.python_process import python_path
from robometa.errors import TrainingError, UserError
from robometa.escape import word

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "PYTHONSAFEPATH": "1"}
"""Environment of every connection: no usage statistics, no hint about GPUs, no import from the current folder."""
MODE, TOKENS = "RAY_AUTH_MODE", ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables of Ray's authentication."""
LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Address of a cluster of this machine; Ray replaces 127.0.0.1 by that of a network."""
LEAST_STORE, BATCHES = 128 * 2**20, 4
"""Least memory of the object store of a cluster of this machine, bytes, and the batches that it holds."""


class Session:
    """A connection to Ray, for as long as it is open."""

    def __init__(self, address: str | None, batch_bytes: int) -> None:
        """Starts a cluster of this machine, or connects to a running one.

        A process that is connected already keeps its connection.

        Args:
            address: `HOST:PORT` of a running cluster from one of its machines, or `ray://HOST:PORT` of its client
                server from elsewhere; None to start a cluster.
            batch_bytes: Size of a batch's rollouts.

        Raises:
            UserError: If Ray is not installed, a running cluster's token is missing, or there is no connection.
        """
        if address is not None:
            _require_token(address)
        own = {MODE: "token", TOKENS[0]: _token(), "RAY_worker_niceness": "0"}  # the training waits for them
        with ExitStack() as stack:
            stack.enter_context(_environment(QUIET | ({MODE: _mode()} if address else own)))
            self.ray = _imported()
            if not self.ray.is_initialized():
                _read_again()
                self._connect(stack, address, batch_bytes)
                stack.callback(self.ray.shutdown)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Ends the connection, and the cluster if this session started it."""
        self._stack.close()

    def _connect(self, stack: ExitStack, address: str | None, batch_bytes: int) -> None:
        """Connects.

        Raises:
            UserError: If it is not possible.
        """
        folder = Path(tempfile.mkdtemp(prefix="robometa-ray-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "ray").mkdir()  # Ray writes to it without making it
        # Without a working folder, Ray's workers would import from the current one.
        (folder / "empty").mkdir()
        runtime: dict[str, Any] = {"working_dir": str(folder / "empty")}
        settings: dict[str, Any] = {"address": address}
        if address is None:
            runtime["env_vars"] = {"PYTHONPATH": python_path()}
            settings = {
                "address": "local",
                "num_cpus": processors(),
                "num_gpus": 0,
                "include_dashboard": False,
                "object_store_memory": max(LEAST_STORE, BATCHES * batch_bytes),
                "_node_ip_address": LOOPBACK,
                "_temp_dir": str(folder),
            }
        try:
            self.ray.init(log_to_driver=False, logging_level="ERROR", runtime_env=runtime, **settings)
        except Exception as error:  # a node that takes too long to start is a plain one
            self.ray.shutdown()
            what = "Ray cannot be started" if address is None else f"no connection to the cluster {address}"
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"{what}: {first}") from None


def apart_from(machines: Collection[str]) -> dict[str, str]:
    """Returns the label selector that keeps a task off some machines, by Ray's names of them."""
    return {"ray.io/node-id": f"!in({','.join(sorted(machines))})"} if machines else {}


def result_of(ray: Any, task: Any) -> Any:
    """Returns the result of a task; an error of Ray's that is left means that the task was lost.

    Raises:
        TrainingError: If its machine or the cluster failed.
        Exception: The error that the task met, which would come again.
    """
    errors = ray.exceptions
    try:
        return ray.get(task)
    except errors.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise TrainingError(f"a machine of the cluster failed: {str(error).strip().splitlines()[-1]}") from None
    except (errors.RaySystemError, errors.RuntimeEnvSetupError) as error:
        raise TrainingError(f"the cluster failed: {str(error).strip().splitlines()[0]}") from None


def _mode() -> str:
    """Returns the kind of authentication of a running cluster: the user's, otherwise a token."""
    return os.environ.get(MODE, "token")


def _require_token(address: str) -> None:
    """Checks that the user has the token of a running cluster, or says that it has none.

    Raises:
        UserError: If neither.
    """
    if _mode() == "token" and not any(os.environ.get(name) for name in TOKENS):
        raise UserError(
            f"the cluster {word(address)} needs its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH; {MODE}=disabled "
            "is for a cluster without one, on which whoever reaches it runs code"
        )


@cache
def _token() -> str:
    """Returns the token of this process's own clusters."""
    return secrets.token_hex(32)


def _imported() -> Any:
    """Imports Ray.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--collect ray needs the ray extra: pip install 'robometa[ray]'") from None
    return ray


def _read_again() -> None:
    """Lets Ray read the variables of its authentication again; it has kept them since its import."""
    from ray import _raylet

    raylet: Any = _raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of the environment inside the block."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
