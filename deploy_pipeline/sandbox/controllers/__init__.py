"""The simulated controllers: workloads, pods, garbage collection."""
