"""Detached signatures of a bundle's manifest: who made it, besides what is in it. The keys are Ed25519."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from models.artifacts.durable import make_folder, read_plain, storage_errors, sync_folder, write_durably
from models.errors import ArtifactMissing, SettingsError, SignatureRefused
from models.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_FILE = "manifest.sig"
# The reader of bundles knows this module, so the name of its manifest stands here a second time; a test compares them.
_MANIFEST_FILE = "manifest.json"
# Signed with the bytes, so that a signature made for another purpose is never one of a bundle.
_PURPOSE = b"sortline-bundle-v1\n"
_SIGNATURE_LIMIT_BYTES, _FILE_LIMIT_BYTES = 4096, 1 << 20

Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Reports show the first 16 digits, and what they show must do to revoke a key.
FingerprintStart = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{16,64}$", to_lower=True)]


class SignatureSettings(Settings):
    """Whose bundles are believed."""

    require: bool = Field(
        default=False,
        title="Require a signature",
        description="Refuse a bundle that no trusted key has signed. Off, one whose signature was taken away passes.",
    )
    trusted_keys: tuple[str, ...] = Field(
        default=(),
        title="Trusted keys",
        description="Paths of public key files (.pub). Old and new are both listed while keys change.",
    )
    revoked: tuple[FingerprintStart, ...] = Field(
        default=(),
        title="Revoked keys",
        description="Fingerprints, or their first 16 digits at least, that are refused even where they are trusted.",
    )


UNSIGNED = SignatureSettings()


class _Signature(BaseModel):
    """What the signature file holds; which key it names is a claim until the signature is checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["ed25519"]
    key: Fingerprint
    signature: str


def make_key(path: Path) -> str:
    """Fingerprint of a new key: the private one at `path`, for its owner only, the public one at `<path>.pub`.

    Raises:
        SettingsError: one of the two files is already there; both stay as they are.
        StorageError: they cannot be written; neither is left behind.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - takes time

    key, public_path = Ed25519PrivateKey.generate(), Path(f"{path}.pub")
    private, public = _pem_files(key)
    descriptor = _create_private(path)
    try:
        _fill_private(descriptor, path, private)
        write_durably(public_path, public, exclusive=True)
    except BaseException as error:
        # A private key without its public one is of no use, and would be in the way of the next try.
        path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise _taken(public_path) from error
        raise
    return fingerprint(key.public_key())


def sign_manifest(folder: Path, key_path: Path, expected_sha256: str = "") -> str:
    """Fingerprint of the key that has now signed the bundle in `folder`; an earlier signature is replaced.

    Only the manifest is read: whether the files are those of the manifest is for `read_bundle` to say, before.

    Args:
        folder: of the bundle.
        key_path: file of the private key.
        expected_sha256: of the manifest that was read before; another one is not signed.

    Raises:
        SettingsError: the key file is missing, is not a private Ed25519 key, or can be read by others.
        ArtifactMissing: there is no manifest.
        SignatureRefused: the manifest is a link, no regular file, or far too large.
        StorageError: the signature cannot be written.
    """
    key = _load_private(key_path)
    manifest = _read_plain(folder / _MANIFEST_FILE, _FILE_LIMIT_BYTES)
    if manifest is None:
        raise ArtifactMissing(f"no bundle at {folder}", f"a folder with {_MANIFEST_FILE}", "Check the path.")
    if expected_sha256 and hashlib.sha256(manifest).hexdigest() != expected_sha256:
        raise _refused(folder, "has another manifest than was read before")
    made_by = fingerprint(key.public_key())
    text = base64.b64encode(key.sign(_PURPOSE + manifest)).decode()
    content = _Signature(algorithm="ed25519", key=made_by, signature=text)
    write_durably(folder / SIGNATURE_FILE, content.model_dump_json(indent=1).encode())
    return made_by


def check_signature(folder: Path, manifest: bytes, settings: SignatureSettings) -> str | None:
    """Fingerprint of the trusted key that signed exactly these bytes; None where nothing was proven.

    None is the answer only where no signature is required: there is none, or no key is trusted, by which it could be
    judged. A signature that is malformed, or names a revoked key, is refused even then.

    Args:
        folder: the bundle's, where the signature is.
        manifest: its manifest as the caller has read and hashed it; it is not read again.
        settings: whose signature is asked for.

    Raises:
        SignatureRefused: it is required and absent, malformed, of an unknown or revoked key, or of other bytes; or it
            is required and no key is trusted.
        SettingsError: a trusted key cannot be read, or is no public Ed25519 key.
        StorageError: the signature cannot be read.
    """
    if settings.require and not settings.trusted_keys:
        found = f"bundle {folder} must be signed, and no key is trusted"
        raise SignatureRefused(found, "a trusted key", "Name its public file in trusted_keys.")
    trusted = {fingerprint(key): key for key in map(_load_public, map(Path, settings.trusted_keys))}
    content = _read_plain(folder / SIGNATURE_FILE, _SIGNATURE_LIMIT_BYTES)
    if content is not None:
        return _judge(folder, manifest, content, trusted, settings.revoked)
    if settings.require:
        raise _refused(folder, "has no signature")
    return None


def fingerprint(key: Ed25519PublicKey) -> str:
    """Hex sha256 of a public key's 32 bytes, its name everywhere."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _judge(
    folder: Path, manifest: bytes, content: bytes, trusted: dict[str, Ed25519PublicKey], revoked: tuple[str, ...]
) -> str | None:
    """The key that made a signature; None where no key is trusted."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - takes time

    claim, signature = _parse(folder, content)
    if claim.startswith(revoked):
        raise _refused(folder, f"has a signature that names the revoked key {claim[:16]}")
    if not trusted:
        return None
    if claim not in trusted:
        raise _refused(folder, f"has a signature that names the unknown key {claim[:16]}")
    try:
        trusted[claim].verify(signature, _PURPOSE + manifest)
    except InvalidSignature:
        raise _refused(folder, f"has a manifest that key {claim[:16]} did not sign") from None
    return claim


def _parse(folder: Path, content: bytes) -> tuple[str, bytes]:
    """The key that a signature names, and its bytes."""
    try:
        parsed = _Signature.model_validate_json(content)
        return parsed.key, base64.b64decode(parsed.signature, validate=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # The names of fields that a stranger made up are not repeated.
        raise _refused(folder, f"has a malformed signature: {first['msg']}") from None
    except ValueError:
        raise _refused(folder, "has a malformed signature: it is not base64") from None


def _read_plain(path: Path, at_most_bytes: int) -> bytes | None:
    """The bytes of a file in the bundle; None where the name is free."""
    data = read_plain(path, at_most_bytes, lambda what: _refused(path.parent, f"has a {path.name} that is {what}"))
    if data is not None and len(data) > at_most_bytes:
        raise _refused(path.parent, f"has a {path.name} of more than {at_most_bytes} bytes")
    return data


def _load_public(path: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - takes time
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - takes time

    data, _ = _read_key(path)
    with _key_errors(path, "public"):
        key = load_pem_public_key(data)
        if isinstance(key, Ed25519PublicKey):
            return key
        raise TypeError


def _load_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - takes time
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - takes time

    data, mode = _read_key(path)
    with _key_errors(path, "private"):
        key = load_pem_private_key(data, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError
    if mode & 0o077:
        raise SettingsError(
            f"private key {path} can be read by others (mode {mode:04o})",
            "a key for its owner only",
            f"Type `chmod 600 {shlex.quote(str(path))}`.",
        )
    return key


@contextmanager
def _key_errors(path: Path, kind: Literal["public", "private"]) -> Iterator[None]:
    """Turns what reading a key raises into a sentence; a TypeError is a key behind a password or of another kind."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - takes time

    try:
        yield
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The parser's own words are dropped: they may quote the file.
        raise SettingsError(
            f"{path} is not a {kind} Ed25519 key",
            "a PEM file without a password" + (", its name ends in .pub" if kind == "public" else ""),
            "Name that file, or make a new key.",
        ) from None


def _read_key(path: Path) -> tuple[bytes, int]:
    """A key file's bytes and permissions; a link is followed, as secrets are often mounted by one."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT_BYTES), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError) as error:
        found = f"key file {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise SettingsError(found, "an Ed25519 key in PEM form", "Check the path.") from error


def _create_private(path: Path) -> int:
    """Descriptor of a new, empty file; a write by way of another name would be open to all for a moment."""
    make_folder(path.parent)
    with storage_errors(path, "written"):
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise _taken(path) from error


def _fill_private(descriptor: int, path: Path, data: bytes) -> None:
    with storage_errors(path, "written"):
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)


def _pem_files(key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """The private and the public file of a key."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - takes time

    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return private, key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


def _taken(path: Path) -> SettingsError:
    return SettingsError(f"{path} is already there", "a free name: keys are never replaced", "Choose another path.")


def _refused(folder: Path, what: str) -> SignatureRefused:
    return SignatureRefused(
        f"bundle {folder} {what}",
        "a signature of exactly this manifest by a trusted key",
        "Restore the bundle, or check its files and sign it anew.",
    )
