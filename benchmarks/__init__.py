"""What the documents state as figures, measured: ``python -m benchmarks [--quick]``.

Figures depend on the machine, so none of them is a test; what can be compared is measured beside what people use
instead, on the same machine and the same kind of cluster, and stated as a ratio.
"""
