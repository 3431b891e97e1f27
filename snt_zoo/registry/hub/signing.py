"""Signatures by a key, in the format of OpenSSF Model Signing: who made it, not only that it arrived whole.

What is signed is the manifest, which has the sha256 of every other file. `manifest.json.sig` beside it is a
Sigstore bundle as `model_signing sign key manifest.json` writes it, so that
`model_signing verify key manifest.json --signature manifest.json.sig --public_key KEY` checks it without
snt-zoo. Only keys on elliptic curves, in PEM files: no certificate, no transparency log, no network.

The library is an extra: `pip install "snt-zoo[sign]"`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snt_zoo.errors import SignatureError
from snt_zoo.registry.bundle.folder import MANIFEST

SIGNATURE = f"{MANIFEST}.sig"
SIGNATURE_LIMIT = 100_000  # bytes


def sign(manifest: bytes, key: Path) -> bytes:
    """A signature of a manifest.

    Args:
        manifest: as it is in the repository.
        key: private key in PEM, not encrypted (with a password model-signing 1.1 fails).

    Raises:
        SignatureError: the key cannot be read, or the library is not there.
    """
    with _files(manifest) as (path, signature):
        config = _library().signing.Config()
        try:
            config.use_elliptic_key_signer(private_key=key).sign(path, signature)
        except (ValueError, TypeError, OSError) as error:
            raise SignatureError(
                f"cannot sign with {key}: expected a private key on an elliptic curve in PEM, without a "
                f"password (`openssl ecparam -name prime256v1 -genkey -noout`), found: {error}"
            ) from None
        return signature.read_bytes()


def check(manifest: bytes, signature: bytes, key: Path, *, what: str) -> None:
    """Raise unless a signature is of this manifest and by this key.

    Args:
        manifest: as it was fetched.
        signature: likewise; anything may be in it.
        key: public key in PEM.
        what: where both are from, for the message.

    Raises:
        SignatureError: it is not, the key cannot be read, or the library is not there.
    """
    verifying = _library().verifying
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (ValueError, TypeError, OSError) as error:
        raise SignatureError(
            f"{key} is no public key on an elliptic curve in PEM ({error}): `openssl ec -in KEY -pubout` "
            "writes the one of a private key"
        ) from None
    with _files(manifest) as (path, file):
        file.write_bytes(signature)
        try:
            verifier.verify(path, file)
        except Exception as error:  # the library's parsers of outside bytes raise what they like
            raise SignatureError(
                f"{what}: {SIGNATURE} is not a signature of its manifest by {key} ({type(error).__name__}): "
                "do not use it; ask its owner which key it was signed with"
            ) from None


def public_key(key: Path) -> bytes:
    """The public key of a private one, in PEM.

    Raises:
        SignatureError: the key cannot be read, or the library is not there.
    """
    _library()
    from cryptography.hazmat.primitives import serialization

    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError, OSError) as error:
        raise SignatureError(f"cannot read the private key {key}: {error}") from None
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def is_signed_by(manifest: bytes, signature: bytes, key: Path) -> bool:
    """Whether a signature is what `sign` would say again; it differs in its bits each time.

    Args:
        manifest: as it is to be in the repository.
        signature: that is there.
        key: private key in PEM.
    """
    with tempfile.TemporaryDirectory() as folder:
        public = Path(folder) / "public.pem"
        public.write_bytes(public_key(key))
        try:
            check(manifest, signature, public, what="")
        except SignatureError:
            return False
    return True


@contextlib.contextmanager
def _files(manifest: bytes) -> Iterator[tuple[Path, Path]]:
    """The manifest in a file of its own name, which is signed too, and a place for the signature."""
    with tempfile.TemporaryDirectory(prefix="snt-zoo-sign-") as folder:
        path = Path(folder) / MANIFEST
        path.write_bytes(manifest)
        yield path, Path(folder) / SIGNATURE


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise SignatureError(
            f'signatures need the library model-signing ({error}): pip install "snt-zoo[sign]"'
        ) from None
    return model_signing
