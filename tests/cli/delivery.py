"""A small repository to deliver: one channel with a kustomize app that needs a secret, and a Helm app."""

from __future__ import annotations

SECRET_VALUE = "made-up-token-of-the-tests"

CHANNEL = """\
channel: test
releases:
  - name: notes
    driver: kustomize
    kustomize_dir: kubernetes/notes
    secrets: [notes_token]
    timeout: 20s
  - name: board
    driver: helm
    namespace: board
    helm_name: board
    helm_chart: kubernetes/board
    timeout: 20s
"""
NOTES = """\
apiVersion: v1
kind: Namespace
metadata: {name: notes}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: pages, namespace: notes}
data: {title: Notes}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: notes, namespace: notes}
spec:
  replicas: 1
  progressDeadlineSeconds: 2
  selector: {matchLabels: {app: notes}}
  template:
    metadata: {labels: {app: notes}}
    spec: {containers: [{name: notes, image: "registry.example/notes:1"}]}
"""
BOARD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: board}
data: {colour: green}
"""
SECRET = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: token, namespace: notes}}
stringData: {{token: {SECRET_VALUE}}}
"""

FILES = {
    # Named otherwise than its channel, so that a file and a channel cannot be taken for each other.
    "channels/try-out.yaml": CHANNEL,
    "kubernetes/notes/kustomization.yaml": "resources: [notes.yaml]\n",
    "kubernetes/notes/notes.yaml": NOTES,
    "kubernetes/board/Chart.yaml": "apiVersion: v2\nname: board\nversion: 0.1.0\n",
    "kubernetes/board/templates/board.yaml": BOARD,
}
BROKEN = {"kubernetes/notes/notes.yaml": NOTES.replace("notes:1", "broken-notes:2")}
CALMER = {"kubernetes/board/templates/board.yaml": BOARD.replace("green", "blue")}
