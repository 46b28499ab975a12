"""Change sets: what a release would do to the live cluster, exact, masked and with a digest."""

from deploy_pipeline.changes.change_set import (
    AppChanges,
    ChangeSet,
    FieldChange,
    ObjectChange,
    Operation,
    SecretVersion,
)
from deploy_pipeline.changes.compare import (
    element_path,
    field_changes,
    join_path,
    labels,
)
from deploy_pipeline.changes.field_owners import FieldOwners
from deploy_pipeline.changes.report import differences, markdown, secret_versions, summary, text
from deploy_pipeline.changes.server_choices import ServerDefaults, is_server_choice, without_server_choices

__all__ = [
    "AppChanges",
    "ChangeSet",
    "FieldChange",
    "FieldOwners",
    "ObjectChange",
    "Operation",
    "SecretVersion",
    "ServerDefaults",
    "differences",
    "element_path",
    "field_changes",
    "is_server_choice",
    "join_path",
    "labels",
    "markdown",
    "secret_versions",
    "summary",
    "text",
    "without_server_choices",
]
