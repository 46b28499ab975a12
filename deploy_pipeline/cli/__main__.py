"""``python -m deploy_pipeline.cli``, for a checkout that is not installed."""

from deploy_pipeline.cli import main

main()
