"""A channel and its apps: what one file in ``channels/`` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from posixpath import join, normpath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from deploy_pipeline.channels.admission import AdmissionPolicy, Allow, Images
from deploy_pipeline.channels.cron import check_cron
from deploy_pipeline.channels.document import Document, NotText, read_document
from deploy_pipeline.channels.duration import parse_duration
from deploy_pipeline.channels.faults import Fault, Location, shown, suggestion
from deploy_pipeline.channels.names import AppName, ChannelName, HelmName, InnerPath, NamespaceName, SecretName
from deploy_pipeline.channels.policy import (
    IgnoreRule,
    Limit,
    PromotionPolicy,
    ProtectedKind,
    PruneLimit,
    PrunePolicy,
    Reviews,
    SourceBranch,
    Switch,
)
from deploy_pipeline.channels.section import Files, Section, check, files_lack
from deploy_pipeline.errors import RefusedError

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


class Driver(str, Enum):
    """The tool that deploys an app."""

    KUSTOMIZE = "kustomize"
    HELM = "helm"


NEEDED = {
    Driver.KUSTOMIZE: ("kustomize_dir",),
    Driver.HELM: ("namespace", "helm_name", "helm_chart"),
}
FOREIGN = {
    Driver.KUSTOMIZE: ("helm_name", "helm_chart", "helm_values", "secret_helm_values"),
    Driver.HELM: ("kustomize_dir", "restart_on_secret_change", "ignore"),
}


def _kustomization(path: str, info: ValidationInfo) -> str:
    if files_lack(info, *(normpath(join(path, name)) for name in KUSTOMIZATIONS)):
        raise ValueError(f"there is no {KUSTOMIZATIONS[0]} in {shown(path)}")
    return path


def _chart(path: str, info: ValidationInfo) -> str:
    if files_lack(info, normpath(join(path, "Chart.yaml"))):
        raise ValueError(f"there is no Chart.yaml in {shown(path)}")
    return path


def _file(path: str, info: ValidationInfo) -> str:
    if files_lack(info, path):
        raise ValueError(f"there is no file {shown(path)}")
    return path


def _timeout(value: Any) -> timedelta:
    timeout = value if isinstance(value, timedelta) else parse_duration(_word(value))
    if timeout < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return timeout


def _word(value: Any) -> str:
    if isinstance(value, (str, NotText)):
        return str(value)
    raise ValueError(f"must be a duration such as 90s, 10m0s or 1.5h, not {shown(value)}")


Timeout = Annotated[
    timedelta,
    BeforeValidator(_timeout),
    WithJsonSchema({"type": "string", "pattern": r"^(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$"}),
]


class App(Section):
    """One app of a channel. Paths are from the top of the repository; those of another driver are None or empty."""

    name: AppName = Field(description="Name of the app, unique in its channel.")
    driver: Driver = Field(description="The tool that deploys the app.")
    namespace: NamespaceName | None = Field(
        None, validate_default=True, description="Namespace of the Helm release; for kustomize: of the app's secrets."
    )
    kustomize_dir: Annotated[InnerPath, AfterValidator(_kustomization)] | None = Field(
        None, validate_default=True, description="Folder with the kustomization."
    )
    helm_name: HelmName | None = Field(None, validate_default=True, description="Name of the Helm release.")
    helm_chart: Annotated[InnerPath, AfterValidator(_chart)] | None = Field(
        None, validate_default=True, description="Folder of the chart."
    )
    helm_values: tuple[Annotated[InnerPath, AfterValidator(_file)], ...] = Field(
        (), description="Values files; a later one overrides an earlier one."
    )
    secret_helm_values: tuple[SecretName, ...] = Field(
        (), description="Names in the secret store whose content is Helm values; they override `helm_values`."
    )
    secrets: tuple[SecretName, ...] = Field(
        (), description="Names in the secret store whose content is a Secret manifest; applied before the app."
    )
    restart_on_secret_change: Switch = Field(
        False, description="Whether workloads restart when a Secret of `secrets` that they use changes. Not for helm."
    )
    timeout: Timeout = Field(
        timedelta(minutes=5), description="How long the app may take to become ready, such as 10m0s; default 5m0s."
    )
    recreate: Switch = Field(
        False, description="Whether objects may be deleted and made anew where a change is not possible in place."
    )
    adopt: Switch = Field(
        False, description="Whether objects are taken over that belong to another app, channel or tool."
    )
    ignore: tuple[IgnoreRule, ...] = Field(
        (), description="Fields that somebody else owns: left out of diff, release and drift. Not for helm."
    )

    @property
    def timeout_seconds(self) -> float:
        """``timeout`` in seconds."""
        return self.timeout.total_seconds()

    @field_validator(
        "namespace",
        "kustomize_dir",
        "helm_name",
        "helm_chart",
        "helm_values",
        "secret_helm_values",
        "restart_on_secret_change",
        "ignore",
        mode="before",
    )
    @classmethod
    def _suits_driver(cls, value: Any, info: ValidationInfo) -> Any:
        driver = info.data.get("driver")  # absent when it is wrong: then nothing can be said about the rest
        if driver and value is None and info.field_name in NEEDED[driver]:
            raise ValueError(f"is missing; the driver {driver.value} needs it")
        if driver and value and info.field_name in FOREIGN[driver]:
            raise ValueError(f"does not belong to an app with the driver {driver.value}")
        return value


class ChannelFile(Section):
    """A channel file, below the key `calitp` if it has one."""

    channel: ChannelName = Field(description="Name of the channel; its release branch is `releases/<channel>`.")
    releases: tuple[App, ...] = Field((), description="The apps of the channel.")
    approval: Literal["required", "none"] = Field(
        "required", description="Whether a change needs an approval. Read from the release branch only."
    )
    reviews: Reviews = Field(
        1, description="How many approvals the pull request of a promotion needs. Read from what was released last."
    )
    code_owners: Switch = Field(
        False, description="Whether code owners have to approve, too. Read from what was released last."
    )
    signed_commits: Switch = Field(
        False,
        description="Whether reviews count only if the forge verified the signatures of all commits of the source. "
        "Read from what was released last.",
    )
    accept_change_set: Switch = Field(
        False,
        description="Whether a release that was refused may be let through by a launch that names the digest. "
        "Read from what was released last.",
    )
    promote: Literal["manual", "auto-pr"] = Field(
        "manual", description="Whether the deployer opens the pull request of a promotion itself."
    )
    promote_from: SourceBranch = Field("main", description="The source branch whose candidate `auto-pr` promotes.")
    drift_schedule: Annotated[str, AfterValidator(check_cron)] | None = Field(
        None, description="Cron expression of the drift check, of five fields; default: the deployer's."
    )
    drift: Literal["report", "heal"] = Field(
        "report", description="Whether drift is only reported, or put back to what was released last."
    )
    prune_limit: Limit = Field(
        default_factory=PruneLimit,
        description="How many objects of an app one release may prune: a number or a share such as 50%; "
        "default: 30% or 10, whichever is more. Read from what was released last.",
    )
    prune_kinds: tuple[ProtectedKind, ...] = Field(
        (), description="Kinds that are pruned or recreated only if named here. Read from what was released last."
    )
    ignore: tuple[IgnoreRule, ...] = Field((), description="Fields that somebody else owns, in all kustomize apps.")
    allow: Allow = Field(
        default_factory=Allow,
        description="Kinds and namespaces beyond the apps' own, and the registries of images. "
        "Read from what was released last.",
    )
    plain_secrets: Literal["warn", "refuse"] = Field(
        "warn", description="What a Secret with values in git brings about. Read from what was released last."
    )
    images: Images = Field(
        "check",
        description="Whether new images must exist in their registry; `digest` also pins the tags of kustomize apps.",
    )


@dataclass(frozen=True)
class Channel:
    """One environment. ``path`` is the file it came from; ``drift_schedule`` None means the deployer's own.

    The ``ignore`` rules of the channel are part of each app's.
    """

    name: str
    releases: tuple[App, ...] = ()
    approval: Literal["required", "none"] = "required"
    drift_schedule: str | None = None
    drift: Literal["report", "heal"] = "report"
    prune: PrunePolicy = field(default_factory=PrunePolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)
    admission: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    path: str = ""

    @property
    def apps(self) -> tuple[App, ...]:
        """The apps of the channel, in the order of the file."""
        return self.releases

    def app(self, name: str) -> App:
        """The app of that name; RefusedError if the channel has none."""
        for app in self.apps:
            if app.name == name:
                return app
        known = suggestion(name, [app.name for app in self.apps])
        raise RefusedError(f"channel {self.name} has no app {shown(name)}", hint=known)


def read_channel_document(content: bytes | str, path: str) -> Document:
    """What stands in a channel file below the key ``calitp``, beside which nothing may stand; or else all of it."""
    document = read_document(content, path)
    if not isinstance(document.value, dict) or "calitp" not in document.value:
        return document
    beside = [document.fault((key,), "must stand below the key calitp") for key in document.value if key != "calitp"]
    inner = document.inside("calitp")
    return replace(inner, faults=(*inner.faults, *beside))


def check_channel(document: Document, files: Files | None) -> tuple[Channel | None, list[Fault]]:
    """The channel that a document describes, or None; and all faults. Without files, paths are not looked up."""
    nested: dict[str, type[Section]] = {
        "releases": App,
        "ignore": IgnoreRule,
        "releases.ignore": IgnoreRule,
        "allow": Allow,
    }
    file, faults = check(ChannelFile, document, files, nested=nested)
    faults += _clashes(document)
    return (None, faults) if file is None or faults else (_channel(file, document.path), [])


def _channel(file: ChannelFile, path: str) -> Channel:
    return Channel(
        name=file.channel,
        releases=tuple(
            app.model_copy(update={"ignore": (*file.ignore, *app.ignore)}) if app.driver is Driver.KUSTOMIZE else app
            for app in file.releases
        ),
        approval=file.approval,
        drift_schedule=file.drift_schedule,
        drift=file.drift,
        prune=PrunePolicy(file.prune_limit, frozenset(file.prune_kinds)),
        promotion=PromotionPolicy(
            reviews=file.reviews,
            code_owners=file.code_owners,
            signed_commits=file.signed_commits,
            accept_change_set=file.accept_change_set,
            promote=file.promote,
            promote_from=file.promote_from,
        ),
        admission=AdmissionPolicy(file.allow, file.plain_secrets, file.images),
        path=path,
    )


def _clashes(document: Document) -> Iterator[Fault]:
    """Apps with the same name, or with the same Helm release: they would overwrite each other.

    It works on what the file says rather than on checked apps, so that it also finds clashes of apps with other faults.
    """
    releases = document.value.get("releases") if isinstance(document.value, dict) else None
    names: dict[str, int] = {}
    helm: dict[tuple[str, str], int] = {}
    for index, app in enumerate(releases if isinstance(releases, list) else ()):
        if not isinstance(app, dict):
            continue
        name, release, namespace = app.get("name"), app.get("helm_name"), app.get("namespace")
        where: Location = ("releases", index)
        if isinstance(name, str) and (first := names.setdefault(name, index)) != index:
            yield document.fault((*where, "name"), f"{shown(name)} is the name of releases[{first}] too")
        if not isinstance(release, str) or not isinstance(namespace, str):
            continue
        if (first := helm.setdefault((namespace, release), index)) != index:
            reason = (
                f"{shown(release)} in the namespace {shown(namespace)} is the Helm release of releases[{first}] too"
            )
            yield document.fault((*where, "helm_name"), reason)
