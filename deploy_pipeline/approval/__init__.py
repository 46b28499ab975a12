"""Approvals: what one allows, and where it may come from.

``rule.py`` decides whether a release does what its approval says. The approval itself lies in the cluster: ``promote``
put it there, or it is made at the release, of the reviews of a merged pull request (``by_reviews.py``) or of a launch
that accepts the change set (``authorization.py``).
"""

from deploy_pipeline.approval.authorization import Acceptance, authorize
from deploy_pipeline.approval.provenance import claimed_source, known_commit, released_source
from deploy_pipeline.approval.rule import verify

__all__ = ["Acceptance", "authorize", "claimed_source", "known_commit", "released_source", "verify"]
