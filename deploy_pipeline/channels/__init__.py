"""What a channel file and ``deploy.yaml`` may say, and reading them from a tree of files.

Everything a branch configures comes through here, so this is where it is checked: a channel that loads names only
files that exist inside the tree, and names that git, Kubernetes and Helm all accept. All faults of all files are
reported at once.
"""

from deploy_pipeline.channels.admission import AdmissionPolicy, Allow
from deploy_pipeline.channels.channel import App, Channel, Driver
from deploy_pipeline.channels.deploy_file import DEPLOY_FILE, DeployFile, Source
from deploy_pipeline.channels.duration import format_duration, parse_duration
from deploy_pipeline.channels.field_path import Element, FieldPath
from deploy_pipeline.channels.loading import load_channel, load_channels, load_deploy_file, parse_channel
from deploy_pipeline.channels.policy import IgnoreRule, PromotionPolicy, PruneLimit, PrunePolicy
from deploy_pipeline.channels.schema import json_schema
from deploy_pipeline.channels.tree import Tree, WorkingTree

__all__ = [
    "DEPLOY_FILE",
    "AdmissionPolicy",
    "Allow",
    "App",
    "Channel",
    "DeployFile",
    "Driver",
    "Element",
    "FieldPath",
    "IgnoreRule",
    "PromotionPolicy",
    "PruneLimit",
    "PrunePolicy",
    "Source",
    "Tree",
    "WorkingTree",
    "format_duration",
    "json_schema",
    "load_channel",
    "load_channels",
    "load_deploy_file",
    "parse_channel",
    "parse_duration",
]
