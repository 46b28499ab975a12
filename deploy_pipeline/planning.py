"""The plan of a whole channel: every app planned at once, the change set made of it.

Diff, promotion, release and drift all start here, so what is shown, approved, checked and done is one computation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from deploy_pipeline.admission import Admission, admit
from deploy_pipeline.changes import ChangeSet, SecretVersion, ServerDefaults
from deploy_pipeline.channels import App, Channel, Driver
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.inventory import Inventory
from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.cluster.read_ahead import ReadAhead
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers import helm, kustomize, removed
from deploy_pipeline.drivers.known_secrets import known_secret_values
from deploy_pipeline.drivers.leaving import check_limit
from deploy_pipeline.drivers.plan import AppPlan, Target
from deploy_pipeline.drivers.sharing import settled
from deploy_pipeline.errors import DeployError, RetryableError
from deploy_pipeline.redaction import Redactor
from deploy_pipeline.rendering import RENDERED, read_rendered, rendered_path
from deploy_pipeline.repository import GitTree
from deploy_pipeline.secret_stores import ReadOnce, StoredSecret

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ChannelPlan:
    """What a release of the channel would do.

    ``leaving``: what apps that left the channel still own. ``admission``: whether it may be released.
    """

    channel: Channel
    cluster: Cluster
    change_set: ChangeSet
    apps: tuple[AppPlan, ...] = field(repr=False)
    leaving: dict[str, Inventory] = field(default_factory=dict, repr=False)
    admission: Admission = field(default_factory=lambda: Admission(()), repr=False)


def plan_channel(
    deployer: Deployer,
    channel: Channel,
    tree: GitTree,
    *,
    apps: Collection[str] = (),
    released: bool = False,
    progress: Progress,
) -> ChannelPlan:
    """Plan all apps of a channel at this tree, or only those named. Writes nothing.

    ``released``: the tree was released already, so that its objects were admitted then. Raises one error that names
    every app that cannot be planned, RefusedError for objects that are not admitted, and ClusterUnreachable when nobody
    can tell.
    """
    for name in apps:
        channel.app(name)
    cluster = deployer.cluster(channel.name)
    cluster_uid = cluster.uid
    owned = cluster.inventories(channel.name).all()
    store = ReadOnce(deployer.secret_store)
    redactor = cluster.new_redactor()
    chosen = [app for app in channel.apps if not apps or app.name in apps]
    read_ahead = ReadAhead(cluster, channel.name, [owned[app.name] for app in chosen if app.name in owned])
    defaults = ServerDefaults()
    tree.prefetch(f"{RENDERED}/{channel.name}")
    policy = deployer.released_channel(channel.name)
    definitions = tuple(_definitions(channel, tree))

    def target(app: App) -> Target:
        return Target(
            channel.name,
            app,
            tree,
            cluster,
            read_ahead,
            store,
            owned.get(app.name),
            redactor,
            progress,
            policy.prune,
            definitions,
            defaults,
        )

    targets = [target(app) for app in chosen]
    for known in each(deployer, targets, known_secret_values, _name, f"channel {channel.name}"):
        redactor.learn(known)
        cluster.redactor.learn(known)
    plans = each(deployer, targets, _plan_app, _name, f"channel {channel.name}")
    leaving = _leaving(channel, owned) if not apps else {}
    plans += each(
        deployer,
        [target(_stand_in(inventory)) for inventory in leaving.values()],
        lambda gone: removed.plan(gone, leaving[gone.app.name]),
        _name,
        f"channel {channel.name}",
    )
    plans = settled(channel.name, cluster, plans, whole=not apps)
    each(deployer, plans, check_limit, lambda plan: plan.changes.app, f"channel {channel.name}")
    admission = Admission(tuple(plans))
    if not released:
        admission = admit(
            channel.name,
            plans,
            policy=policy.admission,
            settings=deployer.settings,
            cluster=cluster,
            progress=progress,
        )
    change_set = ChangeSet(
        channel=channel.name,
        cluster=cluster_uid,
        tree=tree.sha,
        apps=tuple(plan.changes for plan in admission.plans),
        secrets=tuple(_version(store.read(name), redactor) for name in _secret_names(chosen)),
    )
    return ChannelPlan(channel, cluster, change_set, admission.plans, leaving, admission)


def each(
    deployer: Deployer,
    items: Sequence[_Item],
    work: Callable[[_Item], _Result],
    name: Callable[[_Item], str],
    where: str,
    *,
    abandon: Callable[[], None] = lambda: None,
    at_once: int = 0,
) -> list[_Result]:
    """Do the work for every item in threads; if any fail, raise one error that has the reasons of all.

    ``at_once`` is the number of threads, as many as the settings say if it is 0.

    When the caller is stopped meanwhile (a terminated run, Ctrl-C), work that has not begun never does, and ``abandon``
    tells the rest to end.
    """
    with ThreadPoolExecutor(max_workers=at_once or deployer.settings.app_threads) as pool:
        futures = [(item, pool.submit(work, item)) for item in items]
        try:
            wait([future for _, future in futures])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            abandon()
            raise
    errors = [(name(item), error) for item, future in futures if (error := future.exception())]
    for _, error in errors:
        if not isinstance(error, DeployError):
            raise error
    if errors:
        raise _joined(where, [(label, error) for label, error in errors if isinstance(error, DeployError)])
    return [future.result() for _, future in futures]


def _joined(where: str, errors: Sequence[tuple[str, DeployError]]) -> DeployError:
    """One error for many: a refusal outweighs what may pass by itself."""
    worst = min((error for _, error in errors), key=lambda error: isinstance(error, RetryableError))
    details = [line for label, error in errors for line in _lines(label, error)]
    return type(worst)(f"{where}: {len(errors)} app(s) failed", details=details, hint=worst.hint)


def _lines(label: str, error: DeployError) -> Iterable[str]:
    yield error.message if error.message.startswith("app ") else f"app {label}: {error.message}"
    yield from (f"  {detail}" for detail in error.details)


def _plan_app(target: Target) -> AppPlan:
    target.progress(f"{target.app.name}: comparing with the cluster")
    return kustomize.plan(target) if target.app.driver is Driver.KUSTOMIZE else helm.plan(target)


def _definitions(channel: Channel, tree: GitTree) -> Iterator[Manifest]:
    """The CustomResourceDefinitions among what was rendered for any app: each app may have objects of their kinds."""
    for app in channel.apps:
        path = rendered_path(channel.name, app.name)
        if tree.has(path) and b"CustomResourceDefinition" in tree.read(path):
            rendered = read_rendered(tree, channel.name, app.name)
            yield from (manifest for manifest in rendered if manifest["kind"] == "CustomResourceDefinition")


def _name(target: Target) -> str:
    return target.app.name


def _leaving(channel: Channel, owned: dict[str, Inventory]) -> dict[str, Inventory]:
    """Inventories of apps the channel no longer names. A channel without any app is taken for a mistake."""
    known = {app.name for app in channel.apps}
    return {name: inventory for name, inventory in owned.items() if name not in known} if known else {}


def _stand_in(inventory: Inventory) -> App:
    """The app that is gone, as far as its inventory tells."""
    return App.model_construct(name=inventory.app, driver=Driver(inventory.driver), namespace=None, secrets=())


def _version(stored: StoredSecret, redactor: Redactor) -> SecretVersion:
    return SecretVersion(stored.name, redactor.fingerprint(stored.content), stored.version)


def _secret_names(apps: Sequence[App]) -> list[str]:
    return sorted({name for app in apps for name in (*app.secrets, *app.secret_helm_values)})
