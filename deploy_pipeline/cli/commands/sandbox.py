"""``sandbox``: a simulated cluster on a machine that has none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy_pipeline.errors import RefusedError


def sandbox(
    *,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a kubeconfig for the cluster to this file.")
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Folder that keeps the cluster's state. Default: `sandbox` in DEPLOY_STATE_DIR."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    rollout_seconds: Annotated[float, typer.Option(min=0, help="How long a rollout takes.")] = 0.5,
) -> None:
    """Serve a simulated Kubernetes cluster until Ctrl-C.

    It answers kubectl, helm and the deployer as a cluster does, but runs no containers.

    deploy-pipeline sandbox --kubeconfig sandbox.kubeconfig
    """
    from deploy_pipeline.sandbox import SandboxError, serve
    from deploy_pipeline.settings import Settings

    directory = state_dir or Settings.from_environment().state_dir / "sandbox"
    try:
        serve(directory, port=port, kubeconfig=kubeconfig, rollout_seconds=rollout_seconds)
    except SandboxError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(
            f"the sandbox cannot be served: {error.strerror or error}", hint="choose another port or folder"
        ) from error
