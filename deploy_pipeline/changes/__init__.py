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
from deploy_pipeline.changes.server_choices import CHOSEN, with_marked_choices, without_server_choices
from deploy_pipeline.changes.server_defaults import ServerDefaults

__all__ = [
    "CHOSEN",
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
    "join_path",
    "labels",
    "markdown",
    "secret_versions",
    "summary",
    "text",
    "with_marked_choices",
    "without_server_choices",
]
