"""The Kubernetes API as the deployer uses it: connection, objects, readiness, and the deployer's records in the cluster."""
