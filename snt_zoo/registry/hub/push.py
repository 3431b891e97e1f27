"""Push: a bundle or a derived model into a repository, as one commit or none.

The commit names its parent, so two pushers cannot mix: the later one is refused and nothing of it stays. A
push without a change makes no commit. The card is written if there is none, written anew if it is still as
an earlier push wrote it, and else left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from snt_zoo.errors import HubConflictError, HubError, HubNotFoundError
from snt_zoo.registry.bundle.folder import FILE_LIMITS, MANIFEST
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.hub_card import is_unedited
from snt_zoo.registry.hub.layout import HUB_CARD, OWNED, TAG, check_name
from snt_zoo.registry.hub.package import Content, Package
from snt_zoo.registry.hub.redaction import redact
from snt_zoo.registry.hub.refs import RepoRef, check_repo, check_revision
from snt_zoo.registry.hub.signing import SIGNATURE, SIGNATURE_LIMIT, is_signed_by, sign
from snt_zoo.registry.hub.states import RemoteFile, RepoState, hashes_of
from snt_zoo.version import __version__

CardFate = Literal["written", "unchanged", "kept"]


@dataclass(frozen=True)
class Pushed:
    """What a push did, or would do.

    Args:
        repo: ``owner/name``.
        kind: supernet or model.
        commit: head after it; None where a dry run would make the repository or a commit.
        commit_url: its address; None likewise.
        changed: whether there is a new commit.
        files: what became of each file: added, changed, unchanged, deleted.
        card: what became of the repository's own card.
        tag: name that was given to the commit.
        created: whether the repository is new.
        dry_run: whether nothing was sent.
        notes: what a person should know.
    """

    repo: str
    kind: str
    commit: str | None
    commit_url: str | None
    changed: bool
    files: Mapping[str, str]
    card: CardFate
    tag: str | None
    created: bool
    dry_run: bool
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return asdict(self) | {"files": dict(self.files), "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class _Plan:
    add: Mapping[str, Content]
    delete: tuple[str, ...]
    fates: Mapping[str, str]
    card: CardFate


def push(
    client: HubClient,
    package: Package,
    repo: str,
    *,
    private: bool = False,
    tag: str | None = None,
    branch: str | None = None,
    message: str | None = None,
    dry_run: bool = False,
    sign_key: Path | None = None,
) -> Pushed:
    """Push a package.

    Args:
        client: of the Hub.
        package: see `pack_folder`.
        repo: ``owner/name``; made if it is not there.
        private: make it private; a public one that is there is refused.
        tag: name for the commit; never moved.
        branch: by default the main one; made if it is not there.
        message: first line of the commit.
        dry_run: only say what would be done.
        sign_key: private key in PEM that signs the manifest; see `snt_zoo.registry.hub.signing`.

    Returns:
        What was done.

    Raises:
        HubConflictError: somebody else pushed meanwhile, or the tag names another commit.
        HubError: the repository holds what snt-zoo did not write, or the Hub refuses.
        HubAccessError, HubUnavailableError: see `hub_failures`.
        SignatureError: the key cannot sign.
    """
    check_repo(repo)
    for name in (tag, branch):
        if name is not None:
            check_revision(name)
    state, created = _open(client, repo, private=private, branch=branch, dry_run=dry_run)
    plan = _plan(client, package, state, sign_key)
    changed = bool(plan.add or plan.delete)
    tagged = _check_tag(client, state, tag, changed=changed)
    notes = _notes(state, plan)
    head, url = (state.commit or None), None
    if changed and dry_run:
        head = None
    elif changed:
        title = message or f"Upload {package.name} with snt-zoo {__version__}"
        head, url, remarks = client.commit(
            repo, add=plan.add, delete=plan.delete, parent=state.commit, branch=branch, message=title
        )
        notes += remarks
    elif head is not None:
        url = redact(f"{client.endpoint}/{repo}/commit/{head}")
    if tag is not None and head is not None and not (tagged or dry_run):
        client.create_tag(repo, tag, commit=head)
    return Pushed(
        repo, package.kind, head, url, changed, plan.fates, plan.card, tag, created, dry_run, tuple(notes)
    )


def _open(
    client: HubClient, repo: str, *, private: bool, branch: str | None, dry_run: bool
) -> tuple[RepoState, bool]:
    """The state to start from, and whether the repository is (or would be) new."""
    try:
        state = client.state(RepoRef(repo))
        created = False
    except HubNotFoundError:
        if dry_run:
            return RepoState(repo, "", private, frozenset(), {}), True
        client.create(repo, private=private)
        state = client.state(RepoRef(repo))
        created = True
    if private and not state.private:
        raise HubError(
            f"{repo} is there and public, so --private cannot be kept: make it private in its settings, or "
            "choose another name"
        )
    if branch is None or branch == "main":
        return state, created
    if branch not in client.branches(repo):
        if branch in client.tags(repo):
            raise HubError(f"{repo}: {branch} is a tag, and a tag does not move: name a branch")
        if dry_run:
            return state, created
        client.create_branch(repo, branch)
    return client.state(RepoRef(repo, branch)), created


def _plan(client: HubClient, package: Package, state: RepoState, sign_key: Path | None) -> _Plan:
    there = state.files
    for name in there:
        check_name(name, what=state.repo)  # nobody could pull it
    foreign = sorted(set(there) & {*package.files} - {HUB_CARD})
    if foreign and MANIFEST not in there:
        raise HubError(
            f"{state.repo} holds {', '.join(foreign)} that snt-zoo did not write: choose another repository"
        )
    files = dict(package.files)
    card, fate = package.card(state.repo).encode("utf-8"), _fate(client, package, state)
    if fate == "kept":
        files.pop(HUB_CARD, None)
    else:
        files[HUB_CARD] = card
        fate = "unchanged" if _is_same(card, there.get(HUB_CARD)) else "written"
    fates, add = {}, {}
    signed = _signed(client, package, state, sign_key)
    if signed == "kept":
        fates[SIGNATURE] = "unchanged"
    elif signed is not None:
        files[SIGNATURE] = signed
    for name, content in sorted(files.items()):
        old = there.get(name)
        fates[name] = "added" if old is None else "unchanged" if _is_same(content, old) else "changed"
        if fates[name] != "unchanged":
            add[name] = content
    stale = tuple(sorted(name for name in there if name in OWNED - {HUB_CARD} and name not in files | fates))
    return _Plan(add, stale, fates | dict.fromkeys(stale, "deleted"), fate)


def _fate(client: HubClient, package: Package, state: RepoState) -> CardFate:
    """Whether the card that is there is its owner's."""
    old = state.files.get(HUB_CARD)
    if old is None or _is_same(package.card(state.repo).encode("utf-8"), old):
        return "written"
    if old.size > FILE_LIMITS[HUB_CARD]:
        return "kept"
    raw = client.read(state.repo, state.commit, HUB_CARD, limit=FILE_LIMITS[HUB_CARD])
    return "written" if is_unedited(raw.decode("utf-8", "replace")) else "kept"


def _signed(
    client: HubClient, package: Package, state: RepoState, key: Path | None
) -> bytes | Literal["kept"] | None:
    """The new signature, or that the one there still holds; None if the manifest is to have none.

    Without a key the signature of another manifest is deleted, that of the same one is left.
    """
    manifest, there = package.files[MANIFEST], state.files.get(SIGNATURE)
    assert isinstance(manifest, bytes)
    same = there is not None and _is_same(manifest, state.files.get(MANIFEST))
    if key is None:
        return "kept" if same else None
    if same and there is not None and there.size <= SIGNATURE_LIMIT:
        raw = client.read(state.repo, state.commit, SIGNATURE, limit=SIGNATURE_LIMIT)
        if is_signed_by(manifest, raw, key):
            return "kept"
    return sign(manifest, key)


def _is_same(content: Content, old: RemoteFile | None) -> bool:
    return old is not None and hashes_of(content).are_of(old)


def _check_tag(client: HubClient, state: RepoState, tag: str | None, *, changed: bool) -> bool:
    """Whether the tag names the head already.

    Asked before anything is sent: a tag that is taken would be refused only after the commit.
    """
    if tag is None or not state.commit:
        return False
    taken = client.tags(state.repo).get(tag)
    if taken is not None and (changed or taken != state.commit):
        raise HubConflictError(
            f"{state.repo}: the tag {tag} names the commit {taken[:8]} already, and a tag does not move: "
            "choose another one; nothing was pushed"
        )
    return taken is not None


def _notes(state: RepoState, plan: _Plan) -> list[str]:
    if plan.card == "kept" and TAG not in state.tags:
        return [
            f"the card of {state.repo} is its own and has no tag {TAG}: `snt-zoo sync` will not find it; add "
            f"`tags: [{TAG}]` and `library_name: {TAG}` to it"
        ]
    return []
