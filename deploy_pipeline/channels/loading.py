"""Reading channels from a tree: one file, one channel by name, or all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from posixpath import dirname, splitext

from deploy_pipeline.channels.channel import Channel, check_channel, read_channel_document
from deploy_pipeline.channels.deploy_file import DEPLOY_FILE, DeployFile, read_deploy_file
from deploy_pipeline.channels.document import Document
from deploy_pipeline.channels.faults import Fault, refuse, shown, suggestion
from deploy_pipeline.channels.section import Files
from deploy_pipeline.channels.tree import Tree
from deploy_pipeline.errors import RefusedError

_ENDINGS = (".yaml", ".yml")


def load_deploy_file(tree: Tree) -> DeployFile:
    """What ``deploy.yaml`` at the top of the tree says, or the defaults; ChannelFaults if it is wrong."""
    deploy_file, faults = read_deploy_file(tree)
    if deploy_file is None:
        refuse(faults)
    return deploy_file


def load_channels(tree: Tree, deploy_file: DeployFile | None = None) -> dict[str, Channel]:
    """All channels of the tree by name, in the order of their names; ``deploy_file`` defaults to that of the tree.

    A tree without channel files has no channels, unless its ``deploy.yaml`` says where they are. Raises ChannelFaults
    with every fault of every file, ``deploy.yaml`` included.
    """
    given, faults = (deploy_file, []) if deploy_file else read_deploy_file(tree)
    documents = list(_documents(tree, given or DeployFile()))
    # Where the sources of a faulty deploy.yaml would lie is unknown, so nothing can be said to be missing.
    files = _files(tree, given) if given else None
    if given and "channels" in given.model_fields_set and not documents:
        faults.append(Fault(DEPLOY_FILE, ("channels",), f"there is no channel file in {shown(given.channels)}"))
    channels: dict[str, Channel] = {}
    for document in documents:
        channel, found = check_channel(document, files)
        faults += found
        if channel:
            channels[channel.name] = channel
    faults += _same_name(documents)
    if faults:
        refuse(faults)
    return dict(sorted(channels.items()))


def load_channel(tree: Tree, name: str) -> Channel:
    """The channel of that name; other channels' files may be wrong.

    Raises ChannelFaults for its file and ``deploy.yaml``, RefusedError if the tree has no such channel.
    """
    deploy_file = load_deploy_file(tree)
    documents = list(_documents(tree, deploy_file))
    named = [document for document in documents if _name(document) == name]
    # A file too broken to say its channel is most likely that of the channel it is called after.
    nameless = [document for document in documents if not _name(document) and _stem(document.path) == name]
    channels = [check_channel(document, _files(tree, deploy_file)) for document in named or nameless]
    faults = [*(fault for _, found in channels for fault in found), *_same_name(named)]
    if faults:
        refuse(faults)
    for channel, _ in channels:
        if channel:
            return channel
    known = suggestion(name, {_name(document) for document in documents} - {""})
    raise RefusedError(f"there is no channel {shown(name)} in {deploy_file.channels}/", hint=known)


def parse_channel(text: bytes | str, path: str, tree: Tree | None, deploy_file: DeployFile | None = None) -> Channel:
    """The channel that one file describes; ChannelFaults with every fault of it.

    ``path`` is named in faults. The files that the channel names are looked up in ``tree``, except for those that the
    sources of ``deploy_file`` bring in; without a tree none is looked up.
    """
    files = _files(tree, deploy_file or DeployFile()) if tree else None
    channel, faults = check_channel(read_channel_document(text, path), files)
    if channel is None:
        refuse(faults)
    return channel


def _files(tree: Tree, deploy_file: DeployFile) -> Files:
    return Files(tree, tuple(source.to for source in deploy_file.sources))


def _documents(tree: Tree, deploy_file: DeployFile) -> Iterator[Document]:
    folder = "" if deploy_file.channels == "." else deploy_file.channels
    tree.prefetch(deploy_file.channels)
    for path in tree.paths():
        if dirname(path) == folder and path.endswith(_ENDINGS) and path != DEPLOY_FILE:
            yield read_channel_document(tree.read(path), path)


def _same_name(documents: Sequence[Document]) -> Iterator[Fault]:
    """A fault for each file whose channel another file has already: which of them holds would be chance."""
    paths: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        name = _name(document)
        if name and paths[name]:
            yield document.fault(("channel",), f"{shown(name)} is the channel of {paths[name][0]} too")
        paths[name].append(document.path)


def _name(document: Document) -> str:
    """The channel that a file says it is, even if all the rest of it is wrong; else an empty text."""
    name = document.value.get("channel") if isinstance(document.value, dict) else None
    return name if isinstance(name, str) else ""


def _stem(path: str) -> str:
    return splitext(path.rpartition("/")[2])[0]
