"""Task runners by their setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from models.errors import SettingsError
from tasks.spread_settings import SpreadSettings


@contextmanager
def one_server() -> Iterator[None]:
    """Has the workers use the server of this process, where that is a temporary one.

    Each of them would start its own, whose runs nobody sees, and which would stay for ever when its worker is killed.
    """
    if PREFECT_API_URL.value():
        yield
        return
    server = SubprocessASGIServer()
    if not server.running:
        server.start()
    with temporary_settings(updates={PREFECT_API_URL: server.api_url}):
        yield


def task_runner_of(settings: SpreadSettings) -> TaskRunner[Any]:
    """What runs the tasks of a flow run.

    Raises:
        SettingsError: the package for it is not installed.
    """
    try:
        if settings.runner == "dask":
            return _dask(settings)
        if settings.runner == "ray":
            return _ray(settings)
    except ImportError as error:
        raise SettingsError(
            f"task runner {settings.runner} needs {error.name}",
            f"the extra {settings.runner}",
            f"Run pip install 'sortline[{settings.runner}]'.",
        ) from error
    return ThreadPoolTaskRunner(max_workers=settings.workers)


def _dask(settings: SpreadSettings) -> TaskRunner[Any]:
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.address:
        return DaskTaskRunner(address=settings.address)
    # One thread each: the tasks have threads of their own. No dashboard: it would listen on a port.
    return DaskTaskRunner(
        cluster_kwargs={"n_workers": settings.workers, "threads_per_worker": 1, "dashboard_address": None}
    )


def _ray(settings: SpreadSettings) -> TaskRunner[Any]:
    from prefect_ray.task_runners import RayTaskRunner

    own = {"num_cpus": settings.workers, "include_dashboard": False}
    runner: TaskRunner[Any] = RayTaskRunner(
        address=settings.address or None, init_kwargs={} if settings.address else own
    )
    return runner
