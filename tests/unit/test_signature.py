from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import ArtifactMissing, SettingsError, SignatureRefused
from models.serving.bundle import MANIFEST_FILE
from models.serving.signature import SIGNATURE_FILE, SignatureSettings, check_signature, make_key, sign_manifest
from models.settings import parse_settings

MANIFEST = b'{\n "model.onnx": {"sha256": "00ff", "size_bytes": 3}\n}'
NOTHING_ASKED = SignatureSettings()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys `old` and `new`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("old", "new"):
        make_key(folder / name)
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest that `old` has signed; not to be changed."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / MANIFEST_FILE).write_bytes(MANIFEST)
    sign_manifest(folder, keys / "old")
    return folder


@pytest.fixture
def bundle(signed: Path, tmp_path: Path) -> Path:
    """A signed folder of the test's own."""
    return Path(shutil.copytree(signed, tmp_path / "bundle"))


def trusting(keys: Path, *names: str, revoked: tuple[str, ...] = ()) -> SignatureSettings:
    return SignatureSettings(require=True, trusted_keys=tuple(str(keys / f"{n}.pub") for n in names), revoked=revoked)


def claimed_key(folder: Path) -> str:
    return str(json.loads((folder / SIGNATURE_FILE).read_bytes())["key"])


def claim(folder: Path, **changes: str) -> None:
    """Alters fields of the signature file."""
    content = json.loads((folder / SIGNATURE_FILE).read_bytes())
    (folder / SIGNATURE_FILE).write_text(json.dumps(content | changes))


def test_signature_of_a_trusted_key_gives_its_fingerprint(bundle: Path, keys: Path) -> None:
    made_by = check_signature(bundle, MANIFEST, trusting(keys, "old"))
    assert made_by == claimed_key(bundle)
    assert len(made_by) == 64
    before = (bundle / SIGNATURE_FILE).read_bytes()
    assert sign_manifest(bundle, keys / "old") == made_by
    assert (bundle / SIGNATURE_FILE).read_bytes() == before
    assert {path.name for path in bundle.iterdir()} == {MANIFEST_FILE, SIGNATURE_FILE}


def test_signature_file_has_the_documented_form(bundle: Path) -> None:
    content = json.loads((bundle / SIGNATURE_FILE).read_bytes())
    assert set(content) == {"algorithm", "key", "signature"}
    assert content["algorithm"] == "ed25519"


def test_signature_is_of_the_bytes_given_and_not_of_the_file(bundle: Path, keys: Path) -> None:
    (bundle / MANIFEST_FILE).unlink()
    assert check_signature(bundle, MANIFEST, trusting(keys, "old"))
    with pytest.raises(SignatureRefused, match="did not sign") as error:
        check_signature(bundle, MANIFEST + b" ", trusting(keys, "old"))
    assert error.value.exit_code == 74


@settings(deadline=None)
@given(position=st.integers(0, len(MANIFEST) - 1), flip=st.integers(1, 255))
def test_any_flipped_byte_of_the_manifest_is_refused(signed: Path, keys: Path, position: int, flip: int) -> None:
    altered = bytearray(MANIFEST)
    altered[position] ^= flip
    with pytest.raises(SignatureRefused, match="did not sign"):
        check_signature(signed, bytes(altered), trusting(keys, "old"))


@settings(deadline=None, max_examples=50)
@given(
    content=st.binary(max_size=200)
    | st.recursive(st.none() | st.text("a\\"), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_other_content_is_refused_and_never_crashes(keys: Path, content: bytes) -> None:
    folder = keys.parent / "hostile"
    folder.mkdir(exist_ok=True)
    (folder / SIGNATURE_FILE).write_bytes(content)
    with pytest.raises(SignatureRefused, match="malformed"):
        check_signature(folder, MANIFEST, trusting(keys, "old"))


def test_other_key_is_refused_also_where_it_claims_to_be_the_trusted_one(bundle: Path, keys: Path) -> None:
    for require in (True, False):
        only_new = trusting(keys, "new").model_copy(update={"require": require})
        with pytest.raises(SignatureRefused, match=f"unknown key {claimed_key(bundle)[:16]}"):
            check_signature(bundle, MANIFEST, only_new)
    old = claimed_key(bundle)
    sign_manifest(bundle, keys / "new")
    claim(bundle, key=old)
    with pytest.raises(SignatureRefused, match="did not sign"):
        check_signature(bundle, MANIFEST, trusting(keys, "old", "new"))


def test_two_trusted_keys_allow_rotation(bundle: Path, keys: Path) -> None:
    both = trusting(keys, "old", "new")
    old = check_signature(bundle, MANIFEST, both)
    assert sign_manifest(bundle, keys / "new") != old
    assert check_signature(bundle, MANIFEST, both) == claimed_key(bundle) != old


@pytest.mark.parametrize("digits", [16, 64])
def test_revoked_key_is_refused_though_trusted(bundle: Path, keys: Path, digits: int) -> None:
    shown = claimed_key(bundle)[:digits].upper()
    for asked in (trusting(keys, "old", revoked=(shown,)), SignatureSettings(revoked=(shown,))):
        with pytest.raises(SignatureRefused, match="revoked key"):
            check_signature(bundle, MANIFEST, asked)
    assert sign_manifest(bundle, keys / "new")
    assert check_signature(bundle, MANIFEST, trusting(keys, "old", "new", revoked=(shown,)))


def test_revoked_that_is_no_fingerprint_is_wrong_use() -> None:
    with pytest.raises(SettingsError, match=r"signature\.revoked\.0: .*pattern"):
        parse_settings({"signature": SignatureSettings}, ["signature.revoked=abc"])
    with pytest.raises(ValidationError, match="pattern"):
        SignatureSettings(revoked=("0" * 15,))


def test_absent_signature_is_refused_only_where_required(bundle: Path, keys: Path) -> None:
    (bundle / SIGNATURE_FILE).unlink()
    with pytest.raises(SignatureRefused, match="has no signature"):
        check_signature(bundle, MANIFEST, trusting(keys, "old"))
    assert check_signature(bundle, MANIFEST, NOTHING_ASKED) is None
    assert check_signature(bundle, MANIFEST, trusting(keys, "old").model_copy(update={"require": False})) is None


def test_without_trusted_keys_nothing_is_proven(bundle: Path) -> None:
    assert check_signature(bundle, MANIFEST, NOTHING_ASKED) is None
    with pytest.raises(SignatureRefused, match="no key is trusted"):
        check_signature(bundle, MANIFEST, SignatureSettings(require=True))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b"[" * 4096, b'{"algorithm": "ed25519"}', b'{"key": "\\ud800"}'],
    ids=["empty", "cut", "list", "not-utf8", "deep", "fields-missing", "surrogate"],
)
def test_malformed_signature_is_refused_even_where_none_is_required(bundle: Path, content: bytes) -> None:
    (bundle / SIGNATURE_FILE).write_bytes(content)
    with pytest.raises(SignatureRefused, match="malformed"):
        check_signature(bundle, MANIFEST, NOTHING_ASKED)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"signature": "no base64!"}, "not base64"),
        ({"signature": "é"}, "not base64"),
        ({"signature": ""}, "did not sign"),
        ({"signature": "AAAA"}, "did not sign"),
        ({"algorithm": "none"}, "malformed"),
        ({"key": "A" * 64}, "malformed"),
        ({"key": "../\n"}, "malformed"),
        ({"extra": "field"}, "malformed"),
    ],
)
def test_wrong_field_is_refused(bundle: Path, keys: Path, changes: dict[str, str], word: str) -> None:
    claim(bundle, **changes)
    with pytest.raises(SignatureRefused, match=word):
        check_signature(bundle, MANIFEST, trusting(keys, "old"))


def test_link_folder_pipe_and_oversized_signature_are_refused(bundle: Path, keys: Path) -> None:
    path, good = bundle / SIGNATURE_FILE, (bundle / SIGNATURE_FILE).read_bytes()
    path.write_bytes(good + b" " * (4096 - len(good)))
    assert check_signature(bundle, MANIFEST, trusting(keys, "old"))
    path.write_bytes(good + b" " * (4097 - len(good)))
    _refuses(bundle, keys, "more than 4096 bytes")
    path.rename(bundle / "elsewhere")
    path.symlink_to("elsewhere")
    _refuses(bundle, keys, "is a link")
    (bundle / "elsewhere").unlink()
    _refuses(bundle, keys, "is a link")
    path.unlink()
    path.mkdir()
    _refuses(bundle, keys, "not a regular file")
    path.rmdir()
    os.mkfifo(path)
    _refuses(bundle, keys, "not a regular file")


def _refuses(bundle: Path, keys: Path, word: str) -> None:
    for asked in (trusting(keys, "old"), NOTHING_ASKED):
        with pytest.raises(SignatureRefused, match=word):
            check_signature(bundle, MANIFEST, asked)


def test_signing_replaces_a_link_and_does_not_follow_it(bundle: Path, keys: Path) -> None:
    victim = bundle.parent / "victim"
    victim.write_bytes(b"mine")
    (bundle / SIGNATURE_FILE).unlink()
    (bundle / SIGNATURE_FILE).symlink_to(victim)
    sign_manifest(bundle, keys / "old")
    assert victim.read_bytes() == b"mine"
    assert check_signature(bundle, MANIFEST, trusting(keys, "old"))


def test_signing_without_a_plain_manifest_is_refused(bundle: Path, keys: Path) -> None:
    (bundle / MANIFEST_FILE).rename(bundle / "elsewhere")
    with pytest.raises(ArtifactMissing, match="no bundle at"):
        sign_manifest(bundle, keys / "old")
    (bundle / MANIFEST_FILE).symlink_to("elsewhere")
    with pytest.raises(SignatureRefused, match=r"manifest\.json that is a link"):
        sign_manifest(bundle, keys / "old")


def test_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = make_key(tmp_path / "deep" / "key")
    finally:
        os.umask(before)
    assert len(made) == 64
    assert (tmp_path / "deep" / "key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["key", "key.pub"]


@pytest.mark.parametrize("name", ["key", "key.pub"])
def test_existing_key_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(SettingsError, match=f"{name} is already there"):
        make_key(tmp_path / "key")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"mine")]


def test_key_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "target")
    with pytest.raises(SettingsError, match="already there"):
        make_key(tmp_path / "key")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644])
def test_key_that_others_can_read_is_refused_with_what_to_type(bundle: Path, tmp_path: Path, mode: int) -> None:
    key = tmp_path / "my key"
    make_key(key)
    key.chmod(mode)
    with pytest.raises(SettingsError, match=rf"read by others \(mode {mode:04o}\).*chmod 600 '.*my key'"):
        sign_manifest(bundle, key)


def test_missing_or_wrong_private_key_is_a_sentence(bundle: Path, keys: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        sign_manifest(bundle, tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        sign_manifest(bundle, tmp_path)
    with pytest.raises(SettingsError, match="not a private Ed25519 key"):
        sign_manifest(bundle, keys / "old.pub")
    for path in _foreign_keys(tmp_path):
        with pytest.raises(SettingsError, match="not a private Ed25519 key"):
            sign_manifest(bundle, path)


def _foreign_keys(folder: Path) -> list[Path]:
    """A key of another kind, and one behind a password."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    (folder / "curve").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
        )
    )
    (folder / "locked").write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"word")
        )
    )
    return [folder / "curve", folder / "locked"]


def test_trusted_file_that_is_no_public_key_is_a_sentence(bundle: Path, keys: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pub").write_text("ssh-ed25519 AAAA")
    for path in (tmp_path / "text.pub", keys / "old", *_foreign_keys(tmp_path)):
        with pytest.raises(SettingsError, match="not a public Ed25519 key"):
            check_signature(bundle, MANIFEST, SignatureSettings(trusted_keys=(str(path),)))
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        check_signature(bundle, MANIFEST, SignatureSettings(trusted_keys=(str(tmp_path / "nowhere.pub"),)))
