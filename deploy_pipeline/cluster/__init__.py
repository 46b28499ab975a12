"""The Kubernetes API as the deployer uses it, and the deployer's own records in the cluster."""
