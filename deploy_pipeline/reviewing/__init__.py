"""What goes between the pipeline and the people on the forge: the diff they review, and how the release went."""

from deploy_pipeline.reviewing.opening import open_promotion
from deploy_pipeline.reviewing.releasing import release_and_report
from deploy_pipeline.reviewing.reporting import report_release
from deploy_pipeline.reviewing.review import ReviewedPromotion, review_promotion

__all__ = ["ReviewedPromotion", "open_promotion", "release_and_report", "report_release", "review_promotion"]
