"""What would change for one app, and making it so: kustomize by server-side apply, Helm by Helm."""
