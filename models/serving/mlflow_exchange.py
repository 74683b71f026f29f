"""Bundles to and from MLflow's registry, by its client alone; the extra `mlflow` installs it.

A version in MLflow holds the files of one bundle, as they are. What comes from there is checked as any bundle, and
waits for a person: who may write to that registry does not decide what scores here.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from models.artifacts.durable import TEMPORARY_PREFIX, make_folder, storage_errors, write_durably
from models.errors import ArtifactMissing, SettingsError
from models.serving.bundle import MANIFEST_FILE, Bundle, read_bundle
from models.serving.history import Deed
from models.serving.registry import Registry

EXPERIMENT = "sortline"
_FOLDER, _DIGEST_TAG = "bundle", "sortline.bundle_sha256"


def export_champion(registry: Registry, name: str, uri: str) -> str:
    """Version under which MLflow's registry holds the champion; a champion that it holds already is not put twice.

    Args:
        registry: holds the champion.
        name: of the model, here and there.
        uri: of MLflow's tracking server or database.

    Raises:
        SettingsError: there is no champion, mlflow is not installed, or it cannot reach `uri`.
    """
    bundle = registry.open_champion(name)
    with _client(uri) as client:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.tags.get(_DIGEST_TAG) == bundle.sha256:
                return str(version.version)
        return _put(client, name, bundle)


def import_version(registry: Registry, name: str, source: tuple[str, str], deed: Deed) -> Bundle:
    """The bundle of a version, now the candidate of the model.

    Args:
        registry: takes the bundle.
        name: of the model, here and there.
        source: URI of MLflow, and the version.
        deed: who imports, when and why; where from is added.

    Raises:
        SettingsError: there is no such version, or its bundle is of a model with another name.
        ArtifactError: what the version holds is no bundle that may be believed.
    """
    uri, version = source
    place = registry.folder(name)
    make_folder(place)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=place) as there:
        bundle = read_bundle(_fetch(name, uri, version, Path(there)))
        if bundle.card.name != name:
            raise SettingsError(
                f"version {version} holds a model named {bundle.card.name}", name, "Import it under its own name."
            )
        _keep(bundle.folder, registry.bundle_folder(name, bundle.sha256))
    kept = registry.open_bundle(name, bundle.sha256)
    reason = f"{deed.reason}: version {version} of {_without_password(uri)}"
    registry.propose(name, kept, deed._replace(reason=reason), "imported")
    return kept


def _put(client: Any, name: str, bundle: Bundle) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    run = client.create_run(experiment_id, run_name=f"{name}-{bundle.sha256[:12]}")
    client.log_artifacts(run.info.run_id, str(bundle.folder), _FOLDER)
    client.log_metric(run.info.run_id, "macro_f1", bundle.scorecard.served.macro_f1.value)
    client.set_terminated(run.info.run_id)
    source = f"{run.info.artifact_uri}/{_FOLDER}"
    tags = {_DIGEST_TAG: bundle.sha256}
    return str(client.create_model_version(name, source, run.info.run_id, tags=tags).version)


def _fetch(name: str, uri: str, version: str, target: Path) -> Path:
    """Folder below `target` with the files of a version."""
    with _client(uri) as client:
        source = client.get_model_version(name, version).source
        artifacts = importlib.import_module("mlflow.artifacts")
        folder = artifacts.download_artifacts(artifact_uri=source, dst_path=str(target), tracking_uri=uri)
    found = sorted(Path(folder).rglob(MANIFEST_FILE))
    if len(found) != 1:
        raise ArtifactMissing(
            f"version {version} of {name} holds {len(found)} files {MANIFEST_FILE}",
            "one bundle",
            "Export it with `sortline models export-mlflow`.",
        )
    return found[0].parent


def _keep(folder: Path, target: Path) -> None:
    """Copies a bundle; its manifest is last, for a folder without one is no bundle."""
    with storage_errors(folder, "read"):
        paths = sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST_FILE)
        for path in paths:
            write_durably(target / path.name, path.read_bytes())


@contextmanager
def _client(uri: str) -> Iterator[Any]:
    """MLflow's client; its errors become ours.

    Raises:
        SettingsError: mlflow is not installed, or refuses.
    """
    # A tool that sorts pictures offline tells nobody of it.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        mlflow = importlib.import_module("mlflow")
    except ImportError as error:
        raise SettingsError(
            "package mlflow-skinny is not installed", "the extra mlflow", "Run pip install 'sortline[mlflow]'."
        ) from error
    try:
        yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except mlflow.exceptions.MlflowException as error:
        raise SettingsError(
            f"MLflow at {_without_password(uri)} refused: {str(error).splitlines()[0]}",
            "a registry that can be read and written",
            "Check --uri, the name and the version.",
        ) from error


def _without_password(uri: str) -> str:
    """The address as it may be written down."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
