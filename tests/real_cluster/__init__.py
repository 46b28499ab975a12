"""A real kube-apiserver with its controllers, built from Debian's source: for `make test-cluster` and `make bench`."""
